"""How well a network completes objects of which everything is known (Wu et al. 2023, section 4).

Letters: N surface points, S seen points, K occupied places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nto3d.data.object_views import ObjectViews
from nto3d.mcc.batches import Subject, make_subject
from nto3d.mcc.hints import Hints
from nto3d.mcc.inputs import relative_margin
from nto3d.mcc.measure import FScore, f_score, hidden_coverage
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.query import EXTENT, Sweep, logit_of, sweep
from nto3d.stages.mcc.complete import asker
from nto3d.types import FloatArray

CANDIDATES = tuple(step / 50 for step in range(10, 45))  # thresholds to choose among


@dataclass(frozen=True)
class HeldOut:
    """A view to measure with.

    Attributes:
        subject: the view as the network takes it. seen: [S, 3] every point of the target that it shows, in the
            network's frame.
    """

    subject: Subject
    seen: FloatArray

    @classmethod
    def of(cls, item: ObjectViews, view: int, sizes: MccSizes) -> HeldOut:
        """A view of an object."""
        subject = subject_of(item, view, sizes)
        return cls(subject, item.seen(view) @ subject.place[:, :3].T + subject.place[:, 3])


def subject_of(item: ObjectViews, view: int, sizes: MccSizes) -> Subject:
    """A view of an object as the network takes it; the object's frame is the surface's.

    Raises:
        InputError: the view shows next to nothing of the object.
    """
    points, mask, pose = item.points(view), item.masks[view], item.cameras.cam_to_world[view]
    margin = relative_margin(mask)
    return make_subject(item.images[view], points, mask, item.surface, item.surface_rgb, sizes, margin, pose)


@dataclass(frozen=True)
class Completed:
    """One object, completed, in the network's frame.

    Attributes:
        found: the sweep. truth: [N, 3] the surface. seen: [S, 3].
    """

    found: Sweep
    truth: FloatArray
    seen: FloatArray

    def places(self, threshold: float) -> FloatArray:
        """Occupied places [K, 3] at a threshold, not below that of the sweep."""
        return self.found.axis[np.argwhere(self.found.logit > logit_of(threshold))]

    def scores(self, threshold: float) -> dict[str, float]:
        """F-score, precision and recall of the places found, of the seen points alone, and the hidden part covered."""
        places = self.places(threshold)
        score, seen = f_score(places, self.truth), f_score(self.seen, self.truth)
        return {
            **_named("", score),
            **_named("seen_", seen),
            "hidden_coverage": hidden_coverage(places, self.truth, self.seen),
        }


@torch.no_grad()
def complete_view(
    model: Mcc,
    held_out: HeldOut,
    granularity: float,
    threshold: float,
    batch: int,
    extent: float = EXTENT,
    first_stride: int | None = None,
) -> Completed:
    """Sweep one view of an object.

    Args:
        held_out: the view. The others: as of `mcc.query.sweep`.
    """
    subject = held_out.subject
    hints = Hints(subject.seen, subject.eye) if subject.seen is not None and subject.eye is not None else None
    answer = asker(model, subject.image.float() / 255.0, subject.points, subject.valid, hints)
    found = sweep(answer, granularity, threshold, batch, extent=extent, first_stride=first_stride)
    return Completed(found, subject.normalized, held_out.seen)


def mean_scores(completed: Sequence[Completed], threshold: float) -> dict[str, float]:
    """Means over objects; an object without a hidden part does not count in `hidden_coverage`.

    Raises:
        ValueError: there is none.
    """
    if not completed:
        raise ValueError("expected at least one completed object, got none")
    scores = [one.scores(threshold) for one in completed]
    return {name: float(np.nanmean([score[name] for score in scores])) for name in scores[0]}


def calibrate(model: Mcc, views: Sequence[HeldOut], granularity: float, threshold: float, batch: int) -> float:
    """Shift a network's answers until a threshold is the one with the best F-score.

    In training more places are occupied than there are in space, and the network's probabilities say so.

    Args:
        views: of objects that are not measured with later. granularity, batch: as of `mcc.query.sweep`. threshold:
            that is to become the best.

    Returns:
        The threshold that was the best before.
    """
    lowest = min(CANDIDATES)
    completed = [complete_view(model, view, granularity, lowest, batch) for view in views]

    def mean_f(candidate: float) -> float:
        return float(np.mean([f_score(one.places(candidate), one.truth).f for one in completed]))

    best = max(CANDIDATES, key=mean_f)
    model.shift_occupancy(logit_of(threshold) - logit_of(best))
    return best


def _named(prefix: str, score: FScore) -> dict[str, float]:
    return {f"{prefix}f_score": score.f, f"{prefix}precision": score.precision, f"{prefix}recall": score.recall}
