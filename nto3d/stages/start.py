"""What training starts from: an SDF fitted to a rough one on a voxel grid, which then holds on to it for a while."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.fields.sdf import SdfField

STEPS, POINTS = 200, 4096  # of Adam, and a step
LEVELS = 4  # of the hash grid: coarse ones suffice, and stay smooth
NEAR = 0.1  # half of the points lie this near to the surface
TABLE_RATE, MLP_RATE, DECAY = 1e-2, 2e-3, 0.05


def distance_at(start: Tensor, positions: Tensor) -> Tensor:
    """Values [N] of a grid [G, G, G] (cell centres over [-1, 1]^3, axes x, y, z) at positions [N, 3], trilinear."""
    where = positions.flip(1)[None, :, None, None, :]  # grid_sample takes the last axis first
    values = functional.grid_sample(start[None, None], where, padding_mode="border", align_corners=False)
    return values[0, 0, :, 0, 0]


def fit_to_distance(sdf: SdfField, start: Tensor, seed: int) -> None:
    """Fit an SDF to distances on a grid by regression; renders nothing, so it takes a second.

    Args:
        sdf: the field, changed in place. start: [G, G, G] signed distance. seed: of the points.
    """
    cells = torch.nonzero(start.flatten().abs() < NEAR)[:, 0]
    generator = torch.Generator().manual_seed(seed)
    tables = [parameter for name, parameter in sdf.named_parameters() if name.endswith("table")]
    weights = [parameter for name, parameter in sdf.named_parameters() if not name.endswith("table")]
    optimizer = torch.optim.Adam(
        [{"params": tables, "lr": TABLE_RATE, "eps": 1e-15}, {"params": weights, "lr": MLP_RATE}],
        betas=(0.9, 0.99),
        fused=True,
    )
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY ** (1 / STEPS))
    sdf.encoding.set_active_levels(min(LEVELS, sdf.encoding.spec.levels))
    for _ in range(STEPS):
        positions = _positions(cells, len(start), generator)
        loss = (sdf.sdf(positions).float() - distance_at(start, positions)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()


def _positions(cells: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Points [N, 3]: half of them in given cells (flat indices), half anywhere in the cube."""
    anywhere = torch.rand(POINTS // 2, 3, generator=generator).to(cells.device) * 2.0 - 1.0
    if len(cells) == 0:
        return anywhere
    picked = cells[torch.randint(len(cells), (POINTS // 2,), generator=generator).to(cells.device)]
    corner = torch.stack([picked // (side * side), picked // side % side, picked % side], dim=1)
    offset = torch.rand(POINTS // 2, 3, generator=generator).to(cells.device)
    return torch.cat([(corner + offset) * (2.0 / side) - 1.0, anywhere])
