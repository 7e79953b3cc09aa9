"""Spherical harmonics by quadrature; the colour field's range and what it depends on."""

from __future__ import annotations

import math

import numpy as np
import torch

from nto3d.fields.color import ColorField, spherical_harmonics


def test_spherical_harmonics_are_orthonormal() -> None:
    # Gauss-Legendre in z and even steps in the angle integrate polynomials of degree 6 exactly.
    z, weights = np.polynomial.legendre.leggauss(8)
    angles = 2 * np.pi * np.arange(16) / 16
    ring = np.sqrt(1 - z**2)[:, None]
    directions = np.stack([ring * np.cos(angles), ring * np.sin(angles), np.repeat(z[:, None], 16, axis=1)], axis=-1)
    areas = torch.from_numpy(np.repeat(weights[:, None] * 2 * np.pi / 16, 16, axis=1).reshape(-1))
    values = spherical_harmonics(torch.from_numpy(directions.reshape(-1, 3)))
    assert values.shape == (128, 16)
    torch.testing.assert_close(values.T @ (values * areas[:, None]), torch.eye(16, dtype=torch.float64))


def test_their_degrees_have_the_right_parity() -> None:
    directions = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=1)
    here, there = spherical_harmonics(directions), spherical_harmonics(-directions)
    parity = torch.tensor([1.0] + [-1.0] * 3 + [1.0] * 5 + [-1.0] * 7, dtype=torch.float64)
    torch.testing.assert_close(there, here * parity)


def test_the_first_ones_by_hand() -> None:
    x_axis = spherical_harmonics(torch.tensor([[1.0, 0.0, 0.0]]))[0]
    assert math.isclose(float(x_axis[0]), math.sqrt(1 / (4 * math.pi)), rel_tol=1e-6)
    assert math.isclose(float(x_axis[3]), -math.sqrt(3 / (4 * math.pi)), rel_tol=1e-6)
    assert x_axis[1:3].tolist() == [0.0, 0.0]


def test_colours_lie_between_0_and_1_and_depend_on_every_input() -> None:
    torch.manual_seed(0)
    field = ColorField(geometry_features=4, hidden=16, layers=2)
    inputs = [torch.randn(6, width, requires_grad=True) for width in (3, 3, 3, 4)]
    rgb = field(*inputs)
    assert rgb.shape == (6, 3)
    assert 0.0 < float(rgb.detach().min()) < float(rgb.detach().max()) < 1.0
    for gradient in torch.autograd.grad(rgb.sum(), inputs):
        assert bool((gradient.abs().amax(dim=1) > 0).all())
