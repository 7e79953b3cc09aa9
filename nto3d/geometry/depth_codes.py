"""Numbers in a depth map that stand for "unknown": the largest of its type, -1, 1e10 and their kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.types import BoolArray

GAP = 0.01  # of a type's largest number: nearer to the next depth than this it ends a range, and is a depth
FAR = 100.0  # times as deep as everything else: no depth of the same picture
OFTEN = 2  # pixels that hold a code, at least


def saturated(steps: NDArray[Any], most: int) -> BoolArray:
    """Where whole numbers [...] are the largest of their type, and that stands apart from the others.

    Sensors and writers give 65535 (255 with 8 bits) to what they did not measure, or clip to it what is too far. A
    map that is stretched to all of its type's numbers has others just below: there the largest is a depth.

    Args:
        steps: 0 is unknown. most: the largest number of the type.
    """
    found: BoolArray = steps >= most
    if found.any():
        below = float(np.where(found, 0, steps).max())
        if most - below <= max(GAP * most, 1.0):
            return np.zeros_like(found)
    return found


def sentinels(depth: NDArray[np.floating[Any]]) -> tuple[BoolArray, list[float]]:
    """Where floats [...] are codes, and which: one number below 0, or a number beyond everything else.

    A negative number is a code if no other is negative, and something is above 0. A large one is a code if two pixels
    at least hold exactly it and it is FAR times the largest of the others.
    """
    codes: list[float] = []
    finite = np.isfinite(depth)
    found = np.zeros(depth.shape, dtype=np.bool_)
    negative = finite & (depth < 0)
    if not (finite & (depth > 0)).any():
        return found, codes
    if negative.any() and depth[negative].min() == depth[negative].max():
        codes.append(float(depth[negative][0]))
        found |= negative
    known = depth[finite & (depth > 0)]
    while (most := known.max()) > 0:
        rest = known[known < most]
        if len(known) - len(rest) < OFTEN or not len(rest) or float(most) < FAR * float(rest.max()):
            break
        codes.append(float(most))
        known = rest
        found |= finite & (depth >= most)
    return found, codes
