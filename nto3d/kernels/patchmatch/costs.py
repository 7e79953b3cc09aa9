"""What a plane costs: how unlike a patch is to its pictures in the sources, over the better of these.

Something may hide the place from some sources. Letters as in `patchmatch`.
"""

# ruff: noqa: UP018, RUF046
# mypy: disable-error-code="index, operator"
# (as in kernels.patchmatch)
from __future__ import annotations

from typing import Any

import warp as wp

from nto3d.kernels.patchmatch.patchmatch import NONE, SLOTS, Patch, Pixel, Views, _correlation

_NOTHING = wp.constant(NONE)
_STEEPEST = wp.constant(0.17)  # cosine between a plane's normal and the ray, 80 degrees

Scores: Any = wp.types.vector(length=SLOTS, dtype=wp.float32)


@wp.struct
class Candidate:
    """A plane and its cost."""

    plane: wp.vec3
    cost: float


@wp.func
def _all_scores(patch: Patch, views: Views, at: Pixel, plane: wp.vec3) -> Scores:
    scores = Scores()
    for slot in range(views.slots):
        scores[slot] = _correlation(patch, views, at, slot, plane)
    return scores


@wp.func
def _best_half(views: Views, view: int, scores: Scores) -> int:
    """Bits of the better half of a view's sources: something may hide the place from the rest."""
    exist = int(0)
    for slot in range(views.slots):
        if views.sources[view, slot] >= 0:
            exist += 1
    bits = int(0)
    for _round in range((exist + 1) // 2):
        best = int(0)
        value = float(-3.0)
        for slot in range(views.slots):
            free = (bits >> slot) & 1
            if free == 0 and scores[slot] > value and views.sources[view, slot] >= 0:
                best = slot
                value = scores[slot]
        bits = bits | (1 << best)
    return bits


@wp.func
def _mean_cost(views: Views, scores: Scores, bits: int) -> float:
    total = float(0.0)
    count = float(0.0)
    for slot in range(views.slots):
        if (bits >> slot) & 1 == 1:
            total += 1.0 - scores[slot]
            count += 1.0
    if count == 0.0:
        return _NOTHING
    return total / count


@wp.func
def _cost(patch: Patch, views: Views, at: Pixel, plane: wp.vec3, chosen: int, limit: float) -> float:
    """Mean of 1 - correlation over the chosen sources, or over the best half; what exceeds `limit` is a lower bound."""
    if chosen == 0:
        scores = _all_scores(patch, views, at, plane)
        return _mean_cost(views, scores, _best_half(views, at.view, scores))
    count = float(0.0)
    for slot in range(views.slots):
        count += float((chosen >> slot) & 1)
    total = float(0.0)
    for slot in range(views.slots):
        if (chosen >> slot) & 1 == 1 and total <= limit * count:
            total += 1.0 - _correlation(patch, views, at, slot, plane)
    return total / count


@wp.func
def _possible(views: Views, at: Pixel, plane: wp.vec3) -> bool:
    """Whether a plane lies in the searched range and is not seen from too far aside."""
    span = views.span[at.view]
    ray = views.inverse[at.view] * wp.vec3(at.x, at.y, 1.0)
    line = wp.vec3(plane[1], plane[2], plane[0] - plane[1] * at.x - plane[2] * at.y)
    normal = wp.transpose(views.intrinsics[at.view]) * line
    facing = plane[0] > _STEEPEST * wp.length(normal) * wp.length(ray)
    return facing and plane[0] >= span[0] and plane[0] <= span[1]


@wp.func
def _better(patch: Patch, views: Views, at: Pixel, best: Candidate, other: wp.vec3, chosen: int) -> Candidate:
    """The best plane so far, or another one where that is possible and costs less."""
    out = Candidate()
    out.plane = best.plane
    out.cost = best.cost
    if _possible(views, at, other):
        found = _cost(patch, views, at, other, chosen, best.cost)
        if found < best.cost:
            out.plane = other
            out.cost = found
    return out
