"""Alpha compositing of packed samples: a scan along each ray, forward and backward.

w_i = T_i alpha_i with T_i = prod_{j < i} (1 - alpha_j) (Max 1995; NeuS eq. 3). Letters: R rays, N samples, C channels.
"""

# ruff: noqa: UP018
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="operator"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say)
from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from nto3d.kernels.launch import Span, array, launch_spans, runs


@wp.kernel(module="nto3d.composite", enable_backward=False)
def _forward(
    alpha: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    values: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [N, C]
    offsets: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R + 1]
    before: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N], T_i
    weights: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    out: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [R, C]
    left: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R], T behind the last sample
    begin: int,
    end: int,
    stride: int,
) -> None:
    ray = begin + wp.tid()
    while ray < end:
        t = float(1.0)
        for i in range(offsets[ray], offsets[ray + 1]):
            a = alpha[i]
            w = t * a
            before[i] = t
            weights[i] = w
            for c in range(values.shape[1]):
                out[ray, c] += w * values[i, c]
            t = t * (1.0 - a)
        left[ray] = t
        ray += stride


@wp.kernel(module="nto3d.composite", enable_backward=False)
def _backward(
    alpha: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    values: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [N, C]
    offsets: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R + 1]
    before: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    grad_weights: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    grad_out: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [R, C]
    grad_left: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    grad_alpha: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [N]
    grad_values: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [N, C]
    begin: int,
    end: int,
    stride: int,
) -> None:
    ray = begin + wp.tid()
    while ray < end:
        # `behind` is the gradient of what lies behind sample i, seen through it: no division by 1 - alpha is needed.
        behind = grad_left[ray]
        first = offsets[ray]
        for back in range(offsets[ray + 1] - first):
            i = offsets[ray + 1] - 1 - back
            a = alpha[i]
            w = before[i] * a
            own = grad_weights[i]
            for c in range(values.shape[1]):
                own += grad_out[ray, c] * values[i, c]
                grad_values[i, c] = w * grad_out[ray, c]
            grad_alpha[i] = before[i] * (own - behind)
            behind = a * own + (1.0 - a) * behind
        ray += stride


def composite(alpha: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Composite packed samples.

    Args:
        alpha: [N] in 0..1. values: [N, C]. offsets: int32 [R + 1], as of `Samples`.

    Returns:
        weights [N], sums of weighted values [R, C], and the transmittance left behind each ray's last sample [R].
        All three carry gradients to alpha, the sums also to the values.
    """
    if len(alpha) != len(values) or offsets.dtype != torch.int32:
        raise ValueError(
            f"expected alpha [N], values [N, C], int32 offsets, got {alpha.shape}, {values.shape}, {offsets.dtype}"
        )
    out: tuple[Tensor, Tensor, Tensor] = _Composite.apply(alpha.contiguous(), values.contiguous(), offsets)
    return out


def _spans(rays: int, samples: int, device: torch.device) -> list[tuple[Span]]:
    return [(span,) for span in runs(rays, samples, device)]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, alpha: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rays, device = len(offsets) - 1, alpha.device
        before, weights = torch.empty_like(alpha), torch.empty_like(alpha)
        out = torch.zeros(rays, values.shape[1], device=device)
        left = torch.ones(rays, device=device)
        if rays:
            tensors = (alpha, values, offsets, before, weights, out, left)
            launch_spans(_forward, [array(tensor) for tensor in tensors], _spans(rays, len(alpha), device), device)
        ctx.save_for_backward(alpha, values, offsets, before)
        return weights, out, left

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_weights: Tensor, grad_out: Tensor, grad_left: Tensor) -> tuple[Tensor | None, ...]:
        alpha, values, offsets, before = ctx.saved_tensors
        rays, device = len(offsets) - 1, alpha.device
        grad_alpha, grad_values = torch.zeros_like(alpha), torch.zeros_like(values)
        if rays:
            tensors = (alpha, values, offsets, before, grad_weights, grad_out, grad_left, grad_alpha, grad_values)
            arguments = [array(tensor.contiguous()) for tensor in tensors]
            launch_spans(_backward, arguments, _spans(rays, len(alpha), device), device)
        return grad_alpha, grad_values, None


def composite_torch(alpha: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The twin of `composite` in plain torch, in the dtype of its input; pads every ray to the longest."""
    counts = (offsets[1:] - offsets[:-1]).long()
    rays, longest = len(counts), int(counts.max()) if len(counts) else 0
    slot = torch.arange(longest, device=alpha.device)[None].expand(rays, longest)
    used = slot < counts[:, None]
    index = torch.where(used, slot + offsets[:-1, None].long(), torch.zeros_like(slot))
    padded = torch.where(used, alpha[index] if len(alpha) else alpha.new_zeros(rays, longest), alpha.new_zeros(()))
    through = torch.cumprod(torch.cat([padded.new_ones(rays, 1), 1 - padded], dim=1), dim=1)
    weights = through[:, :-1] * padded
    gathered = values[index] if len(values) else values.new_zeros(rays, longest, values.shape[1])
    return weights[used], (weights[..., None] * gathered).sum(dim=1), through[:, -1]
