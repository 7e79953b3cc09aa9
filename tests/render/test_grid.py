"""The occupancy grid on analytic spheres: it keeps the cells that matter, and follows the surface."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from nto3d.render.grid import LOGIT, OccupancyGrid
from tests.render.spheres import SphereSdf

G = 32


def everywhere() -> Tensor:
    return torch.ones(G, G, G, dtype=torch.bool)


def corner_distances(sphere: SphereSdf) -> Tensor:
    """[G, G, G, 8] distances at the corners of every cell, computed apart from the grid."""
    axis = torch.linspace(-1.0, 1.0, G + 1)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    values = sphere.sdf(points.reshape(-1, 3)).view(G + 1, G + 1, G + 1)
    corners = [values[i : G + i, j : G + j, k : G + k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return torch.stack(corners, dim=-1)


@pytest.mark.parametrize("inv_std", [50.0, 300.0, 5000.0])
def test_a_refresh_keeps_exactly_the_cells_near_the_surface(inv_std: float) -> None:
    sphere = SphereSdf(0.5, (0.1, -0.05, 0.2))
    grid = OccupancyGrid(everywhere())
    assert (grid.resolution, grid.cell_size) == (G, 2 / G)
    grid.refresh(sphere.sdf, inv_std)
    near = corner_distances(sphere).abs().amin(dim=-1)
    reach = 2 / G + LOGIT / inv_std
    sure = (near - reach).abs() > 1e-5
    assert torch.equal((grid.cells > 0)[sure], (near < reach)[sure])
    crossed = (corner_distances(sphere).amin(dim=-1) < 0) & (corner_distances(sphere).amax(dim=-1) > 0)
    assert bool((grid.cells[crossed] > 0).all())
    assert 0.0 < grid.sharpness <= inv_std


def test_nothing_is_kept_outside_the_hull() -> None:
    hull = everywhere()
    hull[: G // 2] = False
    grid = OccupancyGrid(hull)
    assert torch.equal(grid.cells > 0, hull)  # from the start all of the hull
    grid.refresh(SphereSdf().sdf, 300.0)
    assert not bool((grid.cells[: G // 2] > 0).any())
    assert bool((grid.cells[G // 2 :] > 0).any())


@pytest.mark.parametrize("stride", [1, 2])
def test_outside_the_hull_the_guide_is_the_distance_to_it(stride: int) -> None:
    hull = torch.zeros(G, G, G, dtype=torch.bool)
    hull[8:24, 8:24, 8:24] = True  # corners 8 to 24
    grid = OccupancyGrid(hull)
    for _ in range(2):
        for corner, cells in (((3, 16, 16), 5.0), ((28, 27, 16), 5.0), ((24, 24, 26), 2.0), ((25, 26, 26), 3.0)):
            assert float(grid.distance[corner]) == pytest.approx(cells * 2.0 / G)
        grid.refresh(SphereSdf(0.3).sdf, 300.0, stride=stride)
    assert float(grid.distance[16, 16, 16]) < 0.0


def test_a_surface_that_moves_takes_its_cells_along() -> None:
    small, large = SphereSdf(0.3), SphereSdf(0.8)
    moved, fresh = OccupancyGrid(everywhere()), OccupancyGrid(everywhere())
    moved.refresh(small.sdf, 500.0)
    moved.refresh(large.sdf, 500.0)
    fresh.refresh(large.sdf, 500.0)
    assert torch.equal(moved.cells, fresh.cells)


def test_a_quick_refresh_looks_near_the_last_surface_only() -> None:
    sphere = SphereSdf(0.5)
    grid = OccupancyGrid(everywhere())
    grid.refresh(sphere.sdf, 500.0)
    asked: list[Tensor] = []

    def slightly_larger(positions: Tensor) -> Tensor:
        asked.append(positions)
        return positions.norm(dim=1) - 0.52

    grid.refresh(slightly_larger, 500.0, near=0.12)
    looked_at = torch.cat(asked)
    assert float((looked_at.norm(dim=1) - 0.5).abs().max()) < 0.12
    fresh = OccupancyGrid(everywhere())
    fresh.refresh(slightly_larger, 500.0)
    assert torch.equal(grid.cells, fresh.cells)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_coarse_refresh_interpolates_between_fewer_corners(stride: int) -> None:
    hull = everywhere()
    hull[:8] = False
    sphere, grid = SphereSdf(0.75, (0.1, 0.0, 0.0)), OccupancyGrid(hull)
    asked: list[Tensor] = []

    def sdf(positions: Tensor) -> Tensor:
        asked.append(positions)
        return sphere.sdf(positions)

    grid.refresh(sdf, 100.0, stride=stride)
    assert sum(len(positions) for positions in asked) <= (G // stride + 1) ** 3
    exact = OccupancyGrid(hull)
    exact.refresh(sphere.sdf, 100.0)
    # Linear interpolation errs by the curvature, 1 / radius in two directions, times the square of the step over 8.
    step, near = stride * 2 / G, exact.distance.abs() < 0.1
    assert float((grid.distance - exact.distance)[near].abs().max()) < 2 / (0.75 - 0.1 - step) * step**2 / 8
    assert bool(((grid.distance == 1.0) == (exact.distance == 1.0)).all())
    crossed = (corner_distances(sphere).amin(dim=-1) < 0) & (corner_distances(sphere).amax(dim=-1) > 0) & hull
    assert bool((grid.cells[crossed] > 0).all())


def test_only_corners_of_the_hull_are_evaluated() -> None:
    hull = torch.zeros(G, G, G, dtype=torch.bool)
    hull[3, 4, 5] = True
    asked: list[Tensor] = []

    def sdf(positions: Tensor) -> Tensor:
        asked.append(positions)
        return positions[:, 0]

    OccupancyGrid(hull).refresh(sdf, 100.0)
    looked_at = torch.cat(asked)
    assert len(looked_at) == 8
    low = torch.tensor([3.0, 4.0, 5.0]) * (2 / G) - 1.0
    torch.testing.assert_close(looked_at.amin(dim=0), low)
    torch.testing.assert_close(looked_at.amax(dim=0), low + 2 / G)


def rays(count: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3.0
    aims = torch.randn(count, 3, generator=generator) * 0.15
    return origins, torch.nn.functional.normalize(aims - origins, dim=1), torch.full((count,), 0.5)


def test_samples_follow_the_surface() -> None:
    grid = OccupancyGrid(everywhere())
    origins, directions, jitter = rays()
    before = grid.samples(origins, directions, 0.01, jitter, 0.003)
    grid.refresh(SphereSdf().sdf, 400.0)
    after = grid.samples(origins, directions, 0.01, jitter, 0.003)
    assert 0 < len(after) < 0.3 * len(before)
    assert float((after.positions.norm(dim=1) - 0.5).abs().max()) < 2 / G + LOGIT / 400.0 + 0.12
    assert len(torch.unique(after.ray)) == 50  # every ray meets the sphere


def test_a_checkpoint_brings_back_cells_and_guide() -> None:
    grid = OccupancyGrid(everywhere())
    grid.refresh(SphereSdf().sdf, 400.0)
    state = copy.deepcopy(grid.state_dict())
    other = OccupancyGrid(everywhere())
    other.samples(*rays()[:2], 0.01, rays()[2], 0.003)  # what it remembers of its cells must go
    other.load_state_dict(state)
    origins, directions, jitter = rays()
    first = grid.samples(origins, directions, 0.01, jitter, 0.003)
    second = other.samples(origins, directions, 0.01, jitter, 0.003)
    assert other.sharpness == grid.sharpness
    assert torch.equal(first.positions, second.positions)
