"""The lattice on which a field is sampled, and the one way its points are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nto3d.errors import InputError
from nto3d.export.regions import Bounds, Field, box, intersect
from nto3d.types import FloatArray, IntArray

Coordinates = FloatArray | IntArray
COARSE = 8  # cells along a coarse block, and the fewest cells that a lattice may have


@dataclass(frozen=True)
class Lattice:
    """A lattice over a box: `cells` + 1 points an axis, coordinates count cells from the lower corner."""

    sdf: Field
    lower: FloatArray  # [3]
    spacing: FloatArray  # [3] size of a cell
    cells: NDArray[np.int64]  # [3]
    device: torch.device
    chunk: int

    def positions(self, coordinates: Coordinates) -> FloatArray:
        """Positions [N, 3] of lattice coordinates [N, 3]."""
        return self.lower + coordinates * self.spacing

    def evaluate(self, coordinates: Coordinates) -> NDArray[np.float32]:
        """Field values [N] at lattice coordinates [N, 3]; never exactly zero, so that no vertex sits on a corner."""
        values = np.empty(len(coordinates), dtype=np.float32)
        for start in range(0, len(coordinates), self.chunk):
            part = slice(start, start + self.chunk)
            points = torch.from_numpy(self.positions(coordinates[part]).astype(np.float32)).to(self.device)
            with torch.no_grad():
                result = self.sdf(points)
            if tuple(result.shape) != (len(points),):
                raise ValueError(f"expected an sdf [{len(points)}], got {list(result.shape)}")
            values[part] = result.float().cpu().numpy()
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            raise InputError(f"the field is not finite at {broken} of {len(values)} points; the training diverged")
        tiny = np.float32(1e-6 * self.spacing.min())
        return np.where(np.abs(values) < tiny, np.copysign(tiny, values), values)

    def blocks(self, size: int) -> tuple[int, int, int]:
        """How many blocks of `size` cells cover the lattice along each axis."""
        x, y, z = (int(count) for count in -(-self.cells // size))
        return x, y, z


def make_lattice(
    sdf: Field,
    resolution: int,
    lower: Bounds,
    upper: Bounds,
    device: torch.device | str,
    chunk: int,
    region: Field | None,
    close_border: bool,
) -> Lattice:
    """The lattice of an extraction, see `surface.extract_surface`; its field is cut to the region and the border."""
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if low.shape != (3,) or high.shape != (3,) or not np.all(high > low):
        raise InputError(f"expected bounds lower < upper of 3 numbers each, got {low.tolist()} and {high.tolist()}")
    if resolution < COARSE:
        raise InputError(f"export.resolution: expected at least {COARSE} cells, got {resolution}")
    side = high - low
    # 1e-9: a side that is a whole number of cells must not gain one by rounding.
    cells = np.maximum(np.ceil(side / (side.max() / resolution) - 1e-9), 1).astype(np.int64)
    spacing = side / cells
    if region is not None:
        sdf = intersect(sdf, region)
    if close_border:
        sdf = intersect(sdf, box(low + spacing / 2, high - spacing / 2))
    return Lattice(sdf, low, spacing, cells, torch.device(device), chunk)
