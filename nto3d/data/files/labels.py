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
ONE_SIDE = 0.1  # share of a label's border that may be brighter (or darker)


def check_labels(pictures: Iterable[NDArray[Any]], values: NDArray[np.intp], where: Path) -> None:
    """Refuses exact pictures [H, W] of labels, by what is between the smallest and the largest of their values.

    Args:
        pictures: of more than two values. values: of all of them, ascending. where: their folder.

    Raises:
        InputError: they are labels.
    """
    trimap = len(values) == 3 and abs(2 * values[1] - values[2]) <= 1
    if values[:1].tolist() != [0] or not 2 < len(values) <= FEW or trimap:
        return
    inner = values[1:-1]
    totals = {int(value): np.zeros(5, dtype=np.int64) for value in inner}
    for levels in pictures:
        for value in totals if not levels.min() else ():  # pictures of labels are 0 elsewhere
            totals[value] += _count(levels, value)
    for area, flat, border, brighter, more in totals.values():
        alone, enclosed = brighter <= ONE_SIDE * border, brighter >= (1 - ONE_SIDE) * border and more < area
        if flat and border and (alone or enclosed):
            raise InputError(
                f"{where}: expected masks of one object, 0 elsewhere, got label pictures: values "
                f"{', '.join(str(value) for value in values)}"
            )


def _count(levels: NDArray[Any], value: int) -> NDArray[np.int64]:
    """Pixels of a value, whether some region is flat, pixels of the border, brighter ones there, and all brighter ones.

    The border is that of thin lines, too: a blurred edge holds a value in bands, and in a plateau here and there.
    """
    same, around = (levels == value).astype(np.uint8), np.ones((3, 3), np.uint8)
    area = cv2.countNonZero(same)
    if not area:
        return np.zeros(5, dtype=np.int64)
    flat = False
    if cv2.erode(same, around).any():  # as few edges
        depth = cv2.distanceTransform(same, cv2.DIST_L2, 3)  # a picture's border ends no region
        flat = bool((depth > max(2.0, FLAT * max(levels.shape))).any())
    border = cv2.dilate(same, around) > same
    brighter = levels > value
    counts = [area, flat, border.sum(), (border & brighter).sum(), brighter.sum()]
    return np.array(counts, dtype=np.int64)
