"""The contraction by hand, and the background field's range."""

from __future__ import annotations

import pytest
import torch

from nto3d.fields.background import BackgroundField, contract
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.6, -0.8, 0.0], [0.3, -0.4, 0.0]),  # on the unit sphere: to half
        ([0.0, 0.0, 2.0], [0.0, 0.0, 0.75]),  # 1 - 1 / (2 * 2)
        ([0.0, -10.0, 0.0], [0.0, -0.95, 0.0]),
        ([3e6, 0.0, 4e6], [0.6, 0.0, 0.8]),
    ],
)
def test_contraction_by_hand(point: list[float], expected: list[float]) -> None:
    torch.testing.assert_close(contract(torch.tensor([point])), torch.tensor([expected]), rtol=0, atol=1e-6)


def test_contraction_is_continuous_and_keeps_directions() -> None:
    directions = torch.nn.functional.normalize(torch.randn(100, 3, dtype=torch.float64), dim=1)
    inside, outside = contract(directions * (1 - 1e-9)), contract(directions * (1 + 1e-9))
    torch.testing.assert_close(inside, outside, rtol=0, atol=1e-8)
    radii = torch.linspace(0.01, 50.0, 100, dtype=torch.float64)[:, None]
    mapped = contract(directions * radii)
    torch.testing.assert_close(mapped / mapped.norm(dim=1, keepdim=True), directions)
    assert bool((mapped.norm(dim=1).diff() > 0).all())
    assert float(mapped.norm(dim=1).max()) < 1.0


def test_the_field_gives_densities_and_colours() -> None:
    torch.manual_seed(0)
    field = BackgroundField(HashGrid(HashGridSpec(3, 2, 8, 4, 16), "torch"), hidden=8)
    positions, directions = torch.randn(20, 3) * 5, torch.nn.functional.normalize(torch.randn(20, 3), dim=1)
    density, rgb = field(positions, directions)
    assert density.shape == (20,)
    assert bool((density > 0).all())
    assert rgb.shape == (20, 3)
    assert bool(((rgb > 0) & (rgb < 1)).all())
    assert torch.equal(field(positions, -directions)[0], density)  # how dense it is does not depend on who looks
