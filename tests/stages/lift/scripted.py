"""A segmenter whose answers are known, and the rectangles and the ring of views that it is asked about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, Mask, Prompts, Scene
from tests.helpers import ring_cameras

SIZE, VIEWS = (60, 80), 16


def rectangle(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = SIZE) -> BoolArray:
    """True in columns left .. right - 1 and rows top .. bottom - 1."""
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


TARGET = rectangle(20, 10, 60, 50)  # 1600 pixels


def soft(mask: BoolArray, inside: float = 1.0) -> FloatArray:
    return np.where(mask, np.float32(inside), np.float32(0.0))


class Scripted:
    """Answers with what a function makes of the prompts, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Prompts], BoolArray], score: float = 0.5) -> None:
        self.answer, self.score = answer, score
        self.prepared: list[int] = []
        self.asked: list[Prompts] = []

    def embed(self, image: ByteArray) -> int:
        self.prepared.append(int(image[0, 0, 0]))
        return int(image[0, 0, 0])

    def segment(self, embedded: int, prompts: Prompts) -> Mask:
        assert embedded == prompts.view  # the picture of this very view
        self.asked.append(prompts)
        return Mask(prompts.view, self.answer(prompts), self.score)


def echo(prompts: Prompts) -> BoolArray:
    assert prompts.prior is not None
    return np.asarray(prompts.prior > 0.5)


def numbered_views() -> Scene:
    """Views on a ring, each pixel of which is the number of its view."""
    images = np.zeros((VIEWS, *SIZE, 3), dtype=np.uint8)
    images[...] = np.arange(VIEWS, dtype=np.uint8)[:, None, None, None]
    names = tuple(f"{view}.png" for view in range(VIEWS))
    cameras = Cameras(*ring_cameras(VIEWS, SIZE), SIZE)
    return Scene("ring", images, cameras, None, None, names, tuple(range(VIEWS)), (), np.eye(4))
