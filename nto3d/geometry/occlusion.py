"""Find where something stands in front of the target: masks hold what is seen, not what is there.

A pixel without mask says "background" to space carving, also where another object hides the target. Such pixels betray
themselves: nearly all other views agree that there is target, and several of them see it unhidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.geometry.cameras import pixels_of, unproject
from nto3d.geometry.hull import cell_centers
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray

DISSENT = 0.08  # share of the views that may contradict before a cell counts as background
SUPPORT = 3  # views that must see a point unhidden and masked
WIDE, REACH = 5, 9  # pixels of a map, each about as large as a cell
ROUNDS = 3  # what is found in one round makes the hull of the next more complete
FAR = 1e6
DEPTH_SLACK = 3.0  # cells by which a point may lie behind the hull's front and still count as unhidden


@dataclass(frozen=True)
class _Map:
    """One view in pixels about as large as a cell: [h, w] arrays."""

    reduction: int
    front: FloatArray  # z of the tolerant hull's front, infinite where there is none
    mask: BoolArray  # any pixel of the target in it


def occluded_pixels(cameras: Cameras, views: Sequence[int], masks: BoolArray, resolution: int = 64) -> BoolArray | None:
    """Pixels in which the target is probably hidden behind something.

    A hull that forgives single views (a cell is kept while at most 8 % of the views that see it, but at least one,
    show background there) is projected into every view. Where it sticks out of the mask in a region several cells
    wide, and the region's points are seen unhidden and masked by at least three other views, something hides it.

    Args:
        cameras: of the scene. views: indices to use. masks: bool [V, H, W]. resolution: cells along an axis.

    Returns:
        bool [V, H, W], never true inside a mask; None where nothing is hidden.
    """
    used = [view for view in views if masks[view].any()]
    hidden = np.zeros_like(masks)
    for _ in range(ROUNDS):
        points = _tolerant_hull(cameras, used, masks, hidden, resolution)
        if len(points) == 0 or len(used) <= SUPPORT:
            return None
        found = _find(cameras, used, masks, points, 2.0 / resolution)
        if not (found & ~hidden).any():
            break
        hidden |= found
    return hidden if hidden.any() else None


def _find(cameras: Cameras, used: Sequence[int], masks: BoolArray, points: FloatArray, cell: float) -> BoolArray:
    """Pixels in which the hull of cells at `points` sticks out of a mask where others see it unhidden."""
    maps = {view: _map(cameras, view, masks[view], points, cell) for view in used}
    hidden = np.zeros_like(masks)
    for view in used:
        sticking_out = np.isfinite(maps[view].front) & ~maps[view].mask
        if not _open(sticking_out).any():
            continue
        rows, columns = np.nonzero(sticking_out)
        sticking_out[rows, columns] = _support(cameras, maps, view, rows, columns, cell) >= SUPPORT
        # A wide region is needed to believe it; then its thin surroundings count, too.
        around = cv2.dilate(_open(sticking_out).astype(np.uint8), np.ones((REACH, REACH), np.uint8)) > 0
        region = cv2.dilate((around & sticking_out).astype(np.uint8), np.ones((3, 3), np.uint8))
        height, width = cameras.size
        whole = np.kron(region, np.ones((maps[view].reduction,) * 2, np.uint8))[:height, :width] > 0
        hidden[view] = whole & ~masks[view]
    return hidden


def _tolerant_hull(
    cameras: Cameras, views: Sequence[int], masks: BoolArray, hidden: BoolArray, resolution: int
) -> FloatArray:
    """Centres [P, 3] of the cells that most views agree on; hidden pixels have no say."""
    centers = cell_centers(resolution).reshape(-1, 3).astype(np.float64)
    centers = centers[np.linalg.norm(centers, axis=1) < 1.0]
    seen, against = np.zeros(len(centers)), np.zeros(len(centers))
    for view in views:
        inside, row, column, z = pixels_of(cameras, view, centers)
        distance = cv2.distanceTransform((~(masks[view] | hidden[view])).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        footprint = 3**0.5 / resolution * cameras.intrinsics[view, 0, 0] / z[inside]
        seen += inside
        against[inside] += distance[row[inside], column[inside]] > footprint + 1.0
    return centers[(seen >= 2) & (against <= np.maximum(1.0, np.floor(DISSENT * seen)))]


def _map(cameras: Cameras, view: int, mask: BoolArray, points: FloatArray, cell: float) -> _Map:
    inside, row, column, z = pixels_of(cameras, view, points)
    footprint = cell * cameras.intrinsics[view, 0, 0] / np.median(z[inside]) if inside.any() else 1.0
    reduction = max(1, round(float(footprint)))
    height, width = (-(-side // reduction) for side in cameras.size)
    front = np.full((height, width), np.inf)
    np.minimum.at(front, (row[inside] // reduction, column[inside] // reduction), z[inside])
    front = cv2.erode(front, np.ones((3, 3), np.uint8))  # the smallest of the neighbours: closes gaps between cells
    front[front > FAR] = np.inf  # cv2 pads with a huge number
    padded = np.zeros((height * reduction, width * reduction), dtype=bool)
    padded[: cameras.size[0], : cameras.size[1]] = mask
    small: BoolArray = np.asarray(padded.reshape(height, reduction, width, reduction).any(axis=(1, 3)))
    return _Map(reduction, front, small)


def _open(region: BoolArray) -> BoolArray:
    """What is left of a region [h, w] without its parts thinner than `WIDE` pixels."""
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, np.ones((WIDE, WIDE), np.uint8))
    return opened > 0


def _support(
    cameras: Cameras, maps: dict[int, _Map], view: int, rows: IntArray, columns: IntArray, cell: float
) -> IntArray:
    """How many other views see the hull's front at these pixels of `view`'s map unhidden and masked, [P]."""
    own = maps[view]
    xy = np.stack([(columns + 0.5) * own.reduction - 0.5, (rows + 0.5) * own.reduction - 0.5], axis=-1)
    points = unproject(cameras.intrinsics[view], cameras.cam_to_world[view], xy, own.front[rows, columns])
    count = np.zeros(len(rows), dtype=np.int64)
    for other, their in maps.items():
        if other == view:
            continue
        inside, row, column, z = pixels_of(cameras, other, points)
        row, column = row[inside] // their.reduction, column[inside] // their.reduction
        unhidden = z[inside] < their.front[row, column] + DEPTH_SLACK * cell
        count[inside] += unhidden & their.mask[row, column]
    return count
