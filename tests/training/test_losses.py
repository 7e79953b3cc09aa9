from __future__ import annotations

import math

import torch

from nto3d.training.losses import HUBER_DELTA, color_huber, color_l1, curvature, eikonal, mask_bce


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


def test_curvature_is_that_of_the_angle_between_the_normals_whatever_their_lengths() -> None:
    angle = 0.3
    here = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    there = torch.tensor([[math.cos(angle), math.sin(angle), 0.0], [0.0, 5.0, 0.0]])
    # chord of the angle: |a - b|^2 = 2 - 2 cos
    torch.testing.assert_close(curvature(here, there), torch.tensor([2 - 2 * math.cos(angle), 0.0]))


def test_curvature_of_a_sphere_is_its_own() -> None:
    """Points a short way apart on a sphere of radius r: the normals differ by (way / r)."""
    radius, way = 0.5, 0.01
    here = torch.tensor([[0.0, 0.0, radius]])
    there = here + torch.tensor([[way, 0.0, 0.0]])
    torch.testing.assert_close(curvature(here, there), torch.tensor([(way / radius) ** 2]), rtol=1e-3, atol=0)
