"""The target field: does a place belong to the clicked object?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nto3d.fields.mlp import mlp
from nto3d.kernels.hashgrid.grid import HashGrid


class OccupancyField(nn.Module):
    """Logit of belonging to the target, over [-1, 1]^3 (NTO3D's occupancy field).

    Args:
        encoding: a hash grid of its own. hidden: width of the MLP's hidden layer.
    """

    def __init__(self, encoding: HashGrid, hidden: int = 32) -> None:
        super().__init__()
        self.encoding = encoding
        self.net = mlp(3 + encoding.spec.width, hidden, 1, 1)

    def forward(self, positions: Tensor) -> Tensor:
        """Logits [N] at positions [N, 3]."""
        logits: Tensor = self.net(torch.cat([positions, self.encoding(positions)], dim=1))[:, 0]
        return logits
