"""How well places found agree with the true surface; all points in one frame and unit, the network's by default.

Letters: K places found, N points of the true surface, S seen points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from nto3d.types import FloatArray

DISTANCE = 0.1  # as the published evaluation


@dataclass(frozen=True)
class FScore:
    """Agreement of places found and true surface, each 0..1.

    Attributes:
        precision: share of the places found that lie on the surface. recall: share of the surface that was found.
    """

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """Harmonic mean of both, 0 where both are."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total > 0 else 0.0


def f_score(found: FloatArray, truth: FloatArray, distance: float = DISTANCE) -> FScore:
    """Precision and recall at a distance (Wu et al. 2023, section 4).

    Args:
        found: [K, 3], may be empty. truth: [N, 3], not empty. distance: nearer than this is the same.

    Raises:
        ValueError: a shape is wrong, or there is no truth.
    """
    _check(found=found, truth=truth)
    if not len(truth):
        raise ValueError("expected points of the true surface, got none")
    return FScore(_share(found, truth, distance), _share(truth, found, distance))


def hidden_coverage(found: FloatArray, truth: FloatArray, seen: FloatArray, distance: float = DISTANCE) -> float:
    """Share, 0..1, of the surface that was not seen and was found: what completion adds.

    Args:
        found: [K, 3], may be empty. truth: [N, 3]; hidden is what lies `distance` or more from every seen point
            [S, 3]. distance: nearer than this is the same.

    Returns:
        The share; not a number where nothing is hidden.

    Raises:
        ValueError: a shape is wrong.
    """
    _check(found=found, truth=truth, seen=seen)
    hidden = truth[~_close(truth, seen, distance)]
    return _share(hidden, found, distance) if len(hidden) else math.nan


def _share(points: FloatArray, others: FloatArray, distance: float) -> float:
    return float(_close(points, others, distance).mean()) if len(points) else 0.0


def _close(points: FloatArray, others: FloatArray, distance: float) -> np.ndarray:
    """Bool, for each of the points: whether one of the others is nearer than `distance`."""
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=np.bool_)
    close: np.ndarray = cKDTree(others).query(points)[0] < distance
    return close


def _check(**sets: FloatArray) -> None:
    for name, points in sets.items():
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"expected {name} points [., 3], got {list(points.shape)}")
