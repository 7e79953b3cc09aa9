"""The depth that a scene holds for its pictures."""

from __future__ import annotations

import numpy as np

from nto3d.depth.base import PointMap, back_project, picture_size
from nto3d.errors import InputError
from nto3d.types import ByteArray, FloatArray


class SceneDepth:
    """The depth map that came with one view of a scene; its points are in world units.

    Args:
        depths: `Scene.depths`, [V, H, W], z along the optical axis in normalized units, 0 = unknown; None where the
            scene has none.
        view: index of the view.
        scale: `Scene.scale`, world units per normalized unit.

    Raises:
        InputError: the scene has no depth maps, no such view, or nothing is known in that view.
        ValueError: the depths are no [V, H, W], or the scale is not positive.
    """

    def __init__(self, depths: FloatArray | None, view: int, scale: float) -> None:
        if depths is None:
            raise InputError(
                "depth=scene: expected depth maps in the scene's folder, there are none; pass depth=file "
                "depth.path=FILE, or depth=zoedepth"
            )
        if depths.ndim != 3:
            raise ValueError(f"expected depths [V, H, W], got {list(depths.shape)}")
        if not 0 < scale < np.inf:
            raise ValueError(f"expected a positive scale, got {scale}")
        if not 0 <= view < len(depths):
            raise InputError(f"depth=scene: expected a view from 0 to {len(depths) - 1}, got {view}")
        depth = depths[view]
        if not (np.isfinite(depth) & (depth > 0)).any():
            raise InputError(f"depth=scene: expected a depth map of view {view}, nothing is known there")
        self._depth, self._view, self._scale = depth, view, scale

    def point_map(self, image: ByteArray, intrinsics: FloatArray) -> PointMap:
        """The points of the view's picture, camera frame, world units.

        Args:
            image: uint8 [H, W, 3], the picture of the view. intrinsics: [3, 3], its pixels.

        Raises:
            InputError: the picture has another size than the depth map.
            ValueError: the picture or the intrinsics are of another shape or type.
        """
        height, width = picture_size(image)
        if self._depth.shape != (height, width):
            rows, columns = self._depth.shape
            raise InputError(
                f"depth=scene: expected the picture of view {self._view}, {columns} x {rows} pixels like its depth "
                f"map, got one of {width} x {height}"
            )
        return back_project(self._depth.astype(np.float64) * self._scale, intrinsics)
