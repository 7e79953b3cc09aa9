"""Asking GrabCut on textured pictures whose outlines are known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from nto3d.segment.grabcut.segmenter import GrabCutSegmenter
from nto3d.types import BoolArray, ByteArray, FloatArray, Mask, Prompts
from tests.segment.pictures import ORANGE, clover, painted

SIZE, MIDDLE = (121, 163), (80, 60)  # odd sizes; x, y
TARGET = clover(SIZE, MIDDLE, 32)
IMAGE = painted(SIZE, [(TARGET, ORANGE)])
LARGE_SIZE, LARGE_MIDDLE = (704, 960), (480, 350)
LARGE = clover(LARGE_SIZE, LARGE_MIDDLE, 180)
LARGE_IMAGE = painted(LARGE_SIZE, [(LARGE, ORANGE)])


def asked(*clicks: tuple[float, float], labels: list[int] | None = None, **others: Any) -> Prompts:
    xy = np.array(clicks, dtype=np.float64).reshape(-1, 2)
    return Prompts(7, xy, np.array(labels or [1] * len(clicks), dtype=np.int64), **others)


def segment(image: ByteArray, prompts: Prompts, **settings: Any) -> Mask:
    segmenter = GrabCutSegmenter(**settings)
    mask = segmenter.segment(segmenter.embed(image), prompts)
    assert mask.pixels.shape == image.shape[:2]
    assert mask.pixels.dtype == np.bool_
    assert isinstance(mask.score, float)
    assert 0.0 <= mask.score <= 1.0
    assert mask.view == 7
    return mask


def prior(mask: BoolArray, inside: float = 1.0) -> FloatArray:
    return np.where(mask, np.float32(inside), np.float32(0.0))


def moved(mask: BoolArray, x: int, y: int) -> BoolArray:
    return np.roll(mask, (y, x), axis=(0, 1))


def grown(mask: BoolArray, pixels: int) -> BoolArray:
    """Wider on all sides by so many pixels, or narrower."""
    kernel = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    changed: BoolArray = (cv2.dilate if pixels > 0 else cv2.erode)(mask.view(np.uint8), kernel) > 0
    return changed


def without_right(mask: BoolArray, column: int) -> BoolArray:
    return mask & (np.arange(mask.shape[1]) < column)
