"""Rendering an analytic sphere and backgrounds whose pictures are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.march.march import Cells, march
from nto3d.render.volume import Sharpness, render_background, render_surface
from nto3d.types import RenderOutput
from tests.render.spheres import EvenBackground, NormalColor, SphereSdf

DT = 0.002


def sphere_rays(heights: list[float]) -> tuple[Tensor, Tensor]:
    """Rays along z from z = -3 at these heights y."""
    origins = torch.tensor([[0.0, height, -3.0] for height in heights])
    return origins, torch.tensor([0.0, 0.0, 1.0]).expand(len(heights), 3).contiguous()


def render(heights: list[float], inv_std: float = 2000.0) -> tuple[RenderOutput, Tensor]:
    origins, directions = sphere_rays(heights)
    cells = Cells.of(torch.ones(16, 16, 16, dtype=torch.uint8))
    samples = march(origins, directions, cells, DT, torch.full((len(heights),), 0.5))
    return render_surface(origins, directions, samples, SphereSdf(), NormalColor(), Sharpness(torch.tensor(inv_std)))


def test_a_sphere_by_hand() -> None:
    out, left = render([0.0, 0.3, -0.4, 0.6])
    assert out.opacity[:3].tolist() == pytest.approx([1.0, 1.0, 1.0], abs=5e-3)
    assert float(out.opacity[3]) < 0.01  # passes by; NeuS's 1e-5 a section is all there is
    assert left.tolist() == pytest.approx((1.0 - out.opacity).tolist(), abs=1e-6)
    # It is met at z = -sqrt(r^2 - y^2) = -0.5, -0.4, -0.3; where it is met, the position over r is the normal.
    assert out.depth[:3].tolist() == pytest.approx([2.5, 2.6, 2.7], abs=0.015)
    normals = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.6, -0.8], [0.0, -0.8, -0.6]])
    torch.testing.assert_close(out.normal[:3], normals, rtol=0, atol=0.01)
    torch.testing.assert_close(out.rgb[:3], normals * 0.4 + 0.5, rtol=0, atol=0.01)
    assert float(out.rgb[3].max()) < 0.01
    assert out.gradients.shape == (out.samples, 3)
    torch.testing.assert_close(out.gradients.norm(dim=1), torch.ones(out.samples))


def test_rays_without_samples() -> None:
    out, left = render([1.5, 0.0, 2.0])
    assert left[[0, 2]].tolist() == [1.0, 1.0]
    assert out.opacity[[0, 2]].tolist() == [0.0, 0.0]
    assert out.depth[[0, 2]].tolist() == [0.0, 0.0]
    assert float(out.opacity[1]) > 0.99
    nothing, _ = render([1.5])
    assert nothing.samples == 0
    assert nothing.rgb.tolist() == [[0.0, 0.0, 0.0]]


def test_a_soft_surface_lies_at_the_same_depth() -> None:
    out, _ = render([0.0], inv_std=60.0)
    assert float(out.depth / out.opacity) == pytest.approx(2.5, abs=0.02)


def test_gradients_reach_geometry_colour_and_sharpness() -> None:
    origins, directions = sphere_rays([0.0, 0.45])
    cells = Cells.of(torch.ones(16, 16, 16, dtype=torch.uint8))
    samples = march(origins, directions, cells, 0.01, torch.full((2,), 0.5))
    radius = torch.tensor(0.5, requires_grad=True)
    tint = torch.tensor(0.7, requires_grad=True)
    inv_std = torch.tensor(50.0, requires_grad=True)

    def geometry(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.norm(dim=1) - radius, functional.normalize(x, dim=1), x.new_zeros(len(x), 1)

    def color(x: Tensor, n: Tensor, d: Tensor, f: Tensor) -> Tensor:
        return tint.expand(len(x), 3)

    out, _ = render_surface(origins, directions, samples, geometry, color, Sharpness(inv_std))
    by_radius, by_sharpness = torch.autograd.grad(out.depth[0], (radius, inv_std), retain_graph=True)
    assert float(by_radius) == pytest.approx(-1.0, abs=0.1)  # a larger sphere is nearer by as much
    assert math.isfinite(float(by_sharpness))
    (by_tint,) = torch.autograd.grad(out.rgb[0].sum(), tint)
    assert float(by_tint) == pytest.approx(3.0, abs=0.05)


def test_an_even_background_has_its_colour() -> None:
    origins, directions = sphere_rays([0.0, 0.5, 3.0])
    for density in (0.0, 0.1, 50.0):
        rgb = render_background(origins, directions, EvenBackground(density=density), torch.full((3,), 0.3))
        torch.testing.assert_close(rgb, torch.tensor([0.2, 0.6, 1.0]).expand(3, 3), rtol=0, atol=1e-5)


def test_background_samples_lie_outside_and_reach_far() -> None:
    origins, directions = sphere_rays([0.0, 0.6])
    seen: list[Tensor] = []

    def background(positions: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(positions)
        assert torch.equal(along, directions[:, None].expand(-1, 10, -1).reshape(-1, 3))
        return positions.new_zeros(len(positions)), positions.new_zeros(len(positions), 3)

    render_background(origins, directions, background, torch.tensor([0.0, 0.5]), count=10)
    x = seen[0].view(2, 10, 3)
    assert float(x.norm(dim=2).min()) >= 1.0 - 1e-5
    torch.testing.assert_close(x[0, 0], torch.tensor([0.0, 0.0, 1.0]))  # where the ray leaves the sphere
    assert bool((x[:, 1:, 2] > x[:, :-1, 2]).all())
    # Even steps in the inverse of the distance: leave / (1 - k / 10).
    torch.testing.assert_close(x[0, :, 2] + 3.0, 4.0 / (1.0 - torch.arange(10) / 10))
    assert float(x[:, -1, 2].min()) > 15.0


def test_background_by_hand() -> None:
    """Two layers: red in the nearer half of the samples, then blue to infinity."""
    origins, directions = sphere_rays([0.0])

    def background(positions: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        near = torch.arange(len(positions)) < 5
        rgb = torch.where(near[:, None], torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
        return torch.where(near, 0.8, 0.0), rgb

    rgb = render_background(origins, directions, background, torch.zeros(1), count=10)
    through = math.exp(-0.8 * 5 / 10)
    assert rgb[0].tolist() == pytest.approx([1.0 - through, 0.0, through], abs=1e-5)
