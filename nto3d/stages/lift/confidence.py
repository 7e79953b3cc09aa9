"""How far the masks of a lift are to be believed, and where one more click would tell most.

Three may disagree. Geometry takes in what stands on its own, in other colours and against the masks' votes, because the
object would not stand without it; or leaves out what they speak for. And where the target has the colours of what is
around it, nothing but the views' agreement says where it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import KDTree

from nto3d.geometry.cameras import RayCaster
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.views.projection import SOLID, Projection, shrunk, surface_places
from nto3d.stages.views.voting import SurfaceVotes
from nto3d.stages.whole.color_model import elsewhere
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray

CLEAR, UNCLEAR = 0.15, 0.3  # how much rather the target's pixels have the colours of something else: little, too much
DECIDED = 0.4  # geometry that is nearer to the mask says what it says; what it leaves open is farther from both
LEAST, MOST = 0.25, 0.7  # doubt of a pixel in a doubtful region; of the largest there: where a click is asked for
ANSWERED, FAR = 0.06, 1e6  # normalized units around a click in which no other is asked for; farther than anything


@dataclass(frozen=True)
class Confidence:
    """What is doubtful in the masks of an object.

    Attributes:
        confidence: 0..1, roughly the masks' IoU with what was meant. view: in which a click would tell most, and where:
            place: [2] (x, y), in pixels of the scene's pictures. Both are None where nothing is in doubt.
    """

    confidence: float
    view: int | None = None
    place: FloatArray | None = None


def estimate_confidence(
    masks: Mapping[int, ViewMask],
    targets: Mapping[int, FloatArray] | None,
    against: Mapping[int, FloatArray] | None,
    seen: Mapping[int, Projection],
    cameras: Cameras,
    images: ByteArray,
    views: Sequence[int],
    clicked: FloatArray,
) -> Confidence:
    """How far the masks of views are to be believed.

    Args:
        masks: after the last round. targets, against: what geometry says, see `whole.Whole`; None: nothing.
        seen: the scene's surface. cameras: of `seen` (reduced). images: uint8 [V, H, W, 3]. views: to look at.
        clicked: places [P, 3] of the surface that the user has pointed at already.
    """
    small = {view: shrunk(masks[view].pixels, cameras.size) for view in views}
    size = sum(int(np.count_nonzero(mask)) for mask in small.values())
    if size == 0:
        return Confidence(0.0)
    votes, whole = SurfaceVotes(cameras), {}
    for view, mask in small.items():
        votes.add(seen[view], mask)
        whole[view] = np.zeros(mask.shape, dtype=np.float32)
        if targets is not None and against is not None:
            agrees = np.abs(targets[view] - mask) < DECIDED
            whole[view] = np.where(agrees, against[view], 0.0)
    known = {view: (seen[view].opacity > SOLID) & ~seen[view].differs for view in views}
    sure = {view: ~seen[view].differs & (whole[view] < LEAST) for view in views}
    other = elsewhere(images, small, sure)
    unclear = _unclear(other, {view: mask & sure[view] for view, mask in small.items()})
    caster, answered = RayCaster(cameras, "cpu"), KDTree(clicked if len(clicked) else np.full((1, 3), FAR))
    doubts, apart, both, either = {}, 0.0, 0.0, 0.0
    for view, mask in small.items():
        agreed = votes.ask(seen[view])
        both += float(np.minimum(agreed, mask)[known[view]].sum())
        either += float(np.maximum(agreed, mask)[known[view]].sum())
        apart += float(whole[view][known[view]].sum())
        # What looks like something else first: it is rather there that geometry is wrong
        doubt = np.maximum(unclear * np.abs(agreed - mask), whole[view] * (0.5 + other[view]))
        away, _ = answered.query(surface_places(caster, seen[view])[0].reshape(-1, 3))
        doubts[view] = np.where(known[view] & (away.reshape(mask.shape) > ANSWERED), doubt, 0.0)
    confidence = max(0.0, 1.0 - apart / size) * (1.0 - unclear * (1.0 - both / max(either, 1e-6)))
    found = _largest(doubts)
    if found is None:
        return Confidence(confidence)
    view, pixel = found
    factor = np.array(masks[view].pixels.shape[::-1]) / np.array(cameras.size[::-1])
    return Confidence(confidence, view, np.rint((pixel + 0.5) * factor - 0.5))


def _unclear(other: Mapping[int, FloatArray], target: Mapping[int, BoolArray]) -> float:
    """How far, 0..1, the target [h, w] of each view has colours [h, w] that rather are those of something else."""
    alike = sum(float(other[view][mask].sum()) for view, mask in target.items())
    alike /= max(1, sum(int(np.count_nonzero(mask)) for mask in target.values()))
    return float(np.clip((alike - CLEAR) / (UNCLEAR - CLEAR), 0.0, 1.0))


def _largest(doubts: Mapping[int, FloatArray]) -> tuple[int, FloatArray] | None:
    """The view and the pixel [2] (x, y) in the middle of the region with the most doubt [h, w], or None."""
    best, found = 0.0, None
    for view, doubt in doubts.items():
        count, regions = cv2.connectedComponents((doubt > LEAST).view(np.uint8), connectivity=4)
        sums = np.bincount(regions.reshape(-1), doubt.reshape(-1), minlength=count)
        sums[0] = 0.0
        if sums.max() > best:
            region = regions == int(sums.argmax())
            best, found = float(sums.max()), (view, _middle(region & (doubt > MOST * doubt[region].max())))
    return found


def _middle(region: BoolArray) -> FloatArray:
    """The pixel [2] (x, y) of a region [h, w] that is farthest from its border."""
    depth = cv2.distanceTransform(np.pad(region, 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return np.array([column, row], dtype=np.float64)
