"""Embeddings rendered along with the colours: their weighted sums, and that nothing else changes by them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.composite import composite_torch
from nto3d.kernels.march.march import Cells, march
from nto3d.render.neus import neus_alpha
from nto3d.render.volume import NEGLIGIBLE, Color, Geometry, Sharpness, Target, render_surface
from nto3d.types import RenderOutput, Samples
from tests.render.spheres import NormalColor, SphereSdf

HEIGHTS = [0.0, 0.3, -0.4, 0.6, 1.5]  # three meet the sphere, one passes by it, one has no samples


def rays(heights: list[float], dt: float = 0.01) -> tuple[Tensor, Tensor, Samples]:
    """Rays along z from z = -3 at these heights y, and their samples."""
    origins = torch.tensor([[0.0, height, -3.0] for height in heights])
    directions = torch.tensor([0.0, 0.0, 1.0]).expand(len(heights), 3).contiguous()
    cells = Cells.of(torch.ones(16, 16, 16, dtype=torch.uint8))
    return origins, directions, march(origins, directions, cells, dt, torch.full((len(heights),), 0.5))


def embedding(x: Tensor, n: Tensor, d: Tensor, f: Tensor) -> Tensor:
    """Six channels [N, 6]: where, a wave, how steep, and one."""
    return torch.cat(
        [x, torch.sin(9.0 * x[:, 1:2]), (n * d).sum(dim=1, keepdim=True), torch.ones_like(x[:, :1])], dim=1
    )


def color_and_embedding(x: Tensor, n: Tensor, d: Tensor, f: Tensor) -> Tensor:
    return torch.cat([NormalColor()(x, n, d, f), embedding(x, n, d, f)], dim=1)


def render(
    color: Color,
    heights: list[float] = HEIGHTS,
    inv_std: float = 60.0,
    target: Target | None = None,
    geometry: Geometry | None = None,
    dt: float = 0.01,
) -> tuple[RenderOutput, Tensor]:
    origins, directions, samples = rays(heights, dt)
    sharpness = Sharpness(torch.tensor(inv_std))
    return render_surface(origins, directions, samples, geometry or SphereSdf(), color, sharpness, target)


def weighted_sums(heights: list[float], inv_std: float) -> tuple[Tensor, Tensor]:
    """Sums of weighted embeddings [R, 6] in float64 by the torch twin, and of the weights left out [R]."""
    _, directions, samples = rays(heights)
    along = directions[samples.ray.long()].double()
    positions = samples.positions.double()
    sdf, gradient, feature = SphereSdf()(positions)
    alpha = neus_alpha(sdf, gradient, along, samples.dt.double(), torch.tensor(inv_std, dtype=torch.float64), 1.0)
    weights, _, _ = composite_torch(alpha, alpha.new_zeros(len(alpha), 0), samples.offsets)
    values = embedding(positions, functional.normalize(gradient, dim=1), along, feature)
    sums, left_out = values.new_zeros(len(heights), values.shape[1]), values.new_zeros(len(heights))
    for index, ray in enumerate(samples.ray.tolist()):
        if weights[index] > NEGLIGIBLE:
            sums[ray] += weights[index] * values[index]
        else:
            left_out[ray] += weights[index]
    return sums, left_out


def test_without_an_embedding_there_is_no_feature() -> None:
    out, _ = render(NormalColor())
    assert out.feature is None


@pytest.mark.parametrize("with_target", [False, True])
def test_nothing_else_changes_by_an_embedding(with_target: bool) -> None:
    target = Target(lambda x: 4.0 * x[:, 1] - 0.5, gradient_share=0.1) if with_target else None
    bare, bare_left = render(NormalColor(), target=target)
    out, left = render(color_and_embedding, target=target)
    for name in ("rgb", "normal", "depth", "opacity", "positions", "sdf", "gradients"):
        assert torch.equal(getattr(out, name), getattr(bare, name)), name
    assert torch.equal(left, bare_left)
    if with_target:
        assert out.occupancy is not None
        assert bare.occupancy is not None
        assert torch.equal(out.occupancy, bare.occupancy)
        assert float(out.occupancy[:3].min()) > 0.05
    else:
        assert out.occupancy is None


@pytest.mark.parametrize("inv_std", [20.0, 300.0])
@pytest.mark.parametrize("with_target", [False, True])
def test_the_feature_is_the_weighted_sum_of_the_embeddings(inv_std: float, with_target: bool) -> None:
    target = Target(lambda x: 30.0 * x[:, 0] + 7.0) if with_target else None
    out, _ = render(color_and_embedding, inv_std=inv_std, target=target)
    expected, left_out = weighted_sums(HEIGHTS, inv_std)
    assert out.feature is not None
    # A weight near the threshold may fall on either side of it in float32.
    torch.testing.assert_close(out.feature.double(), expected, rtol=0, atol=2 * NEGLIGIBLE)
    torch.testing.assert_close(out.opacity.double() - out.feature[:, 5].double(), left_out, rtol=0, atol=2 * NEGLIGIBLE)
    assert out.feature[4].tolist() == [0.0] * 6


def test_on_a_hard_surface_the_feature_is_that_of_the_point_met() -> None:
    out, _ = render(color_and_embedding, [0.0, 0.3, -0.4], inv_std=2000.0, dt=0.002)
    assert out.feature is not None
    # It is met at z = -sqrt(r^2 - y^2) = -0.5, -0.4, -0.3; the normal there is the position over r = 0.5.
    points = torch.tensor([[0.0, 0.0, -0.5], [0.0, 0.3, -0.4], [0.0, -0.4, -0.3]])
    torch.testing.assert_close(out.feature[:, :3], points, rtol=0, atol=0.01)
    torch.testing.assert_close(out.feature[:, 4], torch.tensor([-1.0, -0.8, -0.6]), rtol=0, atol=0.01)
    torch.testing.assert_close(out.feature[:, 5], torch.ones(3), rtol=0, atol=0.01)


def test_rays_without_samples_have_features_of_zero() -> None:
    out, _ = render(color_and_embedding, [1.5, 2.0])
    assert out.samples == 0
    assert out.feature is not None
    assert out.feature.tolist() == [[0.0] * 6] * 2


@pytest.mark.parametrize("with_embedding", [False, True])
def test_the_targets_gradient_reaches_the_geometry_by_its_share_only(with_embedding: bool) -> None:
    radius = torch.tensor(0.5, requires_grad=True)

    def geometry(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.norm(dim=1) - radius, functional.normalize(x, dim=1), x.new_zeros(len(x), 1)

    def by_radius(reach: float) -> float:
        color: Color = color_and_embedding if with_embedding else NormalColor()
        # What lies in front of z = -0.5 is the target, so that more of it is met where the sphere is larger.
        target = Target(lambda x: -40.0 * (x[:, 2] + 0.5), reach)
        out, _ = render(color, [0.0], target=target, geometry=geometry)
        assert out.occupancy is not None
        (gradient,) = torch.autograd.grad(out.occupancy[0], radius, allow_unused=True)
        return 0.0 if gradient is None else float(gradient)

    whole = by_radius(1.0)
    assert whole > 1.0
    assert by_radius(0.0) == 0.0
    assert by_radius(0.25) == pytest.approx(0.25 * whole, rel=1e-4)


def test_gradients_of_the_feature_reach_embedding_and_geometry() -> None:
    radius = torch.tensor(0.5, requires_grad=True)
    size = torch.tensor(2.0, requires_grad=True)

    def geometry(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.norm(dim=1) - radius, functional.normalize(x, dim=1), x.new_zeros(len(x), 1)

    def color(x: Tensor, n: Tensor, d: Tensor, f: Tensor) -> Tensor:
        return torch.cat([x.new_full((len(x), 3), 0.5), size * x[:, 2:]], dim=1)

    out, _ = render(color, [0.0], geometry=geometry, target=Target(lambda x: x[:, 0]))
    assert out.feature is not None
    by_radius, by_size = torch.autograd.grad(out.feature[0, 0], (radius, size))
    assert float(out.feature[0, 0].detach()) == pytest.approx(-1.0, abs=0.03)  # size z, met at z = -radius
    assert float(by_size) == pytest.approx(-0.5, abs=0.02)
    assert float(by_radius) == pytest.approx(-2.0, abs=0.2)
