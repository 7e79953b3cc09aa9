"""The hash grid as Warp kernels: one source for CPU and CUDA, features, Jacobian, and the backward pass of both.

Each level owns its rows of the table. On the CPU the levels are dealt to threads, so no two threads add to the same row
and sums are made in a fixed order: the result is the same bits for any number of threads. On CUDA additions are atomic.
"""

# mypy: disable-error-code="misc"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say)
from __future__ import annotations

import functools
from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from nto3d.kernels.hashgrid.spec import PRIMES, HashGridSpec
from nto3d.kernels.launch import array, interleaved, launch_spans, runs, whole

_PRIME_Y = wp.constant(wp.uint32(PRIMES[1]))
_PRIME_Z = wp.constant(wp.uint32(PRIMES[2]))


@wp.struct
class Levels:
    """Per-level constants, arrays of length L."""

    scale: wp.array(dtype=wp.float32)  # type: ignore[valid-type]
    resolution: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    offset: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    size: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    hashed: wp.array(dtype=wp.int32)  # type: ignore[valid-type]


@wp.func
def _wrap(index: int, size: int) -> int:
    """A dense index modulo the level's size; it overshoots by less than one round (cheaper than a division)."""
    return wp.where(index >= size, index - size, index)


@wp.func
def _pair(x: int, y: int, z: int, resolution: int, size: int, hashed: int) -> wp.vec2i:
    """Rows, within their level, of the grid corners (x, y, z) and (x + 1, y, z); hashed sizes are powers of two."""
    if hashed != 0:
        rest = (wp.uint32(y) * _PRIME_Y) ^ (wp.uint32(z) * _PRIME_Z)
        last = wp.uint32(size - 1)
        return wp.vec2i(wp.int32((wp.uint32(x) ^ rest) & last), wp.int32((wp.uint32(x + 1) ^ rest) & last))
    dense = x + resolution * (y + resolution * z)
    return wp.vec2i(_wrap(dense, size), _wrap(dense + 1, size))


@wp.func
def _place(x: wp.vec3, scale: float) -> wp.vec3:
    unit = wp.vec3(
        wp.clamp(x[0] * 0.5 + 0.5, 0.0, 1.0), wp.clamp(x[1] * 0.5 + 0.5, 0.0, 1.0), wp.clamp(x[2] * 0.5 + 0.5, 0.0, 1.0)
    )
    return unit * scale + wp.vec3(0.5, 0.5, 0.5)


@functools.cache
def kernels(features: int) -> tuple[Any, Any]:
    """The forward and the backward kernel for a number of features per level."""
    F = wp.constant(features)
    Row = wp.types.vector(length=features, dtype=wp.float32)

    def forward(
        positions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [N]
        table: wp.array(dtype=Row),  # type: ignore[valid-type]  # [rows]
        levels: Levels,
        level_weight: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [L]
        want_jacobian: int,
        out: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [N, C]
        jacobian: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [N, 3, C]
        level_begin: int,
        level_end: int,
        level_stride: int,
        point_begin: int,
        point_end: int,
        point_stride: int,
    ) -> None:
        level_item, point_item = wp.tid()
        level = level_begin + level_item
        while level < level_end:
            amount = level_weight[level]
            scale = levels.scale[level]
            resolution = levels.resolution[level]
            size = levels.size[level]
            hashed = levels.hashed[level]
            offset = levels.offset[level]
            factor = amount * scale * 0.5
            point = point_begin + point_item
            while point < point_end and amount > 0.0:
                place = _place(positions[point], scale)
                cx = int(place[0])  # places are positive, so this is the floor
                cy = int(place[1])
                cz = int(place[2])
                fx = place[0] - float(cx)
                fy = place[1] - float(cy)
                fz = place[2] - float(cz)
                value = Row()
                slope_x = Row()
                slope_y = Row()
                slope_z = Row()
                for bz in range(2):
                    wz = wp.where(bz == 1, fz, 1.0 - fz)
                    sz = wp.where(bz == 1, 1.0, -1.0)
                    for by in range(2):
                        wy = wp.where(by == 1, fy, 1.0 - fy)
                        sy = wp.where(by == 1, 1.0, -1.0)
                        rows = _pair(cx, cy + by, cz + bz, resolution, size, hashed)
                        a = table[offset + rows[0]]
                        b = table[offset + rows[1]]
                        along = a + (b - a) * fx
                        value += along * (wy * wz)
                        if want_jacobian != 0:
                            slope_x += (b - a) * (wy * wz)
                            slope_y += along * (sy * wz)
                            slope_z += along * (wy * sz)
                for k in range(F):
                    out[point, level * F + k] = value[k] * amount
                    if want_jacobian != 0:
                        jacobian[point, 0, level * F + k] = slope_x[k] * factor
                        jacobian[point, 1, level * F + k] = slope_y[k] * factor
                        jacobian[point, 2, level * F + k] = slope_z[k] * factor
                point += point_stride
            level += level_stride

    def backward(
        positions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [N]
        grad_out: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [N, C]
        grad_jacobian: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [N, 3, C]
        levels: Levels,
        level_weight: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [L]
        want_jacobian: int,
        grad_table: wp.array(dtype=Row),  # type: ignore[valid-type]  # [rows]
        level_begin: int,
        level_end: int,
        level_stride: int,
        point_begin: int,
        point_end: int,
        point_stride: int,
    ) -> None:
        level_item, point_item = wp.tid()
        level = level_begin + level_item
        while level < level_end:
            amount = level_weight[level]
            scale = levels.scale[level]
            resolution = levels.resolution[level]
            size = levels.size[level]
            hashed = levels.hashed[level]
            offset = levels.offset[level]
            factor = amount * scale * 0.5
            point = point_begin + point_item
            while point < point_end and amount > 0.0:
                place = _place(positions[point], scale)
                cx = int(place[0])  # places are positive, so this is the floor
                cy = int(place[1])
                cz = int(place[2])
                fx = place[0] - float(cx)
                fy = place[1] - float(cy)
                fz = place[2] - float(cz)
                g = Row()
                gx = Row()
                gy = Row()
                gz = Row()
                for k in range(F):
                    g[k] = grad_out[point, level * F + k] * amount
                    if want_jacobian != 0:
                        gx[k] = grad_jacobian[point, 0, level * F + k] * factor
                        gy[k] = grad_jacobian[point, 1, level * F + k] * factor
                        gz[k] = grad_jacobian[point, 2, level * F + k] * factor
                for bz in range(2):
                    wz = wp.where(bz == 1, fz, 1.0 - fz)
                    sz = wp.where(bz == 1, 1.0, -1.0)
                    for by in range(2):
                        wy = wp.where(by == 1, fy, 1.0 - fy)
                        sy = wp.where(by == 1, 1.0, -1.0)
                        rows = _pair(cx, cy + by, cz + bz, resolution, size, hashed)
                        shared = g * (wy * wz) + gy * (sy * wz) + gz * (wy * sz)
                        along = gx * (wy * wz)
                        wp.atomic_add(grad_table, offset + rows[0], shared * (1.0 - fx) - along)
                        wp.atomic_add(grad_table, offset + rows[1], shared * fx + along)
                point += point_stride
            level += level_stride

    module = f"nto3d.hashgrid.{features}"
    return (
        wp.Kernel(forward, key=f"hashgrid_forward_{features}", module=wp.get_module(module)),
        wp.Kernel(backward, key=f"hashgrid_backward_{features}", module=wp.get_module(module)),
    )


class WarpEncoder:
    """Features and Jacobian of a hash grid through Warp, on the device of the positions."""

    def __init__(self, spec: HashGridSpec) -> None:
        self.spec = spec
        self.row_type = wp.types.vector(length=spec.features, dtype=wp.float32)
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
            launch_spans(kernels(encoder.spec.features)[0], arguments, spans, device)
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
            launch_spans(kernels(encoder.spec.features)[1], arguments, spans, device)
        return None, grad_table, None, None, None
