"""Masks damaged on purpose: what a lift must recover from."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from nto3d.types import BoolArray, ByteArray, FloatArray

CUT, PATCH, SPILL = 0.2, 0.1, 0.2  # shares of the mask's area
TOLERANCE = 12  # colour difference of neighbouring pixels over which a spill runs


def cut_away(mask: BoolArray, image: ByteArray, keep: FloatArray, rng: np.random.Generator) -> BoolArray:
    """A mask [H, W] without a fifth of its area, on the side that is farthest from `keep` [2] (x, y)."""
    rows, columns = np.nonzero(mask)
    away = np.array([columns.mean(), rows.mean()]) - keep
    angle = np.arctan2(away[1], away[0]) + rng.uniform(-0.7, 0.7)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    cut = mask.copy()
    far = along > np.quantile(along, 1.0 - CUT)
    cut[rows[far], columns[far]] = False
    return cut


def foreign_patch(mask: BoolArray, image: ByteArray, keep: FloatArray, rng: np.random.Generator) -> BoolArray:
    """A mask [H, W] with a disc added at its outline that covers a tenth of its area of something else."""
    rows, columns = np.nonzero(mask & (cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)) == 0))
    pick = int(rng.integers(len(rows)))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    away = np.hypot(x - columns[pick], y - rows[pick])
    foreign = np.sort(away[~mask])
    radius = foreign[min(len(foreign) - 1, round(PATCH * np.count_nonzero(mask)))]
    patched: BoolArray = mask | (away <= radius)
    return patched


def spilt(mask: BoolArray, image: ByteArray, keep: FloatArray, rng: np.random.Generator) -> BoolArray:
    """A mask [H, W] that has run over its outline at one place and on to what is coloured alike there.

    It ends where a fifth of the mask's area is covered; the place is the one beside which most of that area is even.
    """
    kernel = np.ones((3, 3), np.uint8)
    ring = np.argwhere((cv2.dilate(mask.view(np.uint8), kernel, iterations=3) > 0) & ~mask)
    smooth = cv2.medianBlur(image, 5)
    best, goal = mask, SPILL * np.count_nonzero(mask)
    for row, column in ring[rng.choice(len(ring), min(24, len(ring)), replace=False)]:
        walls = np.pad(mask.astype(np.uint8), 1)
        _, _, walls, _ = cv2.floodFill(
            smooth.copy(),
            walls,
            (int(column), int(row)),
            0,
            (TOLERANCE,) * 3,
            (TOLERANCE,) * 3,
            4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8),
        )
        region = walls[1:-1, 1:-1] == 2
        if np.count_nonzero(region) > goal:  # the part that is nearest to where it ran over
            y, x = np.nonzero(region)
            away = np.hypot(x - column, y - row)
            far = away > np.quantile(away, goal / len(away))
            region[y[far], x[far]] = False
        if np.count_nonzero(region) > np.count_nonzero(best & ~mask):
            best = mask | region
    return best


DAMAGES: dict[str, Callable[[BoolArray, ByteArray, FloatArray, np.random.Generator], BoolArray]] = {
    "cut": cut_away,
    "patch": foreign_patch,
    "spill": spilt,
}
