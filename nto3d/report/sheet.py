"""Pictures with captions side by side on one sheet, with a scale below."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from nto3d.report.pictures import color_map
from nto3d.types import ByteArray

COLUMNS, GAP, LINE = 4, 8, 26  # pictures a row; pixels between them, and of a line of text
INK, PAPER = (40, 40, 40), 255


def _fitted(picture: ByteArray, width: int) -> ByteArray:
    """A picture uint8 [h, w, 3] at another width."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), dtype=np.uint8)


def _written(picture: ByteArray, text: str, xy: tuple[int, int]) -> None:
    """Write a line of text into a picture, its baseline beginning at (x, y)."""
    cv2.putText(picture, text, xy, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)


def captioned(picture: ByteArray, text: str, width: int) -> ByteArray:
    """A picture at a width, with a line of text below."""
    fit = _fitted(picture, width)
    strip = np.full((LINE, width, 3), PAPER, dtype=np.uint8)
    _written(strip, text, (2, 18))
    return np.concatenate([fit, strip])


def sheet(
    tiles: Sequence[ByteArray], turns: Sequence[ByteArray], scale: tuple[float, float], palette: int, title: str
) -> ByteArray:
    """Tiles uint8 [h, w, 3] of one width in rows, those of the turntable in a row of their own, and the scale below.

    Args:
        scale: values at the ends of the palette (of OpenCV).
    """
    chunks = [list(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    width = tiles[0].shape[1]
    whole = COLUMNS * width + (COLUMNS + 1) * GAP
    head = np.full((LINE + GAP, whole, 3), PAPER, dtype=np.uint8)
    _written(head, title, (GAP, LINE - 4))
    rows = [head]
    for chunk in [*chunks, list(turns)]:
        row = np.full((max(len(tile) for tile in chunk) + GAP, whole, 3), PAPER, dtype=np.uint8)
        for column, tile in enumerate(chunk):
            left = GAP + column * (width + GAP)
            row[: len(tile), left : left + tile.shape[1]] = tile
        rows.append(row)
    return np.concatenate([*rows, _legend(scale, palette, whole)])


def _legend(scale: tuple[float, float], palette: int, width: int) -> ByteArray:
    """The palette with five values of the scale, uint8 [h, width, 3]."""
    strip = np.full((2 * LINE + GAP, width, 3), PAPER, dtype=np.uint8)
    length = width - 2 * GAP
    strip[: LINE - 6, GAP:-GAP] = color_map(np.tile(np.linspace(0, 1, length), (LINE - 6, 1)), 0, 1, palette)
    digits = 3 if scale[1] - scale[0] > 0.02 else 5
    for value, share in zip(np.linspace(*scale, 5), np.linspace(0, 1, 5), strict=True):
        text = f"{value:.{digits}f}"
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        _written(strip, text, (round(GAP + share * (length - wide)), LINE + 12))
    return strip
