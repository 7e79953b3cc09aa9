"""Pictures of labels (ids of objects, a class and its void rim) told from masks whose edges are soft.

Both hold a few values. What a soft edge holds between off and on, as what is unknown in a trimap, is a thin line, or a
band, with less on its one side and more on the other. A label is flat, and has less all around; or it has more all
around, as an object of 1 in a void rim of 255.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nto3d.errors import InputError

FEW = 16  # values of pictures of labels that are looked at, at most
FLAT = 0.01  # of a picture's longer side, 2 pixels at least: a region that has a pixel so far from its edge is flat
ONE_SIDE = 0.1  # share of a flat region's border that may be brighter (or darker) where it is no band of an edge


def check_labels(pictures: Iterable[NDArray[Any]], values: NDArray[np.intp], where: Path) -> None:
    """Refuses exact pictures [H, W] of labels, by what is between the smallest and the largest of their values.

    Args:
        pictures: of more than two values. values: of all of them, ascending. where: their folder.

    Raises:
        InputError: they are labels.
    """
    if not 2 < len(values) <= FEW:
        return
    inner = values[1:-1]
    totals = {int(value): np.zeros(4, dtype=np.int64) for value in inner}
    for levels in pictures:
        for value in totals:
            totals[value] += _flat(levels, value)
    for area, border, brighter, more in totals.values():
        alone, enclosed = brighter <= ONE_SIDE * border, brighter >= (1 - ONE_SIDE) * border and more < area
        if border and (alone or enclosed):
            raise InputError(
                f"{where}: expected masks of one object, 0 elsewhere, got label pictures: values "
                f"{', '.join(str(value) for value in values)}"
            )


def _flat(levels: NDArray[Any], value: int) -> NDArray[np.int64]:
    """Pixels of a value's flat regions, of their border, of those that are brighter there, and of all brighter ones."""
    same, around = (levels == value).astype(np.uint8), np.ones((3, 3), np.uint8)
    if not cv2.erode(same, around).any():  # as the edges of nearly all masks
        return np.zeros(4, dtype=np.int64)
    depth = cv2.distanceTransform(same, cv2.DIST_L2, 3)  # a picture's border ends no region
    _, regions = cv2.connectedComponents(same, connectivity=4)
    deep = np.unique(regions[depth > max(2.0, FLAT * max(levels.shape))])
    flat = np.isin(regions, deep[deep > 0])
    border = (cv2.dilate(flat.astype(np.uint8), around) > 0) & (levels != value)
    brighter = levels > value
    counts = [flat.sum(), border.sum(), (border & brighter).sum(), brighter.sum()]
    return np.array(counts, dtype=np.int64)
