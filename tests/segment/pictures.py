"""Textured pictures whose outlines are known."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from nto3d.types import BoolArray, ByteArray

ORANGE, GREEN, GREY = (170, 90, 60), (90, 160, 70), (80, 110, 120)


def disc(size: tuple[int, int], center: tuple[float, float], radius: float) -> BoolArray:
    """A disc [H, W] around (x, y)."""
    y, x = np.mgrid[: size[0], : size[1]]
    inside: BoolArray = np.hypot(x - center[0], y - center[1]) <= radius
    return inside


def clover(size: tuple[int, int], center: tuple[float, float], radius: float) -> BoolArray:
    """A shape [H, W] with three lobes and three bays: a radius of 0.8 to 1.2 of the given one."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(x - center[0], y - center[1])
    inside: BoolArray = away < radius * (1 + 0.2 * np.cos(3 * np.arctan2(y - center[1], x - center[0])))
    return inside


def painted(
    size: tuple[int, int],
    parts: Sequence[tuple[BoolArray, tuple[int, int, int]]],
    spread: float = 22.0,
    seed: int = 0,
) -> ByteArray:
    """Parts of a mean colour each on grey, [H, W, 3]: the colours overlap by their texture of the given deviation."""
    rng = np.random.default_rng(seed)

    def textured(color: tuple[int, int, int]) -> np.ndarray:
        rough = cv2.GaussianBlur(rng.standard_normal((*size, 3)), (0, 0), 4.0)
        return np.array(color) + spread * (rough / rough.std() + 0.3 * rng.standard_normal((*size, 3)))

    image = textured(GREY)
    for mask, color in parts:
        image = np.where(mask[..., None], textured(color), image)
    smooth: ByteArray = cv2.GaussianBlur(image, (0, 0), 0.7).clip(0, 255).astype(np.uint8)
    return smooth
