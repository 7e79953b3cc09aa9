"""A model in SAM's place whose answer is known, and what it is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.types import BoolArray, ByteArray, Prompts
from tests.segment.tiny_sam import random_sam

CPU = torch.device("cpu")
SIZES = [(64, 64), (200, 300), (300, 200), (24, 32), (20, 100), (500, 60), (1, 40), (333, 64)]


def picture(height: int, width: int, seed: int = 0) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def click(*points: tuple[float, float], labels: list[int] | None = None, **others: Any) -> Prompts:
    return Prompts(0, np.array(points, dtype=float).reshape(-1, 2), np.array(labels or [1] * len(points)), **others)


def iou(one: BoolArray, other: BoolArray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


class ScriptedSam(nn.Module):
    """A model in SAM's place whose answer is known: `answer(prompts)` gives logits [K, 32, 32] and scores [K].

    Its features are the mean brightness of 8 x 8 cells; what it is asked is kept in `asked`.
    """

    mask_threshold = 0.0

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[dict[str, Tensor | None]] = []
        self.image_encoder = Brightness()
        self.prompt_encoder = _PassedOn()
        self.official = random_sam()

    def preprocess(self, pixels: Tensor) -> Tensor:
        return functional.pad(pixels, (0, 64 - pixels.shape[-1], 0, 64 - pixels.shape[-2]))

    def mask_decoder(self, image_embeddings: Tensor, sparse_prompt_embeddings: dict, **others: Any) -> tuple:
        self.asked.append(sparse_prompt_embeddings)
        logits, scores = self.answer({**sparse_prompt_embeddings, "features": image_embeddings[0]})
        return logits[None], scores[None]

    def postprocess_masks(self, *arguments: Any) -> Tensor:
        return self.official.postprocess_masks(*arguments)


class Brightness(nn.Module):
    """An encoder whose one feature is the mean brightness of 8 x 8 cells, in a frame of 64 pixels."""

    img_size = 64

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), 8)


class _PassedOn(nn.Module):
    embed_dim, image_embedding_size, mask_input_size = 1, (8, 8), (32, 32)

    def forward(self, points: Any, boxes: Tensor | None, masks: Tensor | None) -> tuple[dict, None]:
        xy, labels = (None, None) if points is None else (points[0][0], points[1][0])
        return {"xy": xy, "labels": labels, "box": boxes, "masks": masks}, None

    def get_dense_pe(self) -> None:
        return None


def disc_at(x: float, y: float, radius: float = 6.0) -> Tensor:
    """Low-res logits [32, 32] of a disc in the frame of 64 pixels, whose cells are 2 pixels wide."""
    ys, xs = torch.meshgrid(torch.arange(32) * 2 + 0.5, torch.arange(32) * 2 + 0.5, indexing="ij")
    return radius - torch.hypot(xs - x, ys - y)


def disc_at_click(asked: dict[str, Any]) -> tuple[Tensor, Tensor]:
    x, y = asked["xy"][0].tolist()
    return torch.stack([disc_at(x, y)] * 3), torch.tensor([0.5, 0.9, 0.4])
