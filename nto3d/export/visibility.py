"""What the training views see of a mesh.

Letters: V views, H W picture height and width, M vertices.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nto3d.geometry.cameras import project
from nto3d.geometry.normals import mesh_normals, unit
from nto3d.kernels.raycast import MeshCaster
from nto3d.parsers.archives import inflate
from nto3d.parsers.contents import MismatchError
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray, Mesh

FACING = 0.17  # least cosine between a vertex's normal and the way to a camera that sees it: 80 degrees
LIFT = 0.5  # of the median edge: a vertex is looked at from so far above the surface, which is that rough


@dataclass(frozen=True)
class Visibility:
    """The training views and where they show the target: all that is needed to tell what of a mesh they see.

    Attributes:
        cameras: the V training cameras, normalized frame.
        shown: bool [V, H, W], pixels that show the target (not those in which something hides it, nor the
            background); None: what every pixel shows is reconstructed.

    Raises:
        ValueError: `shown` is not of the pictures' size.
    """

    cameras: Cameras
    shown: BoolArray | None = None

    def __post_init__(self) -> None:
        expected = (len(self.cameras), *self.cameras.size)
        if self.shown is not None and self.shown.shape != expected:
            raise ValueError(f"expected shown {list(expected)}, got {list(self.shown.shape)}")

    @classmethod
    def of(
        cls, cameras: Cameras, views: Sequence[int], masks: BoolArray | None, unknown: BoolArray | None = None
    ) -> Visibility:
        """That of some views of a scene.

        Args:
            cameras: of all V views. views: those that count.
            masks: [V, H, W] of the target as seen, or None.
            unknown: [V, H, W], pixels whose masks say nothing, or None.
        """
        chosen = list(views)
        some = Cameras(cameras.intrinsics[chosen], cameras.cam_to_world[chosen], cameras.size)
        if masks is None:
            return cls(some)
        shown = masks[chosen]
        return cls(some, shown if unknown is None else shown & ~unknown[chosen])

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; masks take some 1 kB a view."""
        state: dict[str, Any] = {
            "intrinsics": torch.from_numpy(self.cameras.intrinsics),
            "cam_to_world": torch.from_numpy(self.cameras.cam_to_world),
            "size": list(self.cameras.size),
        }
        if self.shown is not None:
            packed = zlib.compress(np.packbits(self.shown).tobytes(), 6)
            state["shown"] = torch.from_numpy(np.frombuffer(packed, dtype=np.uint8).copy())
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Visibility:
        """Counterpart of `state_dict`.

        Raises:
            MismatchError: the cameras or the packed masks are none.
        """
        try:
            return cls._unpacked(state)
        except ValueError as error:
            raise MismatchError(
                f"sight: expected cameras and packed masks of their size, got others ({error})"
            ) from error

    @classmethod
    def _unpacked(cls, state: Mapping[str, Any]) -> Visibility:
        intrinsics, poses = (state[key].cpu().numpy() for key in ("intrinsics", "cam_to_world"))
        height, width = state["size"]
        cameras, shape = Cameras(intrinsics, poses, (height, width)), (len(intrinsics), height, width)
        if "shown" not in state:
            return cls(cameras)
        count = math.prod(shape)
        packed = np.frombuffer(inflate(state["shown"].cpu().numpy().tobytes(), -(-count // 8)), dtype=np.uint8)
        return cls(cameras, np.unpackbits(packed, count=count).reshape(shape).astype(np.bool_))


def count_views(mesh: Mesh, visibility: Visibility) -> IntArray:
    """How many views see each vertex, uint16 [M].

    A view sees a vertex that lies in its picture, on a pixel that shows the target (or next to one that does), faces
    the camera within 80 degrees and has nothing of the mesh before it.

    Args:
        mesh: normalized frame.
    """
    seen = np.zeros(len(mesh.vertices), dtype=np.uint16)
    if len(mesh.faces) == 0:
        return seen
    caster, normals = MeshCaster(mesh), mesh_normals(mesh)[1]
    raised = mesh.vertices + LIFT * median_edge(mesh) * normals
    for view, center in enumerate(visibility.cameras.centers):
        facing = (unit(center - mesh.vertices) * normals).sum(axis=1) > FACING
        asked = np.flatnonzero(facing)
        asked = asked[_pictured(visibility, view, mesh.vertices[asked])]
        if not len(asked):
            continue
        blocked = caster.blocked(raised[asked], np.broadcast_to(center, (len(asked), 3)))
        seen[asked[~blocked]] += 1
    return seen


def median_edge(mesh: Mesh) -> float:
    """Median length of the faces' edges, in the mesh's unit."""
    corners = mesh.vertices[mesh.faces]
    return float(np.median(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)))


def _pictured(visibility: Visibility, view: int, points: FloatArray) -> BoolArray:
    """Which of the points [P, 3] lie in a view's picture, where one of the four pixels around shows the target."""
    xy, z = project(visibility.cameras.intrinsics[view], visibility.cameras.cam_to_world[view], points)
    height, width = visibility.cameras.size
    x, y = np.where(z[:, None] > 1e-6, xy, -1.0).T
    inside: BoolArray = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    if visibility.shown is not None:
        left, top = np.floor(x[inside]).astype(np.int64), np.floor(y[inside]).astype(np.int64)
        around = [
            visibility.shown[view][(top + down).clip(0, height - 1), (left + right).clip(0, width - 1)]
            for down in (0, 1)
            for right in (0, 1)
        ]
        inside[inside] = np.any(around, axis=0)
    return inside
