from __future__ import annotations

import math

import pytest
import torch

from nto3d.training.losses import EDGE, HUBER_DELTA, color_huber, color_l1, curvature, eikonal, mask_bce


def test_l1_is_the_mean_over_the_channels() -> None:
    rgb, truth = torch.tensor([[0.1, 0.2, 0.3], [1.0, 1.0, 1.0]]), torch.tensor([[0.4, 0.2, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(color_l1(rgb, truth), torch.tensor([0.2, 0.0]))


def test_huber_is_quadratic_near_zero_and_has_the_slope_of_l1_far_away() -> None:
    near, far = HUBER_DELTA / 2, 4 * HUBER_DELTA
    rgb = torch.tensor([[near] * 3, [far] * 3], requires_grad=True)
    loss = color_huber(rgb, torch.zeros(2, 3))
    expected = torch.tensor([near**2 / (2 * HUBER_DELTA), far - HUBER_DELTA / 2])
    torch.testing.assert_close(loss.detach(), expected)
    loss[1].backward()
    assert rgb.grad is not None
    torch.testing.assert_close(rgb.grad[1], torch.full((3,), 1 / 3))  # as l1: one over the channels


def test_mask_bce_by_hand_and_finite_where_a_ray_sees_nothing() -> None:
    opacity = torch.tensor([0.25, 0.25, 0.0], requires_grad=True)
    loss = mask_bce(opacity, torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(loss[:2].detach(), torch.tensor([-math.log(0.25), -math.log(0.75)]))
    assert torch.isfinite(loss).all()


def test_eikonal_by_hand() -> None:
    gradients = torch.tensor([[3.0, 4.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(eikonal(gradients), torch.tensor([16.0, 0.0, 1.0]), atol=1e-5, rtol=1e-5)


def test_eikonal_has_a_gradient_where_the_sdf_is_flat() -> None:
    gradients = torch.zeros(1, 3, requires_grad=True)
    eikonal(gradients).sum().backward()
    assert gradients.grad is not None
    assert torch.isfinite(gradients.grad).all()


def test_curvature_is_the_second_difference_of_the_normals_whatever_their_lengths() -> None:
    angle = 0.3
    here = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ahead = torch.tensor([[math.cos(angle), math.sin(angle), 0.0], [0.0, 5.0, 0.0]])
    # A fold on one side only: the chord of the angle, |a - b|^2 = 2 - 2 cos, and what is bounded of it
    chord = 2 - 2 * math.cos(angle)
    torch.testing.assert_close(curvature(here, ahead, here), torch.tensor([chord / (1 + chord / EDGE**2), 0.0]))
    opposite = curvature(here, -here, -here)
    assert float(opposite.max()) < EDGE**2  # however sharp


def test_curvature_lets_a_ball_be_and_sees_waves() -> None:
    way = 0.02
    for radius in (0.1, 1.0):  # of a circle: the normal turns by way / radius on either side
        turn = way / radius
        points = torch.tensor([[math.sin(t), math.cos(t)] for t in (-turn, 0.0, turn)])
        round_ = curvature(points[1:2], points[2:], points[:1])
        change = (2 - 2 * math.cos(turn)) ** 2
        assert float(round_) == pytest.approx(change / (1 + change / EDGE**2), rel=2e-3, abs=1e-7)
        assert float(round_) < 0.05 * turn**2  # of what the first difference makes of it

    def normal(x: float) -> list[float]:  # of the waves 0.002 sin(60 x)
        return [-0.12 * math.cos(60.0 * x), 1.0]

    crest = math.pi / 60.0 / 4
    waves = torch.tensor([normal(crest - way), normal(crest), normal(crest + way)])
    assert float(curvature(waves[1:2], waves[2:], waves[:1])) > 0.01
