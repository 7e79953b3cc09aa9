"""The colour field: radiance leaving a surface point in a direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nto3d.fields.mlp import mlp


def spherical_harmonics(direction: Tensor) -> Tensor:
    """Real spherical harmonics up to degree 3 at unit directions [N, 3] -> [N, 16] (Sloan 2008, appendix A2)."""
    x, y, z = direction.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    xy, yz, xz = x * y, y * z, x * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            -0.48860251190291987 * y,
            0.48860251190291987 * z,
            -0.48860251190291987 * x,
            1.0925484305920792 * xy,
            -1.0925484305920792 * yz,
            0.94617469575755997 * zz - 0.31539156525251999,
            -1.0925484305920792 * xz,
            0.54627421529603959 * (xx - yy),
            0.59004358992664352 * y * (yy - 3.0 * xx),
            2.8906114426405538 * xy * z,
            0.45704579946446572 * y * (1.0 - 5.0 * zz),
            0.3731763325901154 * z * (5.0 * zz - 3.0),
            0.45704579946446572 * x * (1.0 - 5.0 * zz),
            1.4453057213202769 * z * (xx - yy),
            0.59004358992664352 * x * (3.0 * yy - xx),
        ],
        dim=1,
    )


class ColorField(nn.Module):
    """Colour from position, normal, viewing direction and geometry feature (IDR's renderer, Yariv et al. 2020).

    Args:
        geometry_features: G. hidden, layers: of the MLP.
    """

    def __init__(self, geometry_features: int, hidden: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.net = mlp(3 + 3 + 16 + geometry_features, hidden, layers, 3)

    def hidden(self, positions: Tensor, normals: Tensor, directions: Tensor, features: Tensor) -> Tensor:
        """Last hidden layer [N, hidden] of positions, unit normals, unit directions (each [N, 3]), features [N, G]."""
        seen = torch.cat([positions, normals, spherical_harmonics(directions), features], dim=1)
        hidden: Tensor = self.net[:-1](seen)
        return hidden

    def rgb(self, hidden: Tensor) -> Tensor:
        """Colours [N, 3] in 0..1 of a last hidden layer [N, hidden]."""
        return torch.sigmoid(self.net[-1](hidden))

    def forward(self, positions: Tensor, normals: Tensor, directions: Tensor, features: Tensor) -> Tensor:
        """Colours [N, 3] in 0..1; arguments as of `hidden`."""
        return self.rgb(self.hidden(positions, normals, directions, features))
