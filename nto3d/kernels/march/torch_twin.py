"""Ray marching in plain torch: the reference for `march`. Tests every lattice point of every ray."""

from __future__ import annotations

import torch
from torch import Tensor

from nto3d.types import Samples


def march_torch(
    origins: Tensor, directions: Tensor, grid: Tensor, dt: float, jitter: Tensor, radius: float = 1.0
) -> Samples:
    """Samples as of `march` without a guide; `grid`: uint8 [G, G, G]."""
    middle = -(origins * directions).sum(dim=1)
    nearest = origins + directions * middle[:, None]
    half = (radius**2 - (nearest**2).sum(dim=1)).clamp(min=0.0).sqrt()
    near, far = (middle - half).clamp(min=0.0), middle + half
    far = torch.where(half > 0, far, near - 1)
    steps = int(((far - near).max() / dt).ceil().clamp(min=0)) + 1 if len(origins) else 0
    t = near[:, None] + (torch.arange(steps, device=origins.device) + jitter[:, None]) * dt
    x = origins[:, None] + directions[:, None] * t[..., None]
    cell = ((x + 1.0) / 2.0 * grid.shape[0]).long().clamp(0, grid.shape[0] - 1)
    keep = (grid[cell[..., 0], cell[..., 1], cell[..., 2]] != 0) & (t < far[:, None])
    ray = torch.nonzero(keep)[:, 0].int()
    offsets = torch.cat([ray.new_zeros(1), keep.sum(dim=1).cumsum(0).int()])
    return Samples(x[keep], ray, t[keep], torch.full_like(t[keep], dt), offsets)
