"""Regions as signed distances, and the part of a solid that lies inside one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nto3d.types import FloatArray

Field = Callable[[Tensor], Tensor]
Bounds = Sequence[float] | FloatArray


def unit_sphere(positions: Tensor) -> Tensor:
    """Signed distance [N] of positions [N, 3] to the unit sphere, negative inside."""
    return positions.norm(dim=-1) - 1.0


def intersect(sdf: Field, region: Field) -> Field:
    """The part of a solid that lies inside a region: the maximum of both signed distances ([N, 3] -> [N])."""
    return lambda positions: torch.maximum(sdf(positions), region(positions))


def box(lower: Bounds, upper: Bounds) -> Field:
    """A function giving a box's signed distance (exact inside, a lower bound outside), negative inside."""
    low, high = (torch.as_tensor(np.asarray(side, dtype=np.float32)) for side in (lower, upper))

    def distance(positions: Tensor) -> Tensor:
        return torch.maximum(low.to(positions) - positions, positions - high.to(positions)).amax(dim=-1)

    return distance
