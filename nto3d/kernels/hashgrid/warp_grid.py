"""The hash grid through Warp kernels: one source for CPU and CUDA, features, Jacobian, and the backward pass of both.

Each level owns its rows of the table. On the CPU the levels are dealt to threads, so no two threads add to the same row
and sums are made in a fixed order: the result is the same bits for any number of threads. On CUDA additions are atomic.
"""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.kernels.hashgrid.warp_kernels import Levels, backward_kernel, forward_kernel, row_type
from nto3d.kernels.launch import array, interleaved, launch_spans, runs, whole


class WarpEncoder:
    """Features and Jacobian of a hash grid through Warp, on the device of the positions."""

    def __init__(self, spec: HashGridSpec) -> None:
        self.spec = spec
        self.row_type = row_type(spec.features)
        self._levels: dict[torch.device, Any] = {}

    def levels(self, device: torch.device) -> Any:
        """The per-level constants on a device (made once)."""
        if device not in self._levels:
            spec, name = self.spec, "cpu" if device.type == "cpu" else str(device)
            levels = Levels()
            levels.scale = wp.array(spec.scales, dtype=wp.float32, device=name)
            levels.resolution = wp.array(spec.resolutions, dtype=wp.int32, device=name)
            levels.offset = wp.array(spec.offsets[:-1], dtype=wp.int32, device=name)
            levels.size = wp.array(spec.sizes, dtype=wp.int32, device=name)
            levels.hashed = wp.array([int(h) for h in spec.hashed], dtype=wp.int32, device=name)
            self._levels[device] = levels
        return self._levels[device]

    def __call__(self, positions: Tensor, table: Tensor, level_weight: Tensor, jacobian: bool) -> tuple[Tensor, Tensor]:
        """Features [N, C] and Jacobian [N, 3, C] (empty where not asked for); gradients go to the table only."""
        if positions.requires_grad:
            raise ValueError("the warp hash grid gives no gradient to positions; use with_jacobian")
        if positions.dtype != torch.float32 or table.dtype != torch.float32:
            raise TypeError(f"expected float32 positions and table, got {positions.dtype} and {table.dtype}")
        out: tuple[Tensor, Tensor] = _Encode.apply(positions.contiguous(), table, level_weight, self, jacobian)
        return out


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, table: Tensor, level_weight: Tensor, encoder: WarpEncoder, jacobian: bool
    ) -> tuple[Tensor, Tensor]:
        count, width, device = len(positions), encoder.spec.width, positions.device
        features = torch.zeros(count, width, device=device)
        slopes = torch.zeros(count, 3, width if jacobian else 0, device=device)
        if count:
            arguments = [
                array(positions, wp.vec3),
                array(table, encoder.row_type),
                encoder.levels(device),
                array(level_weight),
                int(jacobian),
                array(features),
                array(slopes),
            ]
            levels = whole(encoder.spec.levels, device)
            # Each thread takes a run of points: neighbouring levels of a point share cache lines of the output.
            spans = [(levels, points) for points in runs(count, count * encoder.spec.levels, device)]
            launch_spans(forward_kernel(encoder.spec.features), arguments, spans, device)
        ctx.save_for_backward(positions, level_weight)
        ctx.encoder, ctx.jacobian, ctx.table_shape = encoder, jacobian, table.shape
        return features, slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_features: Tensor, grad_slopes: Tensor) -> tuple[Tensor | None, ...]:
        positions, level_weight = ctx.saved_tensors
        encoder, device = ctx.encoder, positions.device
        grad_table = torch.zeros(ctx.table_shape, device=device)
        if len(positions):
            arguments = [
                array(positions, wp.vec3),
                array(grad_features.contiguous()),
                array(grad_slopes.contiguous()),
                encoder.levels(device),
                array(level_weight),
                int(ctx.jacobian),
                array(grad_table, encoder.row_type),
            ]
            points = whole(len(positions), device)
            levels = interleaved(encoder.spec.levels, len(positions) * encoder.spec.levels, device)
            spans = [(share, points) for share in levels]
            launch_spans(backward_kernel(encoder.spec.features), arguments, spans, device)
        return None, grad_table, None, None, None
