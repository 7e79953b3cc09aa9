"""Fitting an SDF to distances on a grid that are known exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.stages.reconstruct.start import LEVELS, NEAR, POINTS, _positions, distance_at, fit_to_distance
from tests.stages.reconstruct.distances import SPEC, G, ball, box, centers, field


def test_linear_functions_are_read_exactly() -> None:
    slope = torch.tensor([0.7, -2.0, 0.3])
    start = centers(8, 8, 8) @ slope + 0.1
    positions = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * 1.75 - 0.875  # between the centres
    torch.testing.assert_close(distance_at(start, positions), positions @ slope + 0.1, atol=1e-5, rtol=0)


def test_the_axes_are_x_y_z() -> None:
    start = torch.arange(2 * 3 * 5).float().reshape(2, 3, 5)
    torch.testing.assert_close(distance_at(start, centers(2, 3, 5).reshape(-1, 3)), start.flatten())


def test_beyond_the_last_centres_their_values_go_on() -> None:
    start = torch.arange(8.0).reshape(2, 2, 2)
    positions = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 0.9], [-3.0, 0.5, -0.5]])
    assert distance_at(start, positions).tolist() == [0.0, 7.0, 2.0]


@pytest.mark.parametrize("shape", [ball, box])
def test_the_field_reaches_the_shape(shape: Callable[[Tensor], Tensor]) -> None:
    sdf = field()
    positions = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(2)) * 2.0 - 1.0
    exact = shape(positions)
    near = exact.abs() < NEAR
    with torch.no_grad():
        before = (sdf.sdf(positions) - exact).abs()[near].mean()
    fit_to_distance(sdf, shape(centers(G, G, G)), seed=0)
    with torch.no_grad():
        off = (sdf.sdf(positions) - exact).abs()
        inside = sdf.sdf(positions) < 0
    assert before > 0.05
    assert off[near].mean() < 0.2 * 2.0 / G  # a fifth of a cell
    assert off.mean() < 2.0 / G
    assert (inside == (exact < 0))[exact.abs() > 2.0 / G].float().mean() > 0.999


def test_the_fit_depends_on_the_seed_only() -> None:
    start = ball(centers(G, G, G))
    fitted = []
    for seed in (3, 3, 4):
        sdf = field()
        torch.manual_seed(len(fitted))  # the global state has no say
        fit_to_distance(sdf, start, seed)
        fitted.append(torch.cat([parameter.detach().flatten() for parameter in sdf.parameters()]))
    assert torch.equal(fitted[0], fitted[1])
    assert not torch.equal(fitted[0], fitted[2])


def test_half_of_the_points_lie_in_the_given_cells() -> None:
    cells = torch.tensor([0 * 64 + 2 * 8 + 5, 7 * 64 + 7 * 8 + 7])  # (0, 2, 5) and (7, 7, 7) of 8^3
    points = _positions(cells, 8, torch.Generator().manual_seed(0))
    assert points.shape == (POINTS, 3)
    assert points.abs().max() <= 1.0
    cell = ((points + 1.0) * 4.0).floor().long()
    first, anywhere = cell[: POINTS // 2], points[POINTS // 2 :]
    assert {tuple(index) for index in first.tolist()} == {(0, 2, 5), (7, 7, 7)}
    assert anywhere.mean(dim=0).abs().max() < 0.1
    assert ((points[: POINTS // 2] + 1.0) * 4.0 - first).mean() == pytest.approx(0.5, abs=0.02)


def test_only_coarse_levels_are_fitted() -> None:
    sdf, first = field(), SPEC.offsets[LEVELS]
    before = sdf.encoding.table.detach().clone()
    fit_to_distance(sdf, ball(centers(G, G, G)), seed=0)
    assert torch.equal(sdf.encoding.table[first:], before[first:])
    for low, high in zip(SPEC.offsets[:LEVELS], SPEC.offsets[1 : LEVELS + 1], strict=True):
        assert not torch.equal(sdf.encoding.table[low:high], before[low:high])


def test_a_grid_of_few_levels_is_fitted_as_a_whole() -> None:
    spec = HashGridSpec(levels=2, features=2, log2_entries=12, base_resolution=8, max_resolution=16)
    sdf, start = field(spec=spec), ball(centers(G, G, G))
    fit_to_distance(sdf, start, seed=0)
    positions = centers(G, G, G).reshape(-1, 3)
    near = start.flatten().abs() < NEAR
    assert (sdf.sdf(positions) - start.flatten()).abs()[near].mean() < 1.0 / G


def test_a_grid_without_a_surface_is_no_error() -> None:
    sdf = field()
    fit_to_distance(sdf, torch.full((G, G, G), 2.0), seed=0)
    with torch.no_grad():
        values = sdf.sdf(centers(8, 8, 8).reshape(-1, 3))
    assert values.min() > 0.5
