"""Weights and inputs by formula, as a reference answer of the published code was made with them.

Every tensor but the fixed tables is 0.05 sin(0.7390851 i + s) over its flat index i, with s from the CRC of its name;
scales of layer norms have 1 added.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from nto3d.mcc.model import Mcc, MccSizes

FIXED = ("pos_embed", "decoder_pos_embed", "xyz_pos_embed.two_d_pos_embed")
SCALES = ("norm1.weight", "norm2.weight", "norm.weight", "norm_xyz.weight")
# Of a network that answers at once
SMALL = MccSizes(
    image=32,
    patch=8,
    points=16,
    window=4,
    width=24,
    depth=1,
    heads=3,
    decoder_width=16,
    decoder_depth=1,
    decoder_heads=4,
)


def formula_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    index = np.arange(int(np.prod(shape)), dtype=np.float64)
    values = 0.05 * np.sin(0.7390851 * index + zlib.crc32(name.encode()) % 10007)
    if name.endswith(SCALES):
        values = values + 1.0
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def formula_weights(model: Mcc) -> dict[str, Tensor]:
    """A state dict for the model."""
    return {
        name: value if name in FIXED else formula_tensor(name, tuple(value.shape))
        for name, value in model.state_dict().items()
    }


def wave(shape: tuple[int, ...], rate: float) -> Tensor:
    """sin(rate i) / 2 + 1 / 2 over the flat index i, float32."""
    values = np.sin(rate * np.arange(int(np.prod(shape)), dtype=np.float64)) * 0.5 + 0.5
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
