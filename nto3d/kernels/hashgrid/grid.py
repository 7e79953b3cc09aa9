"""The multi-resolution hash grid as the module that the fields use.

Mueller et al. 2022, "Instant Neural Graphics Primitives", section 3. The layout (resolutions, strides, hash) is that of
tiny-cuda-nn, so that a table trained with one backend means the same in every other.

Letters: N points, L levels, F features per level, C = L * F.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nto3d.errors import InputError
from nto3d.kernels.hashgrid.spec import HashGridSpec

BACKENDS = ("warp", "torch", "tcnn")


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
        from nto3d.kernels.hashgrid.warp_grid import WarpEncoder

        return WarpEncoder(spec)
    if backend == "torch":
        from nto3d.kernels.hashgrid.torch_twin import TorchEncoder

        return TorchEncoder(spec)
    if backend == "tcnn":
        from nto3d.kernels.hashgrid.tcnn import TcnnEncoder

        return TcnnEncoder(spec)
    raise InputError(f"encoding.backend: expected one of {', '.join(BACKENDS)}, got '{backend}'")
