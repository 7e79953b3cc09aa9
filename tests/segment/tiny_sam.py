"""A SAM of the package's own modules that answers in milliseconds: 64 pixels a side, 8 x 8 tokens, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nto3d.segment.sam.library import sam_modeling
from nto3d.segment.sam.loading import Architecture, build_sam

TINY = Architecture(
    width=32,
    depth=3,
    heads=2,
    mlp_width=64,
    patch=8,
    grid=8,
    window=3,
    global_blocks=(1,),
    prompt_width=32,
    mask_channels=16,
    decoder_depth=2,
    decoder_mlp=64,
    decoder_shrink=2,
    masks=3,
    iou_depth=3,
    iou_width=32,
)
VIT_B = Architecture(
    width=768,
    depth=12,
    heads=12,
    mlp_width=3072,
    patch=16,
    grid=64,
    window=14,
    global_blocks=(2, 5, 8, 11),
    prompt_width=256,
    mask_channels=16,
    decoder_depth=2,
    decoder_mlp=2048,
    decoder_shrink=2,
    masks=3,
    iou_depth=3,
    iou_width=256,
)


def random_sam(seed: int = 0, sizes: Architecture = TINY) -> Any:
    """A SAM with random weights; those that the package starts at zero (positions) are random as well."""
    torch.manual_seed(seed)
    model = build_sam(sam_modeling(), sizes).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                weight.normal_(std=0.2)
    return model


def write_sam(path: Path, seed: int = 0, sizes: Architecture = TINY) -> Path:
    """Save a random SAM's state dict, as the published checkpoints are; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(random_sam(seed, sizes).state_dict(), path)
    return path
