"""What lies outside the unit sphere: a radiance field in contracted space (NeRF++, mip-NeRF 360)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.fields.color import spherical_harmonics
from nto3d.fields.mlp import mlp
from nto3d.kernels.hashgrid.grid import HashGrid


def contract(positions: Tensor) -> Tensor:
    """Map space into the unit ball: |x| <= 1 to |x| / 2, beyond to 1 - 1 / (2 |x|) (mip-NeRF 360, eq. 10)."""
    radius = positions.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    outside = (2.0 - 1.0 / radius) / radius
    return positions * torch.where(radius > 1.0, outside, torch.ones_like(radius)) * 0.5


class BackgroundField(nn.Module):
    """Density and colour outside the unit sphere.

    Args:
        encoding: a hash grid over contracted space. hidden: width of the two MLPs.
    """

    def __init__(self, encoding: HashGrid, hidden: int = 32) -> None:
        super().__init__()
        self.encoding = encoding
        self.density = mlp(encoding.spec.width, hidden, 1, 1 + 15)
        self.color = mlp(15 + 16, hidden, 1, 3)

    def forward(self, positions: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N] per unit of contracted length and colour [N, 3] at positions outside the sphere, [N, 3]."""
        out = self.density(self.encoding(contract(positions)))
        rgb = torch.sigmoid(self.color(torch.cat([out[:, 1:], spherical_harmonics(directions)], dim=1)))
        return functional.softplus(out[:, 0] + 1.0) * 10.0, rgb
