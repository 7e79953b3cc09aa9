"""A part of a picture, reduced to a size that is quick to work on. Integer coordinates are pixel centres throughout."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.types import BoolArray, ByteArray, FloatArray


@dataclass(frozen=True)
class Window:
    """Columns left .. right - 1 and rows top .. bottom - 1 of a picture, and the size (h, w) they are reduced to."""

    left: int
    top: int
    right: int
    bottom: int
    size: tuple[int, int]

    @classmethod
    def around(cls, box: FloatArray, margin: float, picture: tuple[int, int], longest: int) -> Window:
        """The window of a box x0, y0, x1, y1 with a margin in pixels, inside a picture (H, W).

        Args:
            longest: pixels that the longer side has at the most.
        """
        height, width = picture
        left, top = (max(0, int(np.floor(value - margin))) for value in box[:2])
        right, bottom = (
            min(end, int(np.ceil(value + margin)) + 1) for value, end in zip(box[2:], (width, height), strict=True)
        )
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        factor = min(1.0, longest / max(right - left, bottom - top))
        size = max(1, round((bottom - top) * factor)), max(1, round((right - left) * factor))
        return cls(left, top, right, bottom, size)

    @property
    def whole(self) -> tuple[int, int]:
        """(H, W) of the window in the picture's own pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def factor(self) -> float:
        """Reduced pixels per pixel."""
        return max(self.size) / max(self.whole)

    def cut(self, values: FloatArray | ByteArray) -> np.ndarray:
        """The window of a map [H, W] or picture [H, W, 3], reduced to [h, w, ...] (averages)."""
        part = np.ascontiguousarray(values[self.top : self.bottom, self.left : self.right])
        if self.size == self.whole:
            return part
        reduced: np.ndarray = cv2.resize(part, self.size[::-1], interpolation=cv2.INTER_AREA)
        return reduced

    def to_small(self, xy: FloatArray) -> FloatArray:
        """Coordinates [..., 2] of the picture as coordinates of the reduced window."""
        scale = np.array([self.size[1] / self.whole[1], self.size[0] / self.whole[0]])
        return (xy - [self.left, self.top] + 0.5) * scale - 0.5

    def pixels(self, xy: FloatArray) -> np.ndarray:
        """The reduced pixels [P, 2] (x, y) nearest to coordinates [P, 2] of the picture, without those outside."""
        small = np.floor(self.to_small(np.asarray(xy, dtype=np.float64).reshape(-1, 2)) + 0.5).astype(np.int64)
        # Half a pixel beyond the border still belongs to it
        last = np.array([self.size[1], self.size[0]]) - 1
        near = ((small >= -1) & (small <= last + 1)).all(axis=1)
        clipped: np.ndarray = small[near].clip(0, last)
        return clipped

    def enlarge(self, mask: BoolArray) -> BoolArray:
        """A reduced mask [h, w] in the window's own pixels [H, W]; the outline is interpolated."""
        if self.size == self.whole:
            return mask
        share = cv2.resize(mask.astype(np.float32), self.whole[::-1], interpolation=cv2.INTER_LINEAR)
        enlarged: BoolArray = share > 0.5
        return enlarged
