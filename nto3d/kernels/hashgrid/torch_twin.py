"""The hash grid in plain torch: the reference that every other backend is tested against. Slow, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from nto3d.kernels.hashgrid.spec import PRIMES, HashGridSpec


class TorchEncoder:
    """Features and Jacobian of a hash grid, in the dtype of the table (float64 works for tests)."""

    def __init__(self, spec: HashGridSpec) -> None:
        self.spec = spec

    def __call__(self, positions: Tensor, table: Tensor, level_weight: Tensor, jacobian: bool) -> tuple[Tensor, Tensor]:
        """Features [N, C] and Jacobian [N, 3, C] (empty where not asked for)."""
        unit = (positions.to(table.dtype) * 0.5 + 0.5).clamp(0.0, 1.0)
        features, jacobians = [], []
        for level in range(self.spec.levels):
            value, slope = self._level(unit, table, level)
            features.append(value * level_weight[level])
            jacobians.append(slope * level_weight[level])
        empty = table.new_empty(len(positions), 3, 0)
        return torch.cat(features, dim=1), torch.cat(jacobians, dim=2) if jacobian else empty

    def _level(self, unit: Tensor, table: Tensor, level: int) -> tuple[Tensor, Tensor]:
        spec = self.spec
        scale, resolution = spec.scales[level], spec.resolutions[level]
        rows = table[spec.offsets[level] : spec.offsets[level + 1]]
        place = unit * scale + 0.5  # tiny-cuda-nn shifts by half a cell so that levels do not share grid planes
        cell = place.floor()
        frac = place - cell
        value = table.new_zeros(len(unit), spec.features)
        slope = [torch.zeros_like(value) for _ in range(3)]
        for corner in range(8):
            bits = [(corner >> axis) & 1 for axis in range(3)]
            index = self._index(cell.long() + torch.tensor(bits, device=unit.device), resolution, level)
            entry = rows[index]
            weight = [frac[:, a] if bits[a] else 1 - frac[:, a] for a in range(3)]
            value = value + (weight[0] * weight[1] * weight[2])[:, None] * entry
            for axis in range(3):
                others = weight[(axis + 1) % 3] * weight[(axis + 2) % 3]
                sign = scale * 0.5 if bits[axis] else -scale * 0.5  # du/dx = 1/2
                slope[axis] = slope[axis] + (others * sign)[:, None] * entry
        return value, torch.stack(slope, dim=1)

    def _index(self, corner: Tensor, resolution: int, level: int) -> Tensor:
        x, y, z = corner.unbind(dim=1)
        if self.spec.hashed[level]:
            mixed = (x * PRIMES[0]) ^ (y * PRIMES[1]) ^ (z * PRIMES[2])
            return (mixed & 0xFFFFFFFF) % self.spec.sizes[level]
        return (x + resolution * (y + resolution * z)) % self.spec.sizes[level]
