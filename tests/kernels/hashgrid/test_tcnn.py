"""The tinycudann backend: on CUDA against the torch twin, elsewhere with a stand-in for the native module."""

import builtins
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from nto3d.errors import InputError
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.kernels.hashgrid.tcnn import TcnnEncoder
from nto3d.kernels.hashgrid.torch_twin import TorchEncoder
from tests.kernels.devices import assert_close, needs_cuda
from tests.kernels.grids import SPECS, places, random_table
from tests.kernels.hashgrid import fake_tinycudann


def agrees_with_the_twin(spec: HashGridSpec, count: int, device: str) -> None:
    """Features, Jacobian, and the table's gradient by each of them."""
    encoder, twin = TcnnEncoder(spec), TorchEncoder(spec)
    x, rows = places(spec, count), random_table(spec)
    weight = torch.linspace(1.0, 0.0, spec.levels + 1)[:-1]
    generator = torch.Generator().manual_seed(1)
    of_features = torch.randn(count, spec.width, generator=generator)
    of_jacobian = torch.randn(count, 3, spec.width, generator=generator)
    for share in (0.0, 1.0):  # of the features in the loss; then of both
        table = rows.clone().to(device).requires_grad_(True)
        reference = rows.double().requires_grad_(True)
        features, jacobian = encoder(x.to(device), table, weight.to(device), True)
        wanted, slopes = twin(x.double(), reference, weight.double(), True)
        assert_close(features, wanted)
        assert_close(jacobian, slopes)
        ((features * of_features.to(device)).sum() * share + (jacobian * of_jacobian.to(device)).sum()).backward()
        ((wanted * of_features).sum() * share + (slopes * of_jacobian).sum()).backward()
        assert table.grad is not None
        assert reference.grad is not None
        assert_close(table.grad, reference.grad)
    table = rows.clone().to(device).requires_grad_(True)
    features, jacobian = encoder(x.to(device), table, weight.to(device), False)
    assert jacobian.shape == (count, 3, 0)
    assert_close(features, wanted)
    (features * of_features.to(device)).sum().backward()
    reference.grad = None
    (twin(x.double(), reference, weight.double(), False)[0] * of_features).sum().backward()
    assert table.grad is not None
    assert reference.grad is not None
    assert_close(table.grad, reference.grad)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("count", [1, 333, 10_000])
@pytest.mark.parametrize("name", SPECS)
def test_agrees_with_the_twin_on_cuda(name: str, count: int) -> None:
    pytest.importorskip("tinycudann", reason="tinycudann is not installed", exc_type=ImportError)
    agrees_with_the_twin(SPECS[name], count, "cuda")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package = fake_tinycudann.package()
    monkeypatch.setitem(sys.modules, "tinycudann", package)
    monkeypatch.setitem(sys.modules, "tinycudann.modules", package.modules)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("count", [1, 33, 64])
@pytest.mark.parametrize("name", ["dense levels", "smallest table", "dense and hashed, four features"])
def test_derivatives_are_put_together_rightly(name: str, count: int) -> None:
    agrees_with_the_twin(SPECS[name], count, "cpu")


@pytest.mark.usefixtures("stand_in")
def test_no_points() -> None:
    spec = SPECS["dense levels"]
    table = random_table(spec).requires_grad_(True)
    features, jacobian = TcnnEncoder(spec)(torch.zeros(0, 3), table, torch.ones(3), True)
    assert features.shape == (0, 6)
    assert jacobian.shape == (0, 3, 6)
    features.sum().backward()
    assert table.grad is not None
    assert float(table.grad.abs().max()) == 0.0


@pytest.mark.usefixtures("stand_in")
def test_what_it_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"encoding\.features: expected one of 1, 2, 4, 8 for encoding=tcnn, got 3"):
        TcnnEncoder(HashGridSpec(2, 3, 8, 4, 8))
    spec = SPECS["dense levels"]
    encoder = TcnnEncoder(spec)
    with pytest.raises(ValueError, match="no gradient to positions"):
        encoder(torch.zeros(2, 3, requires_grad=True), random_table(spec), torch.ones(3), False)
    with pytest.raises(TypeError, match="float32"):
        encoder(torch.zeros(2, 3).double(), random_table(spec), torch.ones(3), False)
    monkeypatch.setattr(fake_tinycudann.Native, "n_params", lambda self: 8 * self.spec.features)
    with pytest.raises(InputError, match=r"expected a table of \d+ rows, tinycudann makes one of 8"):
        TcnnEncoder(spec)


def failing_import(error: Exception) -> Callable[..., Any]:
    real = builtins.__import__

    def load(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("tinycudann"):
            raise error
        return real(name, *rest, **more)

    return load


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'tinycudann'"), OSError("Unknown compute capability"), NameError("_C")]
)
def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    monkeypatch.setattr(builtins, "__import__", failing_import(error))
    with pytest.raises(InputError, match=r"encoding\.backend: .*cannot be loaded.*requirements-cuda\.txt") as caught:
        HashGrid(SPECS["dense levels"], "tcnn")
    assert "\n" not in str(caught.value)


def test_no_cuda_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"encoding\.backend: tcnn needs a CUDA device; use encoding=warp"):
        HashGrid(SPECS["dense levels"], "tcnn")
