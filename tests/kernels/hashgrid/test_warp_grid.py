"""The Warp kernels of the hash grid against the torch twin: values, Jacobian, gradients of both."""

import pytest
import torch
from torch import Tensor

from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.kernels.hashgrid.torch_twin import TorchEncoder
from nto3d.kernels.hashgrid.warp_grid import WarpEncoder
from nto3d.kernels.launch import SMALLEST_WORK
from tests.kernels.devices import DEVICES, assert_close
from tests.kernels.grids import SPECS, places, random_table

LARGE = 10_000


def evaluate(
    encoder: WarpEncoder | TorchEncoder, x: Tensor, table: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, Jacobian, and the gradient by the table of a random sum over both."""
    table = table.clone().requires_grad_(True)
    features, jacobian = encoder(x, table, weight, True)
    generator = torch.Generator().manual_seed(5)
    of_features = torch.randn(features.shape, generator=generator).to(features)
    of_jacobian = torch.randn(jacobian.shape, generator=generator).to(jacobian) * 0.1
    ((features * of_features).sum() + (jacobian * of_jacobian).sum()).backward()
    assert table.grad is not None
    return features.detach(), jacobian.detach(), table.grad


def per_level(rows: Tensor, spec: HashGridSpec) -> list[Tensor]:
    return [rows[begin:end] for begin, end in zip(spec.offsets[:-1], spec.offsets[1:], strict=True)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [1, 333, LARGE])
@pytest.mark.parametrize("name", SPECS)
def test_agrees_with_the_twin(name: str, count: int, device: torch.device) -> None:
    spec = SPECS[name]
    x, table, weight = places(spec, count), random_table(spec), torch.ones(spec.levels)
    expected = evaluate(TorchEncoder(spec), x.double(), table.double(), weight.double())
    found = evaluate(WarpEncoder(spec), x.to(device), table.to(device), weight.to(device))
    assert_close(found[0], expected[0])
    assert_close(found[1], expected[1])
    for part, wanted in zip(per_level(found[2], spec), per_level(expected[2], spec), strict=True):
        assert_close(part, wanted)


@pytest.mark.parametrize("device", DEVICES)
def test_fading_and_sleeping_levels(device: torch.device) -> None:
    spec = SPECS["as trained"]
    weight = torch.tensor([1.0] * 5 + [0.3] + [0.0] * 4)
    x, table = places(spec, 500), random_table(spec)
    expected = evaluate(TorchEncoder(spec), x.double(), table.double(), weight.double())
    found = evaluate(WarpEncoder(spec), x.to(device), table.to(device), weight.to(device))
    for part, wanted in zip(found, expected, strict=True):
        assert_close(part, wanted)
    assert float(found[0][:, 12:].abs().max()) == 0.0
    assert float(found[1][:, :, 12:].abs().max()) == 0.0
    assert float(found[2][spec.offsets[6] :].abs().max()) == 0.0
    assert float(found[2][spec.offsets[5] : spec.offsets[6]].abs().max()) > 0.0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SPECS)
def test_on_and_beyond_the_borders(name: str, device: torch.device) -> None:
    spec = SPECS[name]
    ends = torch.tensor([-1.0, 1.0, -1.5, 7.0])
    x, table, weight = torch.cartesian_prod(ends, ends, ends), random_table(spec), torch.ones(spec.levels)
    expected = evaluate(TorchEncoder(spec), x, table, weight)
    found = evaluate(WarpEncoder(spec), x.to(device), table.to(device), weight.to(device))
    for part, wanted in zip(found, expected, strict=True):
        assert_close(part, wanted)
    inside, _ = WarpEncoder(spec)(x.clamp(-1.0, 1.0).to(device), table.to(device), weight.to(device), False)
    assert torch.equal(inside, found[0])


def test_values_are_the_same_without_the_jacobian() -> None:
    spec = SPECS["dense and hashed, four features"]
    encoder, x, table, weight = WarpEncoder(spec), places(spec, 100), random_table(spec), torch.ones(spec.levels)
    features, jacobian = encoder(x, table.clone().requires_grad_(True), weight, False)
    assert jacobian.shape == (100, 3, 0)
    assert torch.equal(features, encoder(x, table, weight, True)[0])
    rows = table.clone().requires_grad_(True)
    encoder(x, rows, weight, False)[0].sum().backward()
    twin = table.double().requires_grad_(True)
    TorchEncoder(spec)(x.double(), twin, weight.double(), False)[0].sum().backward()
    assert rows.grad is not None
    assert twin.grad is not None
    assert_close(rows.grad, twin.grad)


@pytest.mark.parametrize("name", ["as trained", "dense and hashed, one feature"])
def test_the_result_does_not_depend_on_the_threads(name: str) -> None:
    spec = SPECS[name]
    count = SMALLEST_WORK + 17
    x, table, weight = places(spec, count), random_table(spec), torch.ones(spec.levels)
    encoder = WarpEncoder(spec)
    results = []
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        results.append(evaluate(encoder, x, table, weight))
    for other in results[1:]:
        for first, part in zip(results[0], other, strict=True):
            assert torch.equal(first, part)


@pytest.mark.parametrize("device", DEVICES)
def test_no_points(device: torch.device) -> None:
    spec = SPECS["as trained"]
    found = evaluate(
        WarpEncoder(spec),
        torch.zeros(0, 3, device=device),
        random_table(spec).to(device),
        torch.ones(10, device=device),
    )
    assert found[0].shape == (0, 20)
    assert found[1].shape == (0, 3, 20)
    assert float(found[2].abs().max()) == 0.0


def test_what_it_cannot_do_is_said() -> None:
    spec = SPECS["dense levels"]
    encoder, table, weight = WarpEncoder(spec), random_table(spec), torch.ones(3)
    with pytest.raises(ValueError, match="no gradient to positions"):
        encoder(torch.zeros(2, 3, requires_grad=True), table, weight, False)
    with pytest.raises(TypeError, match="float32"):
        encoder(torch.zeros(2, 3).double(), table, weight, False)
    with pytest.raises(TypeError, match="float32"):
        encoder(torch.zeros(2, 3), table.double(), weight, False)
