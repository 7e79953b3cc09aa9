"""How many bits of 16 the pictures of a scene use, though some pixels of the sensor are hot."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

DEEP, USED = 16, (8, 10, 12, 14)  # bits of a channel, and how many of them cameras and programs use
HOT = 1e-4  # share of all pixels that may be hot, at most
GAP = 4  # times the range, below which no hot pixel lies (but the largest number of 16 bits always is far enough)
DARK, MANY = 2**13, 1e-3  # where nearly all pixels are below it, and fewer than this share above, a scene looks black


class Brightness:
    """The brightest channel of all pixels, counted by value.

    Hot pixels stand alone: no neighbour is hot, and nothing lies between them and the range of the others. What is
    bright in a picture has a rim, or is larger than a pixel.

    Args:
        pixels: of all pictures together.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._counts = np.zeros(2**DEEP, dtype=np.int64)
        self._joined = dict.fromkeys(USED, False)  # whether pixels beyond a range touch
        self._lock = threading.Lock()

    @property
    def decided(self) -> bool:
        """Whether all bits are used, whatever else is counted."""
        return int(self._counts[2 ** USED[-1] :].sum()) > MANY * self._pixels

    def add(self, levels: NDArray[np.uint16]) -> None:
        """Counts a picture's brightest channel [H, W]."""
        counts = np.bincount(levels.ravel(), minlength=2**DEEP)
        joined = {bits: _touch(levels >= _beyond(bits)) for bits in USED if counts[_beyond(bits) :].any()}
        with self._lock:
            self._counts += counts
            for bits, found in joined.items():
                self._joined[bits] |= found

    def used(self) -> tuple[int, int]:
        """The bits that are used, 8 to 16, and how many pixels beyond them are hot."""
        most, top = HOT * self._pixels, self.top
        for bits in USED if top else ():
            if top < 2**bits:
                return bits, 0
            hot, near = int(self._counts[2**bits :].sum()), self._counts[2**bits : _beyond(bits)]
            # Where hardly a pixel uses the upper of the bits, they are what a highlight fades through
            filled = int(self._counts[2 ** (bits - 2) : 2**bits].sum()) > most
            if hot <= most and filled and not near.any() and not self._joined[bits]:
                return bits, hot
        return DEEP, 0

    @property
    def top(self) -> int:
        """The largest value."""
        return int(np.flatnonzero(self._counts).max(initial=0))

    @property
    def dark(self) -> bool:
        """Whether some pixels reach beyond an eighth of the range and nearly all stay below."""
        return 0 < int(self._counts[DARK:].sum()) <= MANY * self._pixels


def _beyond(bits: int) -> int:
    return min(GAP * 2**bits, 2**DEEP - 1)


def _touch(marked: NDArray[Any]) -> bool:
    """Whether any of the marked pixels [H, W] are neighbours."""
    near = cv2.boxFilter(marked.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return bool((near[marked] > 1.5).any())
