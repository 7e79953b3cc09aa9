"""Volume rendering of packed samples. Fields come in as functions; nothing here knows a model.

Letters: R rays, N samples, G geometry features, E channels of an embedding, K background samples a ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.composite import composite
from nto3d.render.neus import neus_alpha
from nto3d.types import RenderOutput, Samples

Geometry = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # [N, 3] -> sdf [N], gradient [N, 3], feature [N, G]
# position, normal, direction, feature -> rgb [N, 3] and behind it, where there is one, an embedding: [N, 3 + E]
Color = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Occupancy = Callable[[Tensor], Tensor]  # [N, 3] -> logit [N]
Background = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # [N, 3], [N, 3] -> density [N], rgb [N, 3]

NEGLIGIBLE = 1e-4  # samples of less weight get no colour


@dataclass(frozen=True)
class Sharpness:
    """How the SDF is turned into opacity: inv_std is NeuS's s (a tensor that may carry gradients), anneal 0..1."""

    inv_std: Tensor
    anneal: float = 1.0


@dataclass(frozen=True)
class Target:
    """The target field in rendering.

    Attributes:
        logit: logits [N] at positions [N, 3].
        gradient_share: share of the gradient of p(ray) that reaches the geometry, too; 0: its weights are detached.
    """

    logit: Occupancy
    gradient_share: float = 0.0


def partly(value: Tensor, share: float) -> Tensor:
    """The same value, back through which only a share of the gradient goes."""
    if share == 1.0:
        return value
    return value.detach() + share * (value - value.detach()) if share else value.detach()


def render_surface(
    origins: Tensor,
    directions: Tensor,
    samples: Samples,
    geometry: Geometry,
    color: Color,
    sharpness: Sharpness,
    target: Target | None = None,
    feature_gradient: float = 1.0,
) -> tuple[RenderOutput, Tensor]:
    """Render R rays from their packed samples.

    Args:
        origins, directions: [R, 3], normalized frame, unit directions.
        samples: N samples of these rays.
        color: may give an embedding with each colour; the output's `feature` [R, E] is its weighted sum.
        target: the field of what belongs to the target; the output then holds its p(ray) = sum_k w_k sigmoid(o_k).
        feature_gradient: share of the gradient of `feature` that reaches the geometry through the weights.

    Returns:
        The output (rgb on black), and the transmittance left for what lies behind, [R].
    """
    along = directions[samples.ray.long()]
    sdf, gradient, feature = geometry(samples.positions)
    sdf, gradient, feature = sdf.float(), gradient.float(), feature.float()
    alpha = neus_alpha(sdf, gradient, along, samples.dt, sharpness.inv_std, sharpness.anneal)
    normal = functional.normalize(gradient, dim=1, eps=1e-6)
    shown, belongs = _looks(alpha, samples, normal, along, feature, color, target)
    values = torch.cat([shown[:, :3], normal, samples.t[:, None], belongs.detach()], dim=1)
    _, sums, left = composite(alpha, values, samples.offsets)
    covered = None
    if target is not None:
        _, seen, _ = composite(alpha.detach(), belongs, samples.offsets)
        covered = seen[:, 0] + target.gradient_share * (sums[:, 7] - sums[:, 7].detach())
    out = RenderOutput(
        rgb=sums[:, :3],
        normal=sums[:, 3:6],
        depth=sums[:, 6],
        opacity=1.0 - left,
        positions=samples.positions,
        sdf=sdf,
        gradients=gradient,
        occupancy=covered,
        feature=composite(partly(alpha, feature_gradient), shown[:, 3:], samples.offsets)[1]
        if shown.shape[1] > 3
        else None,
    )
    return out, left


def _looks(
    alpha: Tensor,
    samples: Samples,
    normal: Tensor,
    along: Tensor,
    feature: Tensor,
    color: Color,
    target: Target | None,
) -> tuple[Tensor, Tensor]:
    """Colour and embedding [N, 3 + E] and probability [N, 1] ([N, 0] without a target), 0 where weights are negligible.

    Args:
        alpha: [N]. normal, along: [N, 3], of the surface and of the rays. feature: [N, G].
    """
    count = len(samples)
    with torch.no_grad():
        weights, _, _ = composite(alpha, alpha.new_zeros(count, 0), samples.offsets)
        chosen = torch.nonzero(weights > NEGLIGIBLE)[:, 0]
    positions = samples.positions[chosen]
    shown = color(positions, normal[chosen], along[chosen], feature[chosen]).float()
    shown = alpha.new_zeros(count, shown.shape[1]).index_copy(0, chosen, shown)
    if target is None:
        return shown, alpha.new_zeros(count, 0)
    belongs = torch.sigmoid(target.logit(positions).float())
    return shown, alpha.new_zeros(count).index_copy(0, chosen, belongs)[:, None]


def render_background(
    origins: Tensor, directions: Tensor, background: Background, jitter: Tensor, count: int = 24, radius: float = 1.0
) -> Tensor:
    """Colour [R, 3] of what lies outside the sphere, sampled evenly in contracted distance from there to infinity.

    Args:
        origins, directions: [R, 3]. jitter: [R] in 0..1. count: K samples a ray.
    """
    rays = len(origins)
    middle = -(origins * directions).sum(dim=1)
    miss = ((origins + directions * middle[:, None]) ** 2).sum(dim=1)
    leave = (middle + (radius**2 - miss).clamp(min=0.0).sqrt()).clamp(min=1e-3)  # [R] where the ray leaves the sphere
    steps = (torch.arange(count, device=origins.device) + jitter[:, None]) / count  # [R, K] in 0..1
    t = leave[:, None] / (1.0 - steps).clamp(min=1e-3)
    positions = (origins[:, None] + directions[:, None] * t[..., None]).reshape(-1, 3)
    density, rgb = background(positions, directions[:, None].expand(-1, count, -1).reshape(-1, 3))
    alpha = 1.0 - torch.exp(-density.float() / count)
    last = torch.arange(1, rays + 1, device=origins.device) * count - 1
    alpha = alpha.index_fill(0, last, 1.0)  # nothing lies behind the last sample
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=origins.device) * count
    return composite(alpha, rgb.float(), offsets)[1]
