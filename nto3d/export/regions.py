"""Regions as signed distances, and the part of a solid that lies inside one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nto3d.types import FloatArray, Mesh

STEPS = 20  # towards a region's border, at the most

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


def held_within(mesh: Mesh, region: Field, device: torch.device | str = "cpu") -> Mesh:
    """The mesh with those vertices that left a region moved back to its border, against the gradient.

    Args:
        mesh: in the frame of the region. region: about a signed distance, negative inside, with gradients.
        device: where it is called.
    """
    vertices = torch.from_numpy(mesh.vertices).to(device)
    for _ in range(STEPS):
        place = vertices.float().requires_grad_(True)
        outside = region(place)
        (slope,) = torch.autograd.grad(outside.sum(), place)
        if not (outside > 0.0).any():
            break
        way = outside / (slope**2).sum(dim=1).clamp(min=1e-3)
        vertices = vertices - (way.clamp(min=0.0)[:, None] * slope).double().detach()
    return replace(mesh, vertices=vertices.detach().cpu().numpy())
