"""Hash grids of several shapes, and places in them."""

from __future__ import annotations

import torch
from torch import Tensor

from nto3d.kernels.hashgrid.spec import HashGridSpec

SPECS = {
    "one small dense level": HashGridSpec(1, 1, 8, 5, 5),
    "dense levels": HashGridSpec(3, 2, 15, 4, 16),
    "smallest table": HashGridSpec(2, 8, 4, 2, 9),
    "dense and hashed, one feature": HashGridSpec(5, 1, 10, 6, 70),
    "dense and hashed, four features": HashGridSpec(4, 4, 12, 8, 100),
    "as trained": HashGridSpec(10, 2, 15, 16, 512),
}


def random_table(spec: HashGridSpec, seed: int = 0) -> Tensor:
    """Rows in -1..1, float32."""
    return torch.empty(spec.offsets[-1], spec.features).uniform_(
        -1.0, 1.0, generator=torch.Generator().manual_seed(seed)
    )


def places(spec: HashGridSpec, count: int, seed: int = 0, margin: float = 0.003) -> Tensor:
    """Positions [count, 3], float32, that no rounding carries into another cell, where the Jacobian jumps."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.empty(0, 3)
    while len(found) < count:
        x = torch.rand(2 * count + 16, 3, generator=generator) * 2.0 - 1.0
        at = (x.double()[:, None] * 0.5 + 0.5) * torch.tensor(spec.scales, dtype=torch.float64)[:, None] + 0.5
        safe = ((at - at.round()).abs() > margin).all(dim=(1, 2))
        found = torch.cat([found, x[safe]])
    return found[:count]
