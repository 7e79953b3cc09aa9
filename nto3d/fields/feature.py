"""The feature field: what a picture encoder says of a surface point (NTO3D, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FeatureColors(nn.Module):
    """Features as colours: their first three principal components, one basis for all pictures and the mesh.

    Until `fit`, everything is black.

    Args:
        channels: C.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, shape in (("mean", (channels,)), ("axes", (channels, 3)), ("low", (3,)), ("high", (3,))):
            self.register_buffer(name, torch.zeros(shape))

    def fit(self, features: Tensor) -> None:
        """Find the basis in features [S, C]."""
        unit = functional.normalize(features, dim=1)
        self.mean.copy_(unit.mean(dim=0))
        _, _, axes = torch.linalg.svd(unit - self.mean, full_matrices=False)
        axes = axes[:3].T
        signs = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()  # an axis has no sign of its own
        self.axes[:, : axes.shape[1]] = axes * signs
        shares = (unit - self.mean) @ self.axes
        edges = torch.tensor((0.01, 0.99), dtype=shares.dtype, device=shares.device)
        self.low.copy_(shares.quantile(edges[0], dim=0))
        self.high.copy_(shares.quantile(edges[1], dim=0))

    def forward(self, features: Tensor) -> Tensor:
        """Colours [N, 3] in 0..1 of features [N, C] of any length."""
        shares = (functional.normalize(features, dim=1) - self.mean) @ self.axes
        return ((shares - self.low) / (self.high - self.low).clamp(min=1e-6)).clamp(0.0, 1.0)


class FeatureField(nn.Module):
    """A head on position, geometry feature and the colour branch's hidden feature.

    An MLP with one hidden layer. Its last layer is linear, and volume rendering is a weighted sum, so that the two may
    change places: sum_k w_k (A h_k + b) = A (sum_k w_k h_k) + b (sum_k w_k). What is composited along the rays is the
    hidden layer (`embed`), and the last layer is applied once a ray (`decode`). SAM's 256 channels cost hardly more
    than 32 this way.

    Args:
        geometry_features: G. color_hidden: K, width of the colour branch. hidden: E, width of this one.
        channels: C, of the features.
    """

    def __init__(self, geometry_features: int, color_hidden: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.colors = FeatureColors(channels)
        self.hidden = nn.Linear(3 + geometry_features + color_hidden, hidden)
        self.out = nn.Linear(hidden, channels)

    @torch.no_grad()
    def start_at(self, features: Tensor) -> None:
        """Let an untrained head answer about the mean of features [S, C] everywhere, and show them as colours."""
        self.out.weight.mul_(0.1)
        self.out.bias.copy_(features.mean(dim=0))
        self.colors.fit(features)

    def embed(self, positions: Tensor, features: Tensor, color: Tensor) -> Tensor:
        """Hidden layer [N, E] at positions [N, 3] from geometry features [N, G] and the colour branch's [N, K]."""
        return functional.relu(self.hidden(torch.cat([positions, features, color], dim=1)))

    def decode(self, embedded: Tensor, opacity: Tensor) -> Tensor:
        """Features [R, C] of weighted sums of hidden layers [R, E]; opacity [R] is the sum of the weights."""
        return functional.linear(embedded, self.out.weight) + opacity[:, None] * self.out.bias

    def forward(self, positions: Tensor, features: Tensor, color: Tensor) -> Tensor:
        """Features [N, C] at positions, see `embed`."""
        embedded = self.embed(positions, features, color)
        return self.decode(embedded, embedded.new_ones(len(embedded)))
