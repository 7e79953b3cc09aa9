"""What training starts from: an SDF fitted to a rough one on a voxel grid, which then holds on to it for a while."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.fields.sdf import SdfField
from nto3d.stages.reconstruct.stereo_points import SurfacePoints, free_losses, point_losses

STEPS, POINTS = 200, 4096  # of Adam, and a step
LEVELS = 4  # of the hash grid: coarse ones suffice, and stay smooth
FINE_LEVELS = 8  # where points of the surface are known
KNOWN = 4.0  # weight of those points beside the grid
NEAR = 0.1  # half of the points lie this near to the surface
CHUNK = 65536  # cells at a time
TABLE_RATE, MLP_RATE, DECAY = 1e-2, 2e-3, 0.05


def distance_at(start: Tensor, positions: Tensor) -> Tensor:
    """Values [N] of a grid [G, G, G] (cell centres over [-1, 1]^3, axes x, y, z) at positions [N, 3], trilinear."""
    where = positions.flip(1)[None, :, None, None, :]  # grid_sample takes the last axis first
    values = functional.grid_sample(start[None, None], where, padding_mode="border", align_corners=False)
    return values[0, 0, :, 0, 0]


def fit_to_distance(sdf: SdfField, start: Tensor, seed: int, points: SurfacePoints | None = None) -> None:
    """Fit an SDF to distances on a grid by regression; renders nothing, so it takes a second.

    Args:
        sdf: the field, changed in place. start: [G, G, G] signed distance. seed: of the points.
        points: where the surface is known better than by the grid, or None.
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
    sdf.encoding.set_active_levels(min(LEVELS if points is None else FINE_LEVELS, sdf.encoding.spec.levels))
    for _ in range(STEPS):
        positions = _positions(cells, len(start), generator)
        loss = (sdf.sdf(positions).float() - distance_at(start, positions)).abs().mean()
        if points is not None and len(points):
            index = torch.randint(len(points), (POINTS // 2,), generator=generator).to(start.device)
            some = points.chosen(index)
            distance, gradient, _ = sdf(some.positions)
            loss = loss + KNOWN * point_losses(distance.float(), gradient.float(), some).mean()
            share = torch.rand(len(some), generator=generator).to(start.device)
            loss = loss + KNOWN * free_losses(sdf.sdf(some.before(share)).float(), some).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()


def refined_distance(sdf: SdfField, start: Tensor) -> Tensor:
    """A grid of distances [G, G, G] with those of a fitted SDF where the surface is near."""
    cells = torch.nonzero(start.flatten().abs() < NEAR)[:, 0]
    refined, side = start.flatten().clone(), len(start)
    with torch.no_grad():
        for some in cells.split(CHUNK):
            refined[some] = sdf.sdf((_corners(some, side) + 0.5) * (2.0 / side) - 1.0).float()
    return refined.view_as(start)


def _corners(cells: Tensor, side: int) -> Tensor:
    """Indices (x, y, z) [N, 3] of cells, from flat ones."""
    return torch.stack([cells // (side * side), cells // side % side, cells % side], dim=1)


def _positions(cells: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Points [N, 3]: half of them in given cells (flat indices), half anywhere in the cube."""
    anywhere = torch.rand(POINTS // 2, 3, generator=generator).to(cells.device) * 2.0 - 1.0
    if len(cells) == 0:
        return anywhere
    picked = cells[torch.randint(len(cells), (POINTS // 2,), generator=generator).to(cells.device)]
    offset = torch.rand(POINTS // 2, 3, generator=generator).to(cells.device)
    return torch.cat([(_corners(picked, side) + offset) * (2.0 / side) - 1.0, anywhere])
