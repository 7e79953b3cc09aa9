"""Points of a target that are none of it: codes for "unknown", and what lies behind where a mask is a little too wide.

The network's frame is the mean and the spread of the seen points, which a few of them at the wrong end of the room
would move. Nothing is left out of a depth that holds no such points.

Depths are logarithms of z, so that nothing depends on the unit or on how far away the target is. The *size* is the
target's across the picture, seen from 1 away. The *body* is the range of depths that its pixels fill without a gap,
starting from their median; the *rim* are the pixels near the mask's border.

Letters: H, W picture, or the part of it that holds the target; K pixels of the target that have a point.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from nto3d.depth.base import PointMap
from nto3d.types import BoolArray, FloatArray

RIM, RIM_SHARE = 5, 0.01  # pixels of the rim: so many, and this share of the mask's side
NOISE = 0.005  # share of the pixels that bridges no gap
GAP, SURE = 0.3, 1.0  # sizes beyond the body from which on a point is none of the target: if it goes on beside the
# mask, and wherever it is
PART_GAP = 1.5  # the same of a part of the target that lies apart, flat and wider than the rim
ALIKE = 0.5  # share of its way from the body by which a point may differ from what it goes on to
SMOOTH, STEEP = 0.1, 0.6  # sizes between neighbours that hang together: anyhow, and along a slope
BEND = 2.0  # a slope may become so many times as steep from one pixel to the next, and hang together
FEWEST = 16  # points to judge by
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def outliers(found: PointMap, mask: BoolArray) -> BoolArray:
    """Which points of a target are none of it, [H, W].

    A point is left out that lies before or behind the body by more than GAP sizes, if what hangs together with it goes
    on beside the mask; or by more than SURE, wherever it is. It stays if it hangs together with the target: pixel by
    pixel on the way out from the mask's inside, in small steps or along a slope (a table that recedes, however far).
    Parts of the target that lie apart in depth are kept up to PART_GAP, if they are more than a rim.

    Args:
        found: the picture's points. mask: [H, W], the target.
    """
    known = mask & found.valid
    apart = np.zeros(mask.shape, dtype=np.bool_)
    if np.count_nonzero(known) < FEWEST:
        return apart
    (top, left), (bottom, right) = (ends(np.nonzero(mask), axis=1) for ends in (np.min, np.max))
    box = slice(max(top - 1, 0), bottom + 2), slice(max(left - 1, 0), right + 2)
    apart[box] = _outliers(found.points[box], found.valid[box], mask[box])
    return apart


def _outliers(points: FloatArray, valid: BoolArray, mask: BoolArray) -> BoolArray:
    """The same of the part of a picture that holds the target: points [H, W, 3], where there are some, and the mask."""
    known, inwards = mask & valid, _inwards(mask)
    depth = np.log(np.where(valid, points[..., 2], np.inf).astype(np.float64))
    size = _size(points[known].astype(np.float64))
    width = RIM + RIM_SHARE * np.count_nonzero(inwards) ** 0.5
    inner = inwards >= min(width, float(np.median(inwards[known])))
    low, high = _body(depth[known & inner], GAP * size)
    beyond = np.maximum(low - depth, depth - high)
    part = (inwards > width) & (beyond <= PART_GAP * size) & _flat(np.where(known, depth, np.inf), SMOOTH * size)
    apart = known & (beyond > GAP * size) & ~part
    if not apart.any():
        return apart
    apart = _not_joined(np.where(known, depth, 0.0), inwards, known & ~apart, apart, size)
    return apart & ((beyond > SURE * size) | _going_on(apart, depth, mask, beyond))


def _going_on(apart: BoolArray, depth: FloatArray, mask: BoolArray, beyond: FloatArray) -> BoolArray:
    """Which pixels apart from the target go on beside the mask, [H, W]: most that touch its border, piece by piece."""
    pieces, count = ndimage.label(apart, np.ones((3, 3)))
    touching, going = np.zeros(count + 1), np.zeros(count + 1)
    padded, inside = np.pad(depth, 1), np.pad(mask, 1, constant_values=True)  # nothing lies beside the picture
    height, width = mask.shape
    for down, right in _STEPS:
        near = slice(1 + down, 1 + down + height), slice(1 + right, 1 + right + width)
        border = apart & ~inside[near]
        same = border & (np.abs(padded[near] - np.where(apart, depth, 0.0)) < ALIKE * beyond)
        touching += np.bincount(pieces[border], minlength=count + 1)
        going += np.bincount(pieces[same], minlength=count + 1)
    found: BoolArray = ((touching > 0) & (going > 0.5 * touching))[pieces]
    return found


def _flat(depth: FloatArray, step: float) -> BoolArray:
    """Where all four neighbours in a depth map [H, W] (infinite where unknown) are as deep, up to a step."""
    cross = ndimage.generate_binary_structure(2, 1)
    range_ = [of(depth, footprint=cross, mode="nearest") for of in (ndimage.maximum_filter, ndimage.minimum_filter)]
    flat: BoolArray = np.isfinite(range_[0]) & (range_[0] - np.where(np.isfinite(range_[1]), range_[1], 0) <= 2 * step)
    return flat


def _inwards(mask: BoolArray) -> FloatArray:
    """Pixels from the mask's border, [H, W], 0 beside it, infinite where none is; the picture's border is none."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    away: FloatArray = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    return away


def _size(points: FloatArray) -> float:
    """The size of points [K, 3] across the picture, seen from 1 away: a wrong depth does not change it."""
    return float(np.linalg.norm(np.ptp(points[:, :2] / points[:, 2:], axis=0)))


def _body(depths: FloatArray, gap: float) -> tuple[float, float]:
    """The range around the median of depths [K] that has no gap but those that NOISE of them bridge."""
    ordered = np.sort(depths)
    few = max(1, round(NOISE * len(ordered)))
    some = ordered[::few]
    wide = np.flatnonzero(np.diff(some) > gap)
    middle = len(some) // 2
    first, last = wide[wide < middle], wide[wide >= middle]
    return float(some[first[-1] + 1] if len(first) else some[0]), float(some[last[0]] if len(last) else some[-1])


def _not_joined(depth: FloatArray, inwards: FloatArray, kept: BoolArray, asked: BoolArray, size: float) -> BoolArray:
    """Which of the pixels asked [H, W] hang together with no kept one, from the inside out."""
    nearness = np.exp(-depth)  # along a plane it changes by the same from pixel to pixel
    padded = [np.pad(values, 2) for values in (depth, nearness, inwards)]
    inside = np.pad(kept, 2)
    rows, columns = np.argwhere(asked).T + 2
    deepest = np.max([padded[2][rows - down, columns - right] for down, right in _STEPS], axis=0)
    ridge = deepest <= padded[2][rows, columns]  # in the middle of what is thin, which is followed along its length
    while len(rows):
        joined = np.zeros(len(rows), dtype=np.bool_)
        beside = []
        for down, right in _STEPS:
            here, near = (rows, columns), (rows - down, columns - right)
            behind = rows - 2 * down, columns - 2 * right
            step = np.abs(padded[0][here] - padded[0][near])
            slope, before = padded[1][here] - padded[1][near], padded[1][near] - padded[1][behind]
            straight = inside[behind] & (slope * before > 0) & (np.abs(slope) <= BEND * np.abs(before))
            beside.append(inside[near] & (step <= SMOOTH * size))
            together = beside[-1] | (inside[near] & straight & (step <= STEEP * size))
            joined |= together & (ridge | (padded[2][near] > padded[2][here]))
        joined |= (beside[0] & beside[2]) | (beside[1] & beside[3])  # between two that are kept
        if not joined.any():
            break
        inside[rows[joined], columns[joined]] = True
        rows, columns, ridge = rows[~joined], columns[~joined], ridge[~joined]
    apart = np.zeros(depth.shape, dtype=np.bool_)
    apart[rows - 2, columns - 2] = True
    return apart


def without_outliers(found: PointMap, mask: BoolArray) -> PointMap:
    """The points without the target's outliers; `found` itself where there are none."""
    apart = outliers(found, mask)
    if not apart.any():
        return found
    return PointMap(np.where(apart[..., None], np.float32(0.0), found.points), found.valid & ~apart)
