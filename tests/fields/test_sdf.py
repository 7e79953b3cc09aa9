"""The SDF field: analytic normals against autograd through the torch twin, and the sphere it starts as."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from tests.kernels.devices import assert_close
from tests.kernels.grids import places

SPEC = HashGridSpec(levels=4, features=2, log2_entries=10, base_resolution=4, max_resolution=32)


def fields(layers: int, seed: int = 0) -> tuple[SdfField, SdfField]:
    """A field on the Warp kernels, with a table that matters, and its float64 copy on the torch twin."""
    torch.manual_seed(seed)
    field = SdfField(HashGrid(SPEC, "warp"), hidden=16, layers=layers, geometry_features=5)
    with torch.no_grad():
        field.encoding.table.uniform_(-0.05, 0.05)
    field.encoding.set_active_levels(3.4)
    twin = SdfField(HashGrid(SPEC, "torch"), hidden=16, layers=layers, geometry_features=5)
    twin.load_state_dict(copy.deepcopy(field.state_dict()))
    return field, twin.double()


def by_autograd(twin: SdfField, x: Tensor) -> tuple[Tensor, Tensor]:
    """Distance and its gradient, with a graph for second derivatives."""
    x = x.double().requires_grad_(True)
    sdf = twin.sdf(x)
    (gradient,) = torch.autograd.grad(sdf.sum(), x, create_graph=True)
    return sdf, gradient


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_normals_agree_with_autograd(layers: int) -> None:
    field, twin = fields(layers)
    x = places(SPEC, 300)
    sdf, gradient, feature = field(x)
    wanted, slope = by_autograd(twin, x)
    assert feature.shape == (300, 5)
    assert_close(sdf, wanted)
    assert_close(gradient, slope)
    assert torch.allclose(sdf, field.sdf(x), atol=1e-6)
    assert float(slope.detach().std(dim=0).min()) > 0.05  # the table bends it


@pytest.mark.parametrize("layers", [1, 2])
def test_a_loss_on_normals_has_the_gradients_of_a_second_derivative(layers: int) -> None:
    field, twin = fields(layers)
    x = places(SPEC, 200)

    def loss(sdf: Tensor, gradient: Tensor) -> Tensor:
        aim = torch.tensor([0.3, -0.5, 0.8], dtype=gradient.dtype)
        normal = functional.normalize(gradient, dim=1)
        return ((gradient.norm(dim=1) - 1.0) ** 2).mean() + (normal @ aim).mean() + (sdf**2).mean()

    sdf, gradient, _ = field(x)
    loss(sdf, gradient).backward()
    loss(*by_autograd(twin, x)).backward()
    for (name, parameter), wanted in zip(field.named_parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None
        assert wanted.grad is not None
        used = wanted.grad[:1] if name.startswith("out.") else wanted.grad  # the features take no part
        found = parameter.grad[:1] if name.startswith("out.") else parameter.grad
        assert float((found.double() - used).norm()) <= 1e-4 * float(used.norm()) + 1e-9, name


@pytest.mark.parametrize("radius", [0.3, 0.5])
@pytest.mark.parametrize("layers", [1, 2])
def test_it_starts_as_a_sphere(layers: int, radius: float) -> None:
    torch.manual_seed(3)
    field = SdfField(HashGrid(SPEC, "torch"), hidden=64, layers=layers, radius=radius)
    directions = functional.normalize(torch.randn(2000, 3), dim=1)
    with torch.no_grad():
        assert float(field.sdf(torch.zeros(1, 3))) < -0.5 * radius
        on = field.sdf(directions * radius)
        assert abs(float(on.mean())) < 0.03 * radius
        assert float(on.abs().max()) < 0.7 * radius
        assert float((field.sdf(directions * radius * 0.4) < 0.0).float().mean()) > 0.97
        assert float((field.sdf(directions * radius * 2.0) > 0.0).float().mean()) > 0.95
        _, gradient, _ = field(directions * radius)
    assert float(gradient.norm(dim=1).mean()) == pytest.approx(1.0, abs=0.15)
    assert float((functional.normalize(gradient, dim=1) * directions).sum(dim=1).mean()) > 0.85
