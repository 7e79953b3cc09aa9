"""Ray marching through an occupancy grid to packed samples.

The grid is a cube of G^3 cells over [-1, 1]^3, axes x, y, z. A ray takes samples of one length `dt` on its own lattice
`near + (k + jitter) dt`, wherever the lattice point lies in an occupied cell and in the sphere of interest; empty cells
are left in one stride. Letters: R rays, N samples.
"""

# ruff: noqa: UP018, RUF046
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="index, operator"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say)
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from nto3d.kernels.launch import array, interleaved, launch_spans, start
from nto3d.types import Samples

STEPS = 16  # about so many cells are looked at along a ray
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
        cell = wp.vec3i(
            wp.clamp(int((x[0] + 1.0) / size), 0, cells - 1),
            wp.clamp(int((x[1] + 1.0) / size), 0, cells - 1),
            wp.clamp(int((x[2] + 1.0) / size), 0, cells - 1),
        )
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
                before = _density_below(distance, x - d * (0.5 * dt), sharpness)
                after = _density_below(distance, x + d * (0.5 * dt), sharpness)
                alpha = wp.clamp((before - after) / wp.max(before, 1.0e-6), 0.0, 1.0)
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
def _march(
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


@dataclass(frozen=True)
class Cells:
    """An occupancy grid over [-1, 1]^3.

    Attributes:
        grid: uint8 [G, G, G], axes x, y, z, nonzero where there may be something.
        blocks: uint8 [B, B, B], nonzero where any cell of the block is; empty blocks are left in one stride.

    Raises:
        ValueError: the grid is not a uint8 cube.
    """

    grid: Tensor
    blocks: Tensor

    @classmethod
    def of(cls, grid: Tensor, block: int = 8) -> Cells:
        """The cells of a grid, in blocks of `block`^3 (or of one cell, where that does not divide G)."""
        if grid.dtype != torch.uint8 or grid.ndim != 3 or len(set(grid.shape)) != 1:
            raise ValueError(f"expected a uint8 [G, G, G] grid, got {grid.dtype} {tuple(grid.shape)}")
        grid, size = grid.contiguous(), grid.shape[0]
        if size % block:
            return cls(grid, grid)
        split = grid.view(size // block, block, size // block, block, size // block, block)
        return cls(grid, split.amax(dim=(1, 3, 5)).contiguous())


@dataclass(frozen=True)
class Guide:
    """A rough SDF that tells a ray which samples will count.

    A ray that loses less than half of its light by the guide may have missed a surface that the guide does not know of:
    it takes all samples in the cells of `fallback` instead.

    Attributes:
        distance: float32 [G + 1]^3 at the cells' corners, normalized units.
        sharpness: NeuS's s to use with it, softer than the true one by what the grid cannot resolve.
        least: a sample is kept where its weight by the guide exceeds this; a ray ends where its transmittance falls
            below.
        fallback: cells to look in instead.
    """

    distance: Tensor
    sharpness: float
    least: float
    fallback: Cells


def march(
    origins: Tensor,
    directions: Tensor,
    cells: Cells,
    dt: float,
    jitter: Tensor,
    radius: float = 1.0,
    guide: Guide | None = None,
) -> Samples:
    """Samples of R rays in the occupied cells of a grid.

    Args:
        origins, directions: [R, 3] float32, normalized frame, unit directions.
        cells: where there may be something.
        dt: sample length, normalized units. jitter: [R] in 0..1, where in its interval each sample lies.
        radius: of the sphere of interest around the origin.
        guide: a rough SDF; samples that hardly count by it are left out.

    Raises:
        ValueError: `dt` is not positive.
    """
    if dt <= 0.0:
        raise ValueError(f"expected a positive dt, got {dt}")
    start()
    device, rays = origins.device, len(origins)
    counts = torch.zeros(rays, dtype=torch.int32, device=device)
    offsets = torch.zeros(rays + 1, dtype=torch.int32, device=device)
    empty = Samples(origins[:0], counts[:0], jitter[:0], jitter[:0], offsets)
    if not rays:
        return empty
    lost = torch.empty_like(counts)
    arguments = [
        array(origins.contiguous(), wp.vec3),
        array(directions.contiguous(), wp.vec3),
        array(jitter.contiguous()),
        _volume(cells),
        _volume(cells if guide is None else guide.fallback),
        array(guide.distance if guide is not None else jitter[:0].view(0, 0, 0)),
        float(guide.sharpness if guide is not None else 0.0),
        float(guide.least if guide is not None else 0.0),
        float(radius),
        float(dt),
    ]
    spans = [(span,) for span in interleaved(rays, rays * STEPS, device)]
    tail = [array(lost), array(counts), array(offsets)]
    launch_spans(_march, [*arguments, 0, *tail, _output(empty)], spans, device)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    total = int(offsets[-1])
    t = torch.empty(total, device=device)
    ray = torch.empty(total, dtype=torch.int32, device=device)
    samples = Samples(torch.empty(total, 3, device=device), ray, t, torch.full_like(t, dt), offsets)
    if total:
        launch_spans(_march, [*arguments, 1, *tail, _output(samples)], spans, device)
    return samples


def _volume(cells: Cells) -> Any:
    volume = Volume()
    volume.grid, volume.blocks = wp.from_torch(cells.grid), wp.from_torch(cells.blocks)
    return volume


def _output(samples: Samples) -> Any:
    output = Output()
    output.positions = wp.from_torch(samples.positions, dtype=wp.vec3)
    output.ray, output.t = wp.from_torch(samples.ray), wp.from_torch(samples.t)
    return output
