"""Sharded gradients are the plain gradient, in a fixed order, whatever the threads do."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor, nn

from nto3d.training.parallel import Losses, Shard, ShardedGradients


@pytest.fixture(autouse=True)
def _three_threads() -> None:
    torch.set_num_threads(3)


def problem() -> tuple[nn.Sequential, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1))
    return net, torch.randn(60, 4), torch.randn(60, 1)


def shards_of(net: nn.Module, x: Tensor, y: Tensor, count: int, delays: list[float] | None = None) -> list[Shard]:
    def shard(part: int) -> Losses:
        time.sleep(delays[part] if delays else 0.0)
        error = ((net(x[part::count]) - y[part::count]) ** 2).sum() / len(x)
        return error, {"error": error.detach(), "rays": torch.tensor(float(len(x[part::count])))}

    return [lambda part=part: shard(part) for part in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_equals_the_plain_gradient(count: int) -> None:
    net, x, y = problem()
    parameters = list(net.parameters())
    expected = torch.autograd.grad(((net(x) - y) ** 2).sum() / len(x), parameters)
    with ShardedGradients(parameters, count) as differentiate:
        loss, scalars = differentiate(shards_of(net, x, y, count), lambda value: value)
    for parameter, wanted in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(loss, ((net(x) - y) ** 2).mean().detach())
    assert not loss.requires_grad
    assert float(scalars["rays"]) == 60.0
    torch.testing.assert_close(scalars["error"], loss)


def test_the_result_does_not_depend_on_timing() -> None:
    net, x, y = problem()
    parameters = list(net.parameters())
    results = []
    with ShardedGradients(parameters, 3) as differentiate:
        for delays in ([0.0, 0.0, 0.0], [0.03, 0.0, 0.01], [0.0, 0.03, 0.0]):
            differentiate(shards_of(net, x, y, 3, delays), lambda value: value)
            results.append([parameter.grad.clone() for parameter in parameters if parameter.grad is not None])
    for other in results[1:]:
        assert all(torch.equal(first, second) for first, second in zip(results[0], other, strict=True))


def test_gradients_replace_those_of_the_step_before() -> None:
    net, x, y = problem()
    parameters = list(net.parameters())
    with ShardedGradients(parameters, 2) as differentiate:
        differentiate(shards_of(net, x, y, 2), lambda value: value)
        before = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
        differentiate(shards_of(net, x, y, 2), lambda value: value * 4.0)
    for parameter, once in zip(parameters, before, strict=True):
        torch.testing.assert_close(parameter.grad, once * 4.0)


def test_parameters_that_a_shard_does_not_use() -> None:
    a, b, c = (torch.ones(2, requires_grad=True) for _ in range(3))
    shards: list[Shard] = [lambda: (a.sum(), {}), lambda: ((a * b).sum() * 2.0, {})]
    with ShardedGradients([a, b, c], 2) as differentiate:
        differentiate(shards, lambda value: value)
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.tolist() == [3.0, 3.0]
    assert b.grad.tolist() == [2.0, 2.0]
    assert c.grad is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parameters_with_one_and_the_same_gradient(count: int) -> None:
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    shards: list[Shard] = [lambda: (((a + b) ** 2).sum(), {})] * count
    with ShardedGradients([a, b], count) as differentiate:
        differentiate(shards, lambda value: value)
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.data_ptr() != b.grad.data_ptr()  # clipping scales each of them in place
    assert a.grad.tolist() == b.grad.tolist() == [4.0 * count] * 2


def test_threads_are_given_back() -> None:
    parameters = [torch.ones(1, requires_grad=True)]
    with ShardedGradients(parameters, 2):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with ShardedGradients(parameters, 1):
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize("broken", [0, 1])
def test_an_error_in_a_shard_is_raised(broken: int) -> None:
    a = torch.ones(1, requires_grad=True)

    def fail() -> Losses:
        raise ZeroDivisionError(f"shard {broken}")

    shards: list[Shard] = [lambda: (a.sum(), {}), lambda: (a.sum(), {})]
    shards[broken] = fail
    with pytest.raises(ZeroDivisionError, match=f"shard {broken}"), ShardedGradients([a], 2) as differentiate:
        differentiate(shards, lambda value: value)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nto3d-shard")]
