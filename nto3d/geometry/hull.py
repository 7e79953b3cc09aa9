"""Where a surface can be at all: the hull of masks or of camera frusta, as a voxel grid over [-1, 1]^3."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from nto3d.geometry.cameras import pixels_of
from nto3d.types import BoolArray, Cameras, FloatArray


def cell_centers(resolution: int) -> FloatArray:
    """Centres [G, G, G, 3] of the cells, axes x, y, z, normalized frame."""
    axis = (np.arange(resolution) + 0.5) * (2.0 / resolution) - 1.0
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).astype(np.float32)


def visual_hull(
    cameras: Cameras,
    views: Sequence[int],
    resolution: int,
    masks: BoolArray | None = None,
    unknown: BoolArray | None = None,
    margin: float = 2.0,
    dissent: float = 0.0,
) -> BoolArray:
    """Cells in which a surface can lie (Laurentini 1994, on a grid, and generous).

    A cell is dropped when a view that has it in its picture shows background there, farther than the cell's own
    footprint and `margin` pixels from the mask. A view whose picture does not hold the cell has no say. Without masks,
    a cell stays when at least two views (one, if there is only one) see it.

    Args:
        cameras: of the scene. views: indices to use. resolution: G. masks: bool [V, H, W], or None.
        unknown: bool [V, H, W], pixels that have no say (see `occlusion.occluded_pixels`), or None.
        margin: pixels. dissent: share of the views that see a cell which may show background there and be wrong.

    Returns:
        bool [G, G, G]; only cells that touch the unit sphere are set.
    """
    half_diagonal = 3**0.5 / resolution
    centers = cell_centers(resolution).reshape(-1, 3)
    alive = np.nonzero(np.linalg.norm(centers, axis=1) < 1.0 + half_diagonal)[0]
    seen, against = np.zeros((2, len(centers)), dtype=np.int16)
    for view in views:
        inside, row, column, z = pixels_of(cameras, view, centers[alive].astype(np.float64))
        seen[alive[inside]] += 1
        if masks is not None:
            known = ~masks[view] if unknown is None else ~(masks[view] | unknown[view])
            outside = np.ascontiguousarray(known).view(np.uint8)
            if not masks[view].any():
                continue  # nothing is known of a view without a mask
            distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
            focal = max(cameras.intrinsics[view, 0, 0], cameras.intrinsics[view, 1, 1])
            outvoted = distance[row[inside], column[inside]] > half_diagonal * focal / z[inside] + margin
            against[alive[inside]] += outvoted
            # No more than this can be forgiven, whatever the views to come show
            alive = alive[against[alive] <= dissent * len(views)]
    alive = alive[against[alive] <= np.floor(dissent * seen[alive])]
    needed = 1 if masks is not None else min(2, len(views))
    hull = np.zeros(len(centers), dtype=bool)
    hull[alive] = seen[alive] >= needed
    return hull.reshape(resolution, resolution, resolution)
