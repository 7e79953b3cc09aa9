"""The multi-resolution hash grid: its specification, and the module that the fields use.

Mueller et al. 2022, "Instant Neural Graphics Primitives", section 3. The layout (resolutions, strides, hash) is that of
tiny-cuda-nn, so that a table trained with one backend means the same in every other.

Letters: N points, L levels, F features per level, C = L * F.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nto3d.errors import InputError

PRIMES = (1, 2654435761, 805459861)
BACKENDS = ("warp", "torch", "tcnn")


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


Pullback = Callable[[Tensor], Tensor]


class HashGrid(nn.Module):
    """Trainable hash grid.

    Args:
        spec: its shape.
        backend: `warp` (CPU and CUDA), `torch` (the reference twin) or `tcnn` (CUDA, tinycudann).

    Attributes:
        table: [rows, F] float32 parameters. level_weight: [L] float32, the weight of each level's features; levels with
            weight 0 cost nothing (coarse-to-fine training).

    Raises:
        InputError: the backend is unknown, or cannot be loaded on this machine.
    """

    level_weight: Tensor

    def __init__(self, spec: HashGridSpec, backend: str = "warp", generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.backend = backend
        self._encode = _load_backend(backend, spec)
        table = torch.empty(spec.offsets[-1], spec.features).uniform_(-1e-4, 1e-4, generator=generator)
        self.table = nn.Parameter(table)
        self.register_buffer("level_weight", torch.ones(spec.levels))

    def set_active_levels(self, active: float) -> None:
        """Let the first `active` levels take part; a fraction fades the next level in."""
        steps = torch.arange(self.spec.levels, device=self.level_weight.device)
        self.level_weight.copy_((active - steps).clamp(0.0, 1.0))

    def forward(self, positions: Tensor) -> Tensor:
        """Features [N, C] at positions [N, 3] in [-1, 1]^3 (clamped to it)."""
        return self._encode(positions, self.table, self.level_weight, False)[0]

    def with_jacobian(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, C] and their derivative by the position, [N, 3, C]; both carry gradients to the table."""
        features, jacobian = self._encode(positions, self.table, self.level_weight, True)
        return features, jacobian


def _load_backend(backend: str, spec: HashGridSpec) -> Callable[..., tuple[Tensor, Tensor]]:
    if backend == "warp":
        from nto3d.kernels.hashgrid_warp import WarpEncoder

        return WarpEncoder(spec)
    if backend == "torch":
        from nto3d.kernels.hashgrid_torch import TorchEncoder

        return TorchEncoder(spec)
    if backend == "tcnn":
        from nto3d.kernels.hashgrid_tcnn import TcnnEncoder

        return TcnnEncoder(spec)
    raise InputError(f"encoding.backend: expected one of {', '.join(BACKENDS)}, got '{backend}'")
