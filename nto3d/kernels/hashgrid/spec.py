"""The shape of a multi-resolution hash grid: levels, resolutions, table rows.

Mueller et al. 2022, "Instant Neural Graphics Primitives", section 3. The layout (resolutions, strides, hash) is that of
tiny-cuda-nn, so that a table trained with one backend means the same in every other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

PRIMES = (1, 2654435761, 805459861)  # of the spatial hash, eq. 4; one an axis


@dataclass(frozen=True)
class HashGridSpec:
    """Shape of a hash grid over the cube [-1, 1]^3.

    Attributes:
        levels: L. features: F per level. log2_entries: at most 2^log2_entries table rows per level.
        base_resolution, max_resolution: cells along an axis at the coarsest and the finest level.
    """

    levels: int
    features: int
    log2_entries: int
    base_resolution: int
    max_resolution: int

    def __post_init__(self) -> None:
        if min(self.levels, self.features, self.base_resolution) < 1 or not 1 <= self.log2_entries <= 28:
            raise ValueError(
                f"expected positive levels, features, base_resolution and log2_entries in 1..28, got {self}"
            )
        if self.max_resolution < self.base_resolution:
            raise ValueError(f"expected max_resolution >= base_resolution, got {self}")

    @property
    def width(self) -> int:
        """C, features over all levels."""
        return self.levels * self.features

    @property
    def growth(self) -> float:
        """Factor between the resolutions of neighbouring levels, a float32 value as in tiny-cuda-nn."""
        if self.levels == 1:
            return 1.0
        return float(np.float32(math.exp(math.log(self.max_resolution / self.base_resolution) / (self.levels - 1))))

    @property
    def scales(self) -> tuple[float, ...]:
        """Grid units per unit of u = (x + 1) / 2, for each level; in float32, whose rounding shows at fine levels."""
        growth, base = np.log2(np.float32(self.growth)), np.float32(self.base_resolution)
        return tuple(
            float(np.exp2(np.float32(level) * growth) * base - np.float32(1.0)) for level in range(self.levels)
        )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Grid vertices along an axis, for each level."""
        return tuple(math.ceil(scale) + 1 for scale in self.scales)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Table rows of each level."""
        return tuple(min((r**3 + 7) // 8 * 8, 2**self.log2_entries) for r in self.resolutions)

    @property
    def hashed(self) -> tuple[bool, ...]:
        """Whether a level is too fine to be stored densely."""
        return tuple(r**3 > size for r, size in zip(self.resolutions, self.sizes, strict=True))

    @property
    def offsets(self) -> tuple[int, ...]:
        """First table row of each level, and the number of rows at the end."""
        out = [0]
        for size in self.sizes:
            out.append(out[-1] + size)
        return tuple(out)
