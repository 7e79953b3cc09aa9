"""The lift of picture features: what training asks of the feature field, and how well it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nto3d.config.schema import TrainerConfig
from nto3d.export.mesh_io import write_mesh
from nto3d.files import write_arrays
from nto3d.geometry.cameras import RayCaster, every_pixel
from nto3d.report.page.features import FeaturePictures
from nto3d.stages.model import SurfaceModel
from nto3d.training import losses
from nto3d.types import BoolArray, ByteArray, FloatArray, Mesh, RayBatch, Scene
from nto3d.types.feature_maps import FeatureMaps

SAMPLES = 20_000  # pixels that stand for the target's features
CHUNK, VERTICES = 8192, 2**14  # rays and vertices at a time
LONGEST = 400  # pixels along a side in which rendered features are compared
FADE = 3.0  # geometry and colour stop following the features over one part in so many
SOLID = 0.5  # opacity of a pixel that shows surface
FEATURES_NAME, FEATURE_MESH_NAME = "features.npz", "features.ply"


def target_features(
    maps: FeatureMaps, masks: BoolArray | None, views: Sequence[int], seed: int, count: int = SAMPLES
) -> Tensor:
    """Features [S, C] of pixels of the target in some views, drawn at random.

    Args:
        masks: [V, H, W], or None: of all pixels.

    Raises:
        ValueError: no view shows the target.
    """
    rng = np.random.default_rng(seed)
    height, width = maps.size
    each = -(-count // max(1, len(views)))
    found = []
    for view in views:
        pixels = np.arange(height * width) if masks is None else np.flatnonzero(masks[view])
        if not len(pixels):
            continue
        pixels = np.sort(rng.choice(pixels, min(each, len(pixels)), replace=False))
        xy = np.stack([pixels % width, pixels // width], axis=1)
        place = torch.from_numpy(xy).float().to(maps.values.device)
        found.append(maps.at(torch.full((len(place),), view, device=place.device), place))
    if not found:
        raise ValueError("expected a target in at least one view, got none")
    return torch.cat(found)


class FeatureTerm:
    """The part of the objective that asks for features: cosine plus squared error inside the mask.

    Its weight rises over the first `trainer.feature_ramp` steps. Geometry and colour follow the features for the first
    `trainer.feature_steps`, less and less over the last third of them; then only the head goes on learning: features
    are coarse, and by then colours know better where the surface is.

    Args:
        maps: of all views, on the device of training. samples: [S, C], some of the target's features.
        config: the trainer's values.
    """

    def __init__(self, maps: FeatureMaps, samples: Tensor, config: TrainerConfig) -> None:
        self.maps, self.samples = maps, samples
        self._scale = max(float((samples**2).sum(dim=1).mean()), 1e-12)
        self._full, self._ramp, self._steps = config.loss.feature_weight, config.feature_ramp, config.feature_steps

    def weight(self, step: int) -> float:
        """Of the term in a step."""
        return self._full * min(1.0, (step + 1) / self._ramp if self._ramp else 1.0)

    def gradient_share(self, step: int) -> float:
        """Share of the term's gradient that reaches geometry and colour in a step."""
        return min(1.0, max(0.0, FADE * (1.0 - step / self._steps))) if self._steps else 0.0

    def distance(self, rays: RayBatch, rendered: Tensor) -> Tensor:
        """Of rendered features [R, C] from those of the pictures, [R]."""
        return losses.feature_distance(rendered, self.maps.at(rays.view, rays.xy), self._scale)


@torch.no_grad()
def render_features(model: SurfaceModel, scene: Scene, view: int, xy: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """Rendered features [R, C] and opacities [R] at pixels [R, 2] of a view; dt: sample length, normalized units."""
    caster = RayCaster(scene.cameras, xy.device)
    features, opacity = [], []
    for some in xy.split(CHUNK):
        index = torch.full((len(some),), view, device=xy.device)
        origins, directions = caster(index, some)
        rays = RayBatch(origins, directions, index, some, torch.zeros_like(origins))
        out = model.render(rays, dt, torch.full((len(some),), 0.5, device=xy.device), features=True)
        assert out.feature is not None
        features.append(out.feature)
        opacity.append(out.opacity)
    return torch.cat(features), torch.cat(opacity)


@torch.no_grad()
def compare_view(
    model: SurfaceModel, scene: Scene, maps: FeatureMaps, masks: BoolArray | None, view: int, dt: float, longest: int
) -> tuple[FeaturePictures, Tensor]:
    """Rendered features of a view beside the encoder's, and the sum [C] of the encoder's unit ones inside the target.

    Args:
        masks: [V, H, W] of the target, or None: where the surface covers half of the ray.
        dt: sample length, normalized units. longest: most pixels along a side, of which every k-th is looked at.
    """
    assert model.features is not None
    step = max(1, -(-max(scene.cameras.size) // longest))
    xy, (height, width) = every_pixel(scene.cameras.size, step, model.variance.device)
    pixels = (slice(None, None, step), slice(None, None, step))
    given = None if masks is None else torch.from_numpy(masks[view][pixels].reshape(-1)).to(xy.device)
    total = torch.zeros(maps.channels, dtype=torch.float64, device=xy.device)
    parts = []  # a few numbers a pixel: with SAM's channels, the features of a whole picture are half a gigabyte
    for start in range(0, len(xy), CHUNK):
        some = xy[start : start + CHUNK]
        rendered, opacity = render_features(model, scene, view, some, dt)
        encoded = maps.at(torch.full((len(some),), view, device=some.device), some)
        solid = opacity > SOLID
        inside = solid if given is None else given[start : start + CHUNK]
        total += functional.normalize(encoded[inside], dim=1).double().sum(dim=0)
        cosine = functional.cosine_similarity(rendered, encoded, dim=1, eps=1e-6)
        colors = model.features.colors(rendered) * solid[:, None]
        parts.append(
            torch.cat([model.features.colors(encoded), colors, cosine[:, None], inside[:, None]], dim=1).float().cpu()
        )
    shown = torch.cat(parts).reshape(height, width, 8).numpy()
    picture = scene.images[view][pixels]
    found = FeaturePictures(
        scene.names[view], picture, shown[..., :3], shown[..., 3:6], shown[..., 6], shown[..., 7] > 0
    )
    return found, total.cpu()


def assess_features(
    model: SurfaceModel, scene: Scene, maps: FeatureMaps, masks: BoolArray | None, views: Sequence[int], dt: float
) -> tuple[dict[str, float], list[FeaturePictures]]:
    """How well rendered features agree with the encoder's in (held-out) views.

    Args:
        masks, dt: see `compare_view`.

    Returns:
        `feature_cosine`, the mean over the target's pixels; `feature_constant`, what the best constant feature would
        reach (the direction of the mean of the unit features, found on these very views); and pictures of the views.
    """
    shown: list[FeaturePictures] = []
    cosines, total, count = 0.0, torch.zeros(maps.channels, dtype=torch.float64), 0
    for view in views:
        compared, units = compare_view(model, scene, maps, masks, view, dt, LONGEST)
        shown.append(compared)
        cosines += float(compared.cosine[compared.inside].sum(dtype=np.float64))
        total += units
        count += int(compared.inside.sum())
    if not count:
        return {}, shown
    return {"feature_cosine": cosines / count, "feature_constant": float(total.norm()) / count}, shown


@torch.no_grad()
def vertex_features(
    model: SurfaceModel, vertices: FloatArray, world_from_normalized: FloatArray
) -> tuple[NDArray[np.float16], ByteArray]:
    """Features [M, C] of surface points [M, 3] in world units, and these as colours [M, 3]."""
    assert model.features is not None
    normalized = (vertices - world_from_normalized[:3, 3]) @ np.linalg.inv(world_from_normalized[:3, :3]).T
    points = torch.from_numpy(normalized.astype(np.float32))
    features = np.empty((len(points), len(model.features.out.bias)), dtype=np.float16)
    colors = np.empty((len(points), 3), dtype=np.uint8)
    for start in range(0, len(points), VERTICES):
        part = slice(start, start + VERTICES)
        found = model.surface_features(points[part].to(model.variance.device))
        features[part] = found.half().cpu().numpy()
        colors[part] = (model.features.colors(found) * 255).round().to(torch.uint8).cpu().numpy()
    return features, colors


def write_features(model: SurfaceModel, mesh: Mesh, world_from_normalized: FloatArray, folder: Path) -> Mesh:
    """Write the features of a mesh's vertices into a folder, and the mesh coloured by them.

    features.npz: `features` float16 [M, C] in the order of the mesh's vertices, and the basis of the colours: `mean`
    [C], `axes` [C, 3], `low` and `high` [3]; colour = ((unit feature - mean) @ axes - low) / (high - low), in 0..1.
    features.ply: the mesh in these colours.

    Args:
        mesh: of the model, world units.

    Returns:
        The coloured mesh.

    Raises:
        InputError: a file cannot be written.
    """
    assert model.features is not None
    found, colors = vertex_features(model, mesh.vertices, world_from_normalized)
    basis = {name: value.cpu().numpy() for name, value in model.features.colors.named_buffers()}
    write_arrays(folder / FEATURES_NAME, {"features": found, **basis})
    colored = Mesh(mesh.vertices, mesh.faces, colors)
    write_mesh(colored, folder / FEATURE_MESH_NAME)
    return colored
