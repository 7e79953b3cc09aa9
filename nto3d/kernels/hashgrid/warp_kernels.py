"""The Warp kernels of the hash grid: features and their derivatives by the position, and the way back to the table.

A kernel goes over levels and points by two spans (see `launch`). Letters: N points, L levels, F features per level,
C = L * F. A place in a level is told in its grid units.
"""

# mypy: disable-error-code="misc"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say; annotations are not postponed, because
# Warp could not evaluate those that name a local type)
import functools
from typing import Any

import warp as wp

from nto3d.kernels.hashgrid.spec import PRIMES

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


@wp.struct
class Level:
    """The constants of one level, its weight, and the weight of its derivatives by the position."""

    amount: float
    factor: float
    scale: float
    resolution: int
    offset: int
    size: int
    hashed: int


@wp.struct
class Cell:
    """The lowest corner of a place's grid cell, and how far from it the place is along each axis, 0..1."""

    x: int
    y: int
    z: int
    fx: float
    fy: float
    fz: float


@wp.func
def _level(levels: Levels, level_weight: wp.array(dtype=wp.float32), number: int) -> Level:  # type: ignore[valid-type]
    out = Level()
    out.amount = level_weight[number]
    out.scale = levels.scale[number]
    out.resolution = levels.resolution[number]
    out.size = levels.size[number]
    out.hashed = levels.hashed[number]
    out.offset = levels.offset[number]
    out.factor = out.amount * out.scale * 0.5
    return out


@wp.func
def _cell(x: wp.vec3, scale: float) -> Cell:
    """The cell of a position in [-1, 1]^3 (clamped to it)."""
    unit = wp.vec3(
        wp.clamp(x[0] * 0.5 + 0.5, 0.0, 1.0), wp.clamp(x[1] * 0.5 + 0.5, 0.0, 1.0), wp.clamp(x[2] * 0.5 + 0.5, 0.0, 1.0)
    )
    place = unit * scale + wp.vec3(0.5, 0.5, 0.5)
    out = Cell()
    out.x = int(place[0])  # places are positive, so this is the floor
    out.y = int(place[1])
    out.z = int(place[2])
    out.fx = place[0] - float(out.x)
    out.fy = place[1] - float(out.y)
    out.fz = place[2] - float(out.z)
    return out


@wp.func
def _wrap(index: int, size: int) -> int:
    """A dense index modulo the level's size; it overshoots by less than one round (cheaper than a division)."""
    return wp.where(index >= size, index - size, index)


@wp.func
def _pair(level: Level, x: int, y: int, z: int) -> wp.vec2i:
    """Table rows of the grid corners (x, y, z) and (x + 1, y, z); hashed sizes are powers of two."""
    if level.hashed != 0:
        rest = (wp.uint32(y) * _PRIME_Y) ^ (wp.uint32(z) * _PRIME_Z)
        last = wp.uint32(level.size - 1)
        return wp.vec2i(
            level.offset + wp.int32((wp.uint32(x) ^ rest) & last),
            level.offset + wp.int32((wp.uint32(x + 1) ^ rest) & last),
        )
    dense = x + level.resolution * (y + level.resolution * z)
    return wp.vec2i(level.offset + _wrap(dense, level.size), level.offset + _wrap(dense + 1, level.size))


@wp.func
def _weight(far: int, f: float) -> float:
    """How much the near (0) or the far (1) side of a cell counts at f along an axis."""
    return wp.where(far == 1, f, 1.0 - f)


@wp.func
def _sign(far: int) -> float:
    """The derivative of `_weight` by f."""
    return wp.where(far == 1, 1.0, -1.0)


def row_type(features: int) -> Any:
    """A row of the table."""
    return wp.types.vector(length=features, dtype=wp.float32)


def _module(features: int) -> str:
    return f"nto3d.hashgrid.{features}"


@functools.cache
def _interpolation(features: int) -> Any:
    """The Warp function that interpolates in a cell."""
    Row = row_type(features)

    @wp.func(name=f"hashgrid_interpolated_{features}", module=_module(features))
    def interpolated(
        table: wp.array(dtype=Row),  # type: ignore[valid-type]  # [rows]
        level: Level,
        cell: Cell,
        want_jacobian: int,
    ) -> tuple[Row, Row, Row, Row]:  # type: ignore[valid-type]
        """The features, and their derivatives along x, y and z, 0 where they are not wanted."""
        value = Row()
        slope_x = Row()
        slope_y = Row()
        slope_z = Row()
        for bz in range(2):
            wz = _weight(bz, cell.fz)
            for by in range(2):
                wy = _weight(by, cell.fy)
                rows = _pair(level, cell.x, cell.y + by, cell.z + bz)
                a = table[rows[0]]
                b = table[rows[1]]
                along = a + (b - a) * cell.fx
                value += along * (wy * wz)
                if want_jacobian != 0:
                    slope_x += (b - a) * (wy * wz)
                    slope_y += along * (_sign(by) * wz)
                    slope_z += along * (wy * _sign(bz))
        return value, slope_x, slope_y, slope_z

    return interpolated


@functools.cache
def forward_kernel(features: int) -> Any:
    """The kernel of features and Jacobian, for a number of features per level."""
    F = wp.constant(features)
    Row = row_type(features)
    interpolated = _interpolation(features)

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
        number = level_begin + level_item
        while number < level_end:
            level = _level(levels, level_weight, number)
            point = point_begin + point_item
            while point < point_end and level.amount > 0.0:
                cell = _cell(positions[point], level.scale)
                value, slope_x, slope_y, slope_z = interpolated(table, level, cell, want_jacobian)
                for k in range(F):
                    out[point, number * F + k] = value[k] * level.amount
                    if want_jacobian != 0:
                        jacobian[point, 0, number * F + k] = slope_x[k] * level.factor
                        jacobian[point, 1, number * F + k] = slope_y[k] * level.factor
                        jacobian[point, 2, number * F + k] = slope_z[k] * level.factor
                point += point_stride
            number += level_stride

    return wp.kernel(forward, name=f"hashgrid_forward_{features}", module=_module(features))


@functools.cache
def _spreading(features: int) -> Any:
    """The Warp function that is the transpose of `_interpolation`'s."""
    Row = row_type(features)

    @wp.func(name=f"hashgrid_spread_{features}", module=_module(features))
    def spread(grad_table: wp.array(dtype=Row), level: Level, cell: Cell, g: Row, gx: Row, gy: Row, gz: Row) -> None:  # type: ignore[valid-type]
        """Add to the rows around a cell what gradients of its features and of their derivatives mean for them."""
        for bz in range(2):
            wz = _weight(bz, cell.fz)
            for by in range(2):
                wy = _weight(by, cell.fy)
                rows = _pair(level, cell.x, cell.y + by, cell.z + bz)
                shared = g * (wy * wz) + gy * (_sign(by) * wz) + gz * (wy * _sign(bz))
                along = gx * (wy * wz)
                wp.atomic_add(grad_table, rows[0], shared * (1.0 - cell.fx) - along)
                wp.atomic_add(grad_table, rows[1], shared * cell.fx + along)

    return spread


@functools.cache
def backward_kernel(features: int) -> Any:
    """The kernel of the gradient of the table, for a number of features per level."""
    F = wp.constant(features)
    Row = row_type(features)
    spread = _spreading(features)

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
        number = level_begin + level_item
        while number < level_end:
            level = _level(levels, level_weight, number)
            point = point_begin + point_item
            while point < point_end and level.amount > 0.0:
                cell = _cell(positions[point], level.scale)
                g = Row()
                gx = Row()
                gy = Row()
                gz = Row()
                for k in range(F):
                    g[k] = grad_out[point, number * F + k] * level.amount
                    if want_jacobian != 0:
                        gx[k] = grad_jacobian[point, 0, number * F + k] * level.factor
                        gy[k] = grad_jacobian[point, 1, number * F + k] * level.factor
                        gz[k] = grad_jacobian[point, 2, number * F + k] * level.factor
                spread(grad_table, level, cell, g, gx, gy, gz)
                point += point_stride
            number += level_stride

    return wp.kernel(backward, name=f"hashgrid_backward_{features}", module=_module(features))
