"""Distances on a grid that are known exactly, and a field to fit to them."""

from __future__ import annotations

import torch
from torch import Tensor

from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec

G = 32


SPEC = HashGridSpec(levels=6, features=2, log2_entries=12, base_resolution=8, max_resolution=64)


def centers(x: int, y: int, z: int) -> Tensor:
    """Cell centres [X, Y, Z, 3] of a grid over [-1, 1]^3."""
    axes = [(torch.arange(count) + 0.5) * (2.0 / count) - 1.0 for count in (x, y, z)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def ball(points: Tensor) -> Tensor:
    return (points - torch.tensor([0.2, 0.0, -0.1])).norm(dim=-1) - 0.5


def box(points: Tensor) -> Tensor:
    beyond = points.abs() - torch.tensor([0.3, 0.45, 0.6])
    return beyond.clamp(min=0.0).norm(dim=-1) + beyond.amax(dim=-1).clamp(max=0.0)


def field(seed: int = 0, spec: HashGridSpec = SPEC) -> SdfField:
    torch.manual_seed(seed)
    return SdfField(HashGrid(spec, "warp"), hidden=32, geometry_features=3, radius=0.3)
