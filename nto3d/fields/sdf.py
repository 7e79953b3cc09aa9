"""The signed distance field: hash grid and MLP, with its gradient computed alongside its value.

The gradient is written out as ordinary tensor operations: the MLP's chain rule gives d sdf / d input, the hash grid's
Jacobian carries it to positions. So normals cost one extra pass through the small MLP, and a loss on normals needs one
ordinary backward pass instead of a second derivative by autograd.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.kernels.hashgrid.grid import HashGrid

SHARPNESS = 100.0  # softplus beta, as in IDR and NeuS


class SdfField(nn.Module):
    """Signed distance, negative inside, in normalized units over [-1, 1]^3.

    Args:
        encoding: the hash grid.
        hidden, layers: width and number of hidden layers. geometry_features: G, what the colour field gets to see.
        radius: of the sphere that the field starts as (geometric initialisation, Atzmon & Lipman 2020).
    """

    def __init__(
        self, encoding: HashGrid, *, hidden: int = 64, layers: int = 1, geometry_features: int = 15, radius: float = 0.5
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.geometry_features = geometry_features
        widths = [3 + encoding.spec.width] + [hidden] * layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.out = nn.Linear(widths[-1], 1 + geometry_features)
        self._start_as_sphere(radius)

    def _start_as_sphere(self, radius: float) -> None:
        with torch.no_grad():
            for layer in self.hidden:
                assert isinstance(layer, nn.Linear)
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / layer.out_features))
                nn.init.zeros_(layer.bias)
            nn.init.normal_(self.out.weight[:1], math.sqrt(math.pi / self.out.in_features), 1e-4)
            nn.init.zeros_(self.out.bias)
            self.out.bias[0] = -radius
            # A narrow random layer is a lopsided sphere; scale it so that its mean over directions has the radius.
            around = functional.normalize(torch.randn(4096, 3), dim=1) * radius
            mean = (self.sdf(around) + radius).mean()
            self.out.weight[:1] *= radius / mean

    def sdf(self, positions: Tensor) -> Tensor:
        """Signed distance [N] at positions [N, 3]."""
        hidden = torch.cat([positions, self.encoding(positions)], dim=1)
        for layer in self.hidden:
            hidden = functional.softplus(layer(hidden), beta=SHARPNESS)
        return functional.linear(hidden, self.out.weight[:1], self.out.bias[:1])[:, 0]

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Signed distance [N], its gradient by position [N, 3] and the geometry feature [N, G]."""
        features, jacobian = self.encoding.with_jacobian(positions)
        hidden = torch.cat([positions, features], dim=1)
        slopes = []
        for layer in self.hidden:
            before = layer(hidden)
            hidden = functional.softplus(before, beta=SHARPNESS)
            slopes.append(torch.sigmoid(SHARPNESS * before))
        out = self.out(hidden)
        back = self.out.weight[0] * slopes[-1]  # d sdf / d (last pre-activation), [N, hidden]
        for index in range(len(self.hidden) - 1, 0, -1):
            back = (back @ self._weight(index)) * slopes[index - 1]
        back = back @ self._weight(0)  # d sdf / d [x, features], [N, 3 + C]
        gradient = back[:, :3] + torch.bmm(jacobian, back[:, 3:, None])[:, :, 0]
        return out[:, 0], gradient, out[:, 1:]

    def _weight(self, index: int) -> Tensor:
        layer = self.hidden[index]
        assert isinstance(layer, nn.Linear)
        return layer.weight
