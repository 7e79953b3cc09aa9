"""NeuS's opacity by hand: it integrates to one over a surface, and weighs most where the surface is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nto3d.kernels.composite import composite
from nto3d.render.neus import neus_alpha


def logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def alpha_of(sdf: float, cosine: float, dt: float, inv_std: float, anneal: float = 1.0) -> float:
    """Opacity of one section; its direction is z, the gradient has this cosine to it."""
    gradient = torch.tensor([[math.sqrt(1 - cosine**2), 0.0, cosine]])
    direction = torch.tensor([[0.0, 0.0, 1.0]])
    values = neus_alpha(
        torch.tensor([sdf]), gradient, direction, torch.tensor([dt]), torch.tensor(float(inv_std)), anneal
    )
    return float(values)


def test_one_section_by_hand() -> None:
    # Head on: the section's ends lie at distances 0.02 and 0.
    before, after = logistic(2.0), logistic(0.0)
    assert alpha_of(0.01, -1.0, 0.02, 100.0) == pytest.approx((before - after) / before, abs=2e-5)
    # At 60 degrees the distance falls half as fast: from 0.015 to 0.005.
    before, after = logistic(1.5), logistic(0.5)
    assert alpha_of(0.01, -0.5, 0.02, 100.0) == pytest.approx((before - after) / before, abs=2e-5)
    assert alpha_of(0.01, 0.0, 0.02, 100.0) < 2e-5  # along the surface
    assert alpha_of(0.01, 0.8, 0.02, 100.0) < 2e-5  # leaving it
    assert alpha_of(0.5, -1.0, 0.02, 100.0) < 2e-5  # far in front of it


def test_annealing_by_hand() -> None:
    # Without any of it the slope is (1 - cosine) / 2: a surface that faces away still gets a gradient.
    before, after = logistic(1.0 + 0.25), logistic(1.0 - 0.25)
    assert alpha_of(0.01, 0.5, 0.02, 100.0, anneal=0.0) == pytest.approx((before - after) / before, abs=2e-5)
    slope = 0.4 * 0.75 + 0.6 * 0.5  # of cosine -1/2
    before, after = logistic(1.0 + slope), logistic(1.0 - slope)
    assert alpha_of(0.01, -0.5, 0.02, 100.0, anneal=0.6) == pytest.approx((before - after) / before, abs=2e-5)


def through_a_plane(cosine: float, inv_std: float, dt: float = 0.002, length: float = 1.0) -> tuple[Tensor, Tensor]:
    """Distances and weights of the samples of a ray that crosses a plane in its middle."""
    t = (torch.arange(int(length / dt)) + 0.5) * dt
    sdf = -cosine * (length / 2 - t)
    count = len(t)
    gradient = torch.tensor([math.sqrt(1 - cosine**2), 0.0, cosine]).expand(count, 3)
    direction = torch.tensor([0.0, 0.0, 1.0]).expand(count, 3)
    alpha = neus_alpha(sdf, gradient, direction, torch.full((count,), dt), torch.tensor(inv_std))
    weights, _, _ = composite(alpha, torch.zeros(count, 0), torch.tensor([0, count], dtype=torch.int32))
    return sdf, weights


@pytest.mark.parametrize("cosine", [-1.0, -0.4])
@pytest.mark.parametrize("inv_std", [40.0, 200.0, 1000.0])
def test_a_plane_is_opaque_and_weighs_most_at_the_surface(cosine: float, inv_std: float) -> None:
    sdf, weights = through_a_plane(cosine, inv_std)
    start, end = -cosine * 0.5, cosine * 0.5
    expected = 1.0 - logistic(inv_std * end) / logistic(inv_std * start)  # the sections' product telescopes
    assert float(weights.sum()) == pytest.approx(expected, abs=0.01)
    assert float(weights.sum()) > 0.99 or inv_std * abs(end) < 10
    assert abs(float(sdf[weights.argmax()])) <= 0.0011  # unbiased: half a section at most
    # NeuS's 1e-5 gives each of the 250 sections in front of the surface a little weight, 1/4 away on average.
    assert abs(float((weights * sdf).sum() / weights.sum())) < 0.03 / inv_std + 0.0008


def test_gradients_push_the_surface_and_the_sharpness() -> None:
    sdf = torch.tensor([0.02], requires_grad=True)
    inv_std = torch.tensor(50.0, requires_grad=True)
    down = torch.tensor([[0.0, 0.0, -1.0]])
    alpha = neus_alpha(sdf, down, -down, torch.tensor([0.01]), inv_std)
    alpha.sum().backward()
    assert sdf.grad is not None
    assert inv_std.grad is not None
    assert float(sdf.grad) < 0.0  # nearer is more opaque
    assert float(inv_std.grad) != 0.0
