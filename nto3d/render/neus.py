"""From signed distance to opacity (NeuS, Wang et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor


def neus_alpha(
    sdf: Tensor, gradient: Tensor, directions: Tensor, dt: Tensor, inv_std: Tensor, anneal: float = 1.0
) -> Tensor:
    """Opacity of ray sections of length dt around the samples (NeuS eq. 13, section ends by the local slope).

    Args:
        sdf: [N], normalized units. gradient: [N, 3] of the SDF. directions: [N, 3], unit. dt: [N].
        inv_std: the sharpness s of the logistic density. anneal: 0..1; below 1 the slope is blended with one that does
            not vanish for surfaces facing away, which keeps the first steps well behaved.

    Returns:
        alpha [N] in 0..1.
    """
    cosine = (gradient * directions).sum(dim=1)
    slope = -(torch.relu(-cosine * 0.5 + 0.5) * (1.0 - anneal) + torch.relu(-cosine) * anneal)
    half = slope * dt * 0.5
    before = torch.sigmoid((sdf - half) * inv_std)
    after = torch.sigmoid((sdf + half) * inv_std)
    return ((before - after + 1e-5) / (before + 1e-5)).clamp(0.0, 1.0)
