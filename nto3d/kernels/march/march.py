"""Ray marching through an occupancy grid to packed samples.

The grid is a cube of G^3 cells over [-1, 1]^3, axes x, y, z. A ray takes samples of one length `dt` on its own lattice
`near + (k + jitter) dt`, wherever the lattice point lies in an occupied cell and in the sphere of interest; empty cells
are left in one stride. Letters: R rays, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from nto3d.kernels.launch import array, interleaved, launch_spans, start
from nto3d.kernels.march.steps import Output, Volume, walk_rays
from nto3d.types import Samples

STEPS = 16  # about so many cells are looked at along a ray


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
    ]
    arguments += [*_places(cells, guide), float(radius), float(dt)]
    spans = [(span,) for span in interleaved(rays, rays * STEPS, device)]
    tail = [array(lost), array(counts), array(offsets)]
    launch_spans(walk_rays, [*arguments, 0, *tail, _output(empty)], spans, device)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    total = int(offsets[-1])
    t = torch.empty(total, device=device)
    ray = torch.empty(total, dtype=torch.int32, device=device)
    samples = Samples(torch.empty(total, 3, device=device), ray, t, torch.full_like(t, dt), offsets)
    if total:
        launch_spans(walk_rays, [*arguments, 1, *tail, _output(samples)], spans, device)
    return samples


def _places(cells: Cells, guide: Guide | None) -> list[Any]:
    """The kernel's arguments that say where samples are taken: volume, fallback, distance, sharpness, least."""
    if guide is None:
        nothing = cells.grid.new_empty(0, 0, 0, dtype=torch.float32)
        return [_volume(cells), _volume(cells), array(nothing), 0.0, 0.0]
    rough = [array(guide.distance), float(guide.sharpness), float(guide.least)]
    return [_volume(cells), _volume(guide.fallback), *rough]


def _volume(cells: Cells) -> Any:
    volume = Volume()
    volume.grid, volume.blocks = wp.from_torch(cells.grid), wp.from_torch(cells.blocks)
    return volume


def _output(samples: Samples) -> Any:
    output = Output()
    output.positions = wp.from_torch(samples.positions, dtype=wp.vec3)
    output.ray, output.t = wp.from_torch(samples.ray), wp.from_torch(samples.t)
    return output
