"""Questions to the feature field: where is the object like this point? Answered by cosines of features.

Letters: M vertices, H W picture, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.geometry.cameras import every_pixel, project
from nto3d.kernels.raycast import MeshCaster
from nto3d.report.pictures import color_map
from nto3d.stages.features.term import SOLID, render_features
from nto3d.stages.model import SurfaceModel
from nto3d.types import BoolArray, ByteArray, FloatArray, Mesh, Scene

VERTICES, PIXELS = 2**14, 2**16  # at a time; features [65536, 256] are 64 MiB
PALETTE = cv2.COLORMAP_TURBO  # has no greys: what is coloured stands out from the greyed picture
DARKEST, DIM = 0.5, 0.55  # brightness of the heat map where the picture is black; of the greyed picture elsewhere
PERCENTILES = (2.0, 99.9)
LEAST_RANGE = 1e-3  # a field that says the same everywhere is not stretched until its noise shows
UNHIDDEN = 0.02  # normalized units by which a vertex may lie behind the first hit of its ray


@dataclass(frozen=True)
class ViewSimilarity:
    """How alike the asked feature is what one view sees.

    Attributes:
        view: index of the view.
        similarity: float32 [H, W], cosines, also where no target is (there they mean nothing).
        inside: bool [H, W], where the surface covers more than half of the ray.
    """

    view: int
    similarity: FloatArray
    inside: BoolArray


def cosines(features: Tensor, asked: Tensor) -> Tensor:
    """Cosines [R] of features [R, C] with one feature [C]; 0 where a feature is 0."""
    return functional.normalize(features, dim=1) @ functional.normalize(asked, dim=0)


@torch.no_grad()
def feature_at_pixel(
    model: SurfaceModel, scene: Scene, view: int, xy: tuple[float, float], dt: float
) -> tuple[Tensor, float]:
    """The rendered feature [C] and the opacity at a pixel (x, y) of the scene's picture; dt: normalized units."""
    place = torch.tensor([xy], dtype=torch.float32, device=model.variance.device)
    feature, opacity = render_features(model, scene, view, place, dt)
    return feature[0], float(opacity[0])


@torch.no_grad()
def feature_at_vertex(model: SurfaceModel, vertex: FloatArray) -> Tensor:
    """The surface's feature [C] at a vertex [3], normalized frame."""
    return model.surface_features(_positions(model, vertex[None]))[0]


@torch.no_grad()
def vertex_similarity(model: SurfaceModel, vertices: FloatArray, asked: Tensor) -> FloatArray:
    """Cosines float32 [M] of the surface's features at vertices [M, 3] (normalized frame) with a feature [C]."""
    parts = [cosines(model.surface_features(some), asked).cpu() for some in _positions(model, vertices).split(VERTICES)]
    found: FloatArray = torch.cat(parts).numpy()
    return found


@torch.no_grad()
def view_similarity(model: SurfaceModel, scene: Scene, view: int, asked: Tensor, dt: float) -> ViewSimilarity:
    """Cosines of the rendered features with a feature [C] in every pixel of a view; dt: normalized units.

    A part of the pixels at a time: the features of a whole picture would be gigabytes.
    """
    xy, size = every_pixel(scene.cameras.size, 1, model.variance.device)
    similarity, inside = [], []
    for some in xy.split(PIXELS):
        features, opacity = render_features(model, scene, view, some, dt)
        similarity.append(cosines(features, asked).cpu())
        inside.append((opacity > SOLID).cpu())
    return ViewSimilarity(view, torch.cat(similarity).reshape(size).numpy(), torch.cat(inside).reshape(size).numpy())


def similarity_range(similarity: FloatArray) -> tuple[float, float]:
    """One scale for mesh and pictures, from the 2nd to the 99.9th percentile of the vertices' similarities [M]."""
    low, high = (float(value) for value in np.percentile(similarity, PERCENTILES))
    return min(low, high - LEAST_RANGE), high


def colored_mesh(mesh: Mesh, similarity: FloatArray, scale: tuple[float, float]) -> Mesh:
    """The mesh with its M vertices coloured by similarities [M]."""
    return Mesh(mesh.vertices, mesh.faces, color_map(similarity[:, None], *scale, PALETTE)[:, 0])


def heat_picture(
    image: ByteArray, seen: ViewSimilarity, scale: tuple[float, float], mask: BoolArray | None = None
) -> ByteArray:
    """The picture uint8 [H, W, 3] in grey, and where the target is the heat map, as bright as the picture is.

    Mixed with the picture instead, its colours would no longer be those of the scale.

    Args:
        mask: [H, W], where the target is seen, or None: also where something stands in front of it.
    """
    shown = seen.inside if mask is None else seen.inside & mask
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    heat = color_map(seen.similarity, *scale, PALETTE)
    blended = np.where(shown[..., None], heat * (DARKEST + (1 - DARKEST) * grey / 255), DIM * grey)
    return blended.round().astype(np.uint8)


def masked_near(mask: BoolArray, xy: tuple[float, float], reach: int = 2) -> bool:
    """Whether a mask [H, W] holds a pixel within `reach` of a place (x, y): outlines are a pixel or two off."""
    column, row = (round(value) for value in xy)
    near = mask[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    return bool(near.any())


def marked(picture: ByteArray, xy: tuple[float, float]) -> ByteArray:
    """The picture uint8 [H, W, 3] with a ring around pixel (x, y); what it points at stays visible."""
    shown = np.ascontiguousarray(picture).copy()
    radius = max(5, round(max(picture.shape[:2]) / 60))
    thick = max(1, radius // 4)
    fraction = 4  # bits
    center = (round(xy[0] * 2**fraction), round(xy[1] * 2**fraction))
    for color, width in (((0, 0, 0), thick + 2 * max(1, thick // 2)), ((255, 255, 255), thick)):
        cv2.circle(shown, center, radius << fraction, color, width, cv2.LINE_AA, fraction)
    return shown


def shown_views(count: int, first: int | None, others: int = 5) -> list[int]:
    """The asked view, if there is one, and others spread evenly over all of them (one more where none is asked)."""
    wanted = min(count, others + 1)
    if first is None:
        return [round(index * count / wanted) for index in range(wanted)]
    return [(first + round(index * count / wanted)) % count for index in range(wanted)]


def looking_at(
    mesh: Mesh, scene: Scene, masks: BoolArray | None, vertex: int
) -> tuple[int, tuple[float, float]] | None:
    """The view that faces a vertex best of those that see it, and its pixel (x, y) there; None where none sees it.

    Args:
        mesh: normalized frame. masks: [V, H, W] of the target, or None: they tell where something stands before it.
        vertex: its index.
    """
    point = mesh.vertices[vertex]
    ends = mesh.vertices[mesh.faces[(mesh.faces == vertex).any(axis=1)]]  # [T, 3, 3], the triangles around it
    normal = np.cross(ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 0]).sum(axis=0)
    towards = scene.cameras.centers - point
    distance = np.linalg.norm(towards, axis=1)
    towards = towards / distance[:, None]
    hits = MeshCaster(mesh).cast(scene.cameras.centers, -towards)
    height, width = scene.cameras.size
    best: tuple[float, int, tuple[float, float]] | None = None
    for view, facing in enumerate((towards @ normal).tolist()):
        xy, depth = project(scene.cameras.intrinsics[view], scene.cameras.cam_to_world[view], point)
        inside = float(depth) > 0 and -0.5 <= xy[0] <= width - 0.5 and -0.5 <= xy[1] <= height - 0.5
        hidden = hits.face[view] >= 0 and hits.distance[view] < distance[view] - UNHIDDEN
        if not inside or hidden or facing <= (0.0 if best is None else best[0]):
            continue
        column, row = np.rint(xy).astype(int).clip(0, (width - 1, height - 1))
        if masks is None or masks[view, row, column]:
            best = facing, view, (float(xy[0]), float(xy[1]))
    return None if best is None else best[1:]


def check_views(views: Sequence[int], count: int, key: str) -> None:
    """Checks that views exist.

    Raises:
        InputError: one does not.
    """
    for view in views:
        if not 0 <= view < count:
            raise InputError(f"{key}: expected a view from 0 to {count - 1}, got {view}")


def _positions(model: SurfaceModel, vertices: FloatArray) -> Tensor:
    return torch.from_numpy(vertices.astype(np.float32)).to(model.variance.device)
