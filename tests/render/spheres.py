"""An analytic sphere in the place of trained fields."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SphereSdf(nn.Module):
    """The exact distance to a sphere, with the calls of `fields.SdfField`."""

    def __init__(self, radius: float = 0.5, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.radius = radius
        self.register_buffer("center", torch.tensor(center))

    def sdf(self, positions: Tensor) -> Tensor:
        return (positions - self.center).norm(dim=1) - self.radius

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradient = functional.normalize(positions - self.center, dim=1)
        return self.sdf(positions), gradient, positions.new_zeros(len(positions), 2)


class NormalColor(nn.Module):
    """The normal as a colour, with the call of `fields.ColorField`."""

    def forward(self, positions: Tensor, normals: Tensor, directions: Tensor, features: Tensor) -> Tensor:
        return normals * 0.4 + 0.5


class EvenBackground(nn.Module):
    """One colour everywhere, with the call of `fields.BackgroundField`."""

    def __init__(self, rgb: tuple[float, float, float] = (0.2, 0.6, 1.0), density: float = 3.0) -> None:
        super().__init__()
        self.register_buffer("rgb", torch.tensor(rgb))
        self.density = density

    def forward(self, positions: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        return positions.new_full((len(positions),), self.density), self.rgb.expand(len(positions), 3)
