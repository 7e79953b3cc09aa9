"""Compositing against cases derived by hand and against the torch twin in float64."""

import pytest
import torch
from torch import Tensor

from nto3d.kernels.composite import composite, composite_torch
from tests.kernels.devices import DEVICES, assert_close


def offsets_of(counts: list[int], device: torch.device | str = "cpu") -> Tensor:
    return torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()], dtype=torch.int32, device=device)


def random_batch(rays: int, most: int, channels: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Opacities as a surface gives them (mostly low, some 0 or 1), values, offsets; some rays are empty."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (rays,), generator=generator)
    counts[::7] = 0
    total = int(counts.sum())
    alpha = torch.rand(total, generator=generator) ** 4
    alpha[torch.rand(total, generator=generator) < 0.05] = 0.0
    alpha[torch.rand(total, generator=generator) < 0.01] = 1.0
    values = torch.rand(total, channels, generator=generator)
    return alpha, values, offsets_of(counts.tolist())


@pytest.mark.parametrize("device", DEVICES)
def test_rays_by_hand(device: torch.device) -> None:
    counts = [2, 0, 3, 1, 2]  # half and half; empty; opaque first sample; all transparent (twice)
    alpha = torch.tensor([0.5, 0.5, 1.0, 0.7, 0.2, 0.0, 0.0, 0.0], device=device)
    values = torch.arange(1.0, 9.0, device=device)[:, None] * torch.tensor([1.0, 10.0], device=device)
    weights, sums, left = composite(alpha, values, offsets_of(counts, device))
    assert weights.tolist() == [0.5, 0.25, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert sums.tolist() == [[1.0, 10.0], [0.0, 0.0], [3.0, 30.0], [0.0, 0.0], [0.0, 0.0]]
    assert left.tolist() == [0.25, 1.0, 0.0, 1.0, 1.0]


def test_gradients_by_hand() -> None:
    # sum = a u + (1 - a) b v, left = (1 - a) (1 - b)
    alpha = torch.tensor([0.25, 0.5], requires_grad=True)
    values = torch.tensor([[3.0], [5.0]], requires_grad=True)
    _, sums, left = composite(alpha, values, offsets_of([2]))
    (sums.sum() + 10.0 * left.sum()).backward()
    assert alpha.grad is not None
    assert values.grad is not None
    assert alpha.grad.tolist() == pytest.approx([3.0 - 0.5 * 5.0 - 10.0 * 0.5, 0.75 * 5.0 - 10.0 * 0.75])
    assert values.grad[:, 0].tolist() == pytest.approx([0.25, 0.375])


def test_an_opaque_sample_hides_what_is_behind_but_can_fade() -> None:
    alpha = torch.tensor([1.0, 0.5], requires_grad=True)
    values = torch.tensor([[2.0], [7.0]], requires_grad=True)
    _, sums, _ = composite(alpha, values, offsets_of([2]))
    sums.sum().backward()
    assert alpha.grad is not None
    assert values.grad is not None
    assert alpha.grad.tolist() == [2.0 - 0.5 * 7.0, 0.0]
    assert values.grad[:, 0].tolist() == [1.0, 0.0]


def test_the_twin_passes_gradcheck() -> None:
    alpha, values, offsets = random_batch(5, 4, channels=2)
    alpha = alpha.double().clamp(0.01, 0.99).requires_grad_(True)
    values = values.double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a, v: composite_torch(a, v, offsets), (alpha, values))


def with_gradients(function: object, alpha: Tensor, values: Tensor, offsets: Tensor) -> list[Tensor]:
    """Outputs, then the gradients of a random sum over all of them."""
    alpha, values = alpha.clone().requires_grad_(True), values.clone().requires_grad_(True)
    outputs = function(alpha, values, offsets)  # type: ignore[operator]
    generator = torch.Generator().manual_seed(9)
    scales = [torch.randn(output.shape, generator=generator).to(output) for output in outputs]
    total = torch.stack([(output * scale).sum() for output, scale in zip(outputs, scales, strict=True)]).sum()
    return [*(output.detach() for output in outputs), *torch.autograd.grad(total, (alpha, values))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("rays", "most"), [(1, 1), (37, 9), (3000, 40), (3, 5000)])
def test_agrees_with_the_twin_in_float64(rays: int, most: int, device: torch.device) -> None:
    alpha, values, offsets = random_batch(rays, most, seed=rays)
    if rays == 1:
        alpha, values, offsets = torch.tensor([0.3]), torch.rand(1, 7), offsets_of([1])
    expected = with_gradients(composite_torch, alpha.double(), values.double(), offsets)
    found = with_gradients(composite, alpha.to(device), values.to(device), offsets.to(device))
    for part, wanted in zip(found, expected, strict=True):
        assert_close(part, wanted)


@pytest.mark.parametrize("device", DEVICES)
def test_a_million_samples_agree_with_float64(device: torch.device) -> None:
    alpha, values, offsets = random_batch(25_000, 94, channels=4)
    alpha = alpha * 0.2  # so that light reaches far samples
    assert len(alpha) > 1_000_000
    expected = composite_torch(alpha.double(), values.double(), offsets)
    found = composite(alpha.to(device), values.to(device), offsets.to(device))
    for part, wanted in zip(found, expected, strict=True):
        assert float((part.cpu().double() - wanted).abs().max()) < 1e-5


def test_the_result_does_not_depend_on_the_threads() -> None:
    batch = random_batch(3000, 40)
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(with_gradients(composite, *batch))
    for other in results[1:]:
        for first, part in zip(results[0], other, strict=True):
            assert torch.equal(first, part)


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_nothing_to_composite(counts: list[int]) -> None:
    for function in (composite, composite_torch):
        weights, sums, left = function(torch.zeros(0), torch.zeros(0, 3), offsets_of(counts))
        assert weights.shape == (0,)
        assert sums.tolist() == [[0.0, 0.0, 0.0]] * len(counts)
        assert left.tolist() == [1.0] * len(counts)


def test_what_cannot_be_composited_is_said() -> None:
    with pytest.raises(ValueError, match="expected alpha"):
        composite(torch.zeros(2), torch.zeros(3, 1), offsets_of([2]))
    with pytest.raises(ValueError, match="int32 offsets"):
        composite(torch.zeros(2), torch.zeros(2, 1), offsets_of([2]).long())
