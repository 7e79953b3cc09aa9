"""What an object stands on: a plane below everything else that is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.geometry.normals import unit
from nto3d.types import BoolArray, FloatArray

TRIES = 400  # planes that are tried
WITHIN, TURNED = 0.015, 0.9  # of a plane's points: normalized units, cosine to its normal
BELOW = 0.03  # normalized units: what lies deeper is below a plane
FEW = 0.02  # share of all points that may lie below (nothing is reconstructed without errors)
LEAST = 0.008  # share of all points that must lie on it
REFITS = 3


@dataclass(frozen=True)
class Support:
    """A plane normal . x = offset, normalized frame; the normal [3], unit, points to what stands on it."""

    normal: FloatArray
    offset: float

    def height(self, points: FloatArray) -> FloatArray:
        """Height of points [..., 3] above it, normalized units."""
        above: FloatArray = points @ self.normal - self.offset
        return above


def find_support(
    points: FloatArray, normals: FloatArray, viewpoints: FloatArray, certain: BoolArray, seed: int = 0
) -> Support | None:
    """The plane with most points on it among those that have almost nothing below them, and all cameras above.

    What is seen *below* tells a table from a wall or a roof: a wall has the rest of the house behind it.

    Args:
        points, normals: [N, 3] of the surface, evenly spread over it. viewpoints: [V, 3] of the cameras.
        certain: [N], which points are surface for sure; only those speak against a plane. seed: of the choice.

    Returns:
        None where no plane has enough points.
    """
    if len(points) < 3 or not certain.any():
        return None
    rng = np.random.default_rng(seed)
    best, most = None, LEAST * len(points)
    for index in rng.integers(len(points), size=TRIES):
        normal = normals[index]
        plane = Support(normal, float(points[index] @ normal))
        for _ in range(REFITS):
            plane, count = _refitted(plane, points, normals)
        if count > most and _holds(plane, points[certain], viewpoints):
            best, most = plane, count
    return best


def _refitted(plane: Support, points: FloatArray, normals: FloatArray) -> tuple[Support, int]:
    """The plane through its own points, and how many those are."""
    on = (np.abs(plane.height(points)) < WITHIN) & (normals @ plane.normal > TURNED)
    count = int(np.count_nonzero(on))
    if count < 3:
        return plane, 0
    middle = points[on].mean(axis=0)
    _, _, axes = np.linalg.svd((points[on] - middle).T @ (points[on] - middle))
    normal = unit(axes[2] * np.sign(axes[2] @ plane.normal + 1e-12))
    return Support(normal, float(middle @ normal)), count


def _holds(plane: Support, points: FloatArray, viewpoints: FloatArray) -> bool:
    return bool((plane.height(viewpoints) > 0.0).all() and (plane.height(points) < -BELOW).mean() <= FEW)
