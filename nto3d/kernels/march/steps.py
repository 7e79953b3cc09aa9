"""The kernel behind `march`: rays that walk through the occupied cells of a grid, from lattice point to lattice point.

Letters: R rays, N samples, G cells along an axis, B blocks along an axis.
"""

# ruff: noqa: UP018, RUF046
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="index, operator"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say)
from __future__ import annotations

import warp as wp

LOST = wp.constant(0.5)  # a ray that keeps more of its light than this may have missed a surface


@wp.func
def _sphere_span(o: wp.vec3, d: wp.vec3, radius: float) -> wp.vec2:
    """Entry and exit distance of a ray and a sphere around the origin; exit < entry on a miss."""
    middle = -wp.dot(o, d)
    nearest = o + d * middle
    inside = radius * radius - wp.dot(nearest, nearest)
    if inside <= 0.0:
        return wp.vec2(0.0, -1.0)
    half = wp.sqrt(inside)
    return wp.vec2(wp.max(middle - half, 0.0), middle + half)


@wp.func
def _cell_at(x: wp.vec3, cells: int, size: float) -> wp.vec3i:
    """The cell that holds x, or is nearest to it."""
    return wp.vec3i(
        wp.clamp(int((x[0] + 1.0) / size), 0, cells - 1),
        wp.clamp(int((x[1] + 1.0) / size), 0, cells - 1),
        wp.clamp(int((x[2] + 1.0) / size), 0, cells - 1),
    )


@wp.func
def _cell_exit(x: wp.vec3, d: wp.vec3, cell: wp.vec3i, size: float) -> float:
    """Distance from x along d to the border of its cell."""
    out = float(1.0e6)
    for axis in range(3):
        low = float(cell[axis]) * size - 1.0
        if d[axis] > 1.0e-9:
            out = wp.min(out, (low + size - x[axis]) / d[axis])
        elif d[axis] < -1.0e-9:
            out = wp.min(out, (low - x[axis]) / d[axis])
    return wp.max(out, 0.0)


@wp.func
def _density_below(distance: wp.array(dtype=wp.float32, ndim=3), x: wp.vec3, sharpness: float) -> float:  # type: ignore[valid-type]
    """NeuS's logistic of the trilinear distance at x."""
    last = distance.shape[0] - 1
    scale = float(last) * 0.5
    px = wp.clamp((x[0] + 1.0) * scale, 0.0, float(last) - 1.0e-3)
    py = wp.clamp((x[1] + 1.0) * scale, 0.0, float(last) - 1.0e-3)
    pz = wp.clamp((x[2] + 1.0) * scale, 0.0, float(last) - 1.0e-3)
    i = int(px)
    j = int(py)
    k = int(pz)
    u = px - float(i)
    v = py - float(j)
    w = pz - float(k)
    low = wp.lerp(
        wp.lerp(distance[i, j, k], distance[i, j, k + 1], w),
        wp.lerp(distance[i, j + 1, k], distance[i, j + 1, k + 1], w),
        v,
    )
    high = wp.lerp(
        wp.lerp(distance[i + 1, j, k], distance[i + 1, j, k + 1], w),
        wp.lerp(distance[i + 1, j + 1, k], distance[i + 1, j + 1, k + 1], w),
        v,
    )
    return 1.0 / (1.0 + wp.exp(-wp.lerp(low, high, u) * sharpness))


@wp.func
def _opacity(distance: wp.array(dtype=wp.float32, ndim=3), x: wp.vec3, half: wp.vec3, sharpness: float) -> float:  # type: ignore[valid-type]
    """NeuS's alpha of the sample at x, which reaches from x - half to x + half."""
    before = _density_below(distance, x - half, sharpness)
    after = _density_below(distance, x + half, sharpness)
    return wp.clamp((before - after) / wp.max(before, 1.0e-6), 0.0, 1.0)


@wp.struct
class Volume:
    """Where a ray may take samples."""

    grid: wp.array(dtype=wp.uint8, ndim=3)  # type: ignore[valid-type]  # [G, G, G]
    blocks: wp.array(dtype=wp.uint8, ndim=3)  # type: ignore[valid-type]  # [B, B, B], nonzero where a cell in it is


@wp.struct
class Output:
    """Where the samples go."""

    positions: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [N]
    ray: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [N]
    t: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [N]


@wp.func
def _walk(
    o: wp.vec3,
    d: wp.vec3,
    span: wp.vec2,
    phase: float,
    dt: float,
    volume: Volume,
    distance: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]
    sharpness: float,
    least: float,
    ray: int,
    start: int,
    out: Output,
) -> wp.vec2:
    """Walks one ray; samples are written from `start` on (-1: only counted). Returns their number and what is left of
    the transmittance by the guide; without one (sharpness 0) every lattice point in an occupied cell is taken.
    """
    cells = volume.grid.shape[0]
    size = 2.0 / float(cells)
    block_cells = cells // volume.blocks.shape[0]
    block_size = size * float(block_cells)
    k = int(0)
    found = int(0)
    through = float(1.0)
    t = span[0] + phase * dt
    while t < span[1] and through > least:
        x = o + d * t
        cell = _cell_at(x, cells, size)
        block = wp.vec3i(cell[0] // block_cells, cell[1] // block_cells, cell[2] // block_cells)
        if volume.blocks[block[0], block[1], block[2]] == wp.uint8(0):
            leave = t + _cell_exit(x, d, block, block_size)
            k = wp.max(k + 1, int(wp.ceil((leave - span[0]) / dt - phase)))
        elif volume.grid[cell[0], cell[1], cell[2]] == wp.uint8(0):
            leave = t + _cell_exit(x, d, cell, size)
            k = wp.max(k + 1, int(wp.ceil((leave - span[0]) / dt - phase)))
        else:
            keep = bool(True)
            if sharpness > 0.0:
                alpha = _opacity(distance, x, d * (0.5 * dt), sharpness)
                keep = through * alpha > least
                through = through * (1.0 - alpha)
            if keep:
                if start >= 0:
                    out.positions[start + found] = x
                    out.ray[start + found] = ray
                    out.t[start + found] = t
                found += 1
            k += 1
        t = span[0] + (float(k) + phase) * dt
    return wp.vec2(float(found), through)


@wp.kernel(module="nto3d.march")
def walk_rays(
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    directions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    jitter: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    volume: Volume,
    fallback: Volume,
    distance: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [G + 1]^3 at cell corners
    sharpness: float,
    least: float,
    radius: float,
    dt: float,
    write: int,
    lost: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R], 1 where the guide found no surface
    counts: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R], filled where write = 0
    offsets: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R + 1], read where write = 1
    out: Output,
    begin: int,
    end: int,
    stride: int,
) -> None:
    """Count each ray's samples (write = 0), then write them down (write = 1)."""
    ray = begin + wp.tid()
    while ray < end:
        o = origins[ray]
        d = directions[ray]
        span = _sphere_span(o, d, radius)
        if write == 0:
            result = _walk(o, d, span, jitter[ray], dt, volume, distance, sharpness, least, ray, -1, out)
            lost[ray] = 0
            if sharpness > 0.0 and result[1] > LOST:
                lost[ray] = 1
                result = _walk(o, d, span, jitter[ray], dt, fallback, distance, 0.0, 0.0, ray, -1, out)
            counts[ray] = int(result[0])
        elif lost[ray] == 1:
            _walk(o, d, span, jitter[ray], dt, fallback, distance, 0.0, 0.0, ray, offsets[ray], out)
        else:
            _walk(o, d, span, jitter[ray], dt, volume, distance, sharpness, least, ray, offsets[ray], out)
        ray += stride
