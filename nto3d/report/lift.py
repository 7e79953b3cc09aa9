"""Pictures of a lift: what a segmenter was asked in a view, what it answered, and what the views together project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from nto3d.report.page.figures import Color
from nto3d.report.pictures import color_map
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray, Prompts

PANEL, GAP = 320, 4  # pixels: longest side of a panel, and between two
FINE = 3  # lines are drawn on panels this many times as large, then averaged
SHIFT = 4  # fractional bits of coordinates in OpenCV's drawing functions
PRIOR_MAP = cv2.COLORMAP_INFERNO
LEVEL = 0.5  # of the projection, from where on it counts as the target
RIM, WHITE, GAP_COLOR = (16, 18, 22), (255, 255, 255), (72, 78, 88)
POSITIVE, NEGATIVE = (34, 197, 94), (239, 68, 68)
OUTLINE, BOX = (250, 204, 21), (125, 211, 252)
EXTRA, MISSING, HIDDEN = (239, 68, 68), (59, 130, 246), (192, 132, 252)


@dataclass(frozen=True)
class LiftRound:
    """What the page shows of one round.

    Attributes:
        number: of the round; 0 is the click, propagated to all views. values: its row of rounds.csv, NaN where unknown.
        pictures: by the name of the view, uint8 [h, w, 3], as from `prompt_picture`.
    """

    number: int
    values: Mapping[str, float]
    pictures: Mapping[str, ByteArray] = field(default_factory=dict)


def shown_views(train: Sequence[int], clicked: Sequence[int], count: int = 6) -> tuple[int, ...]:
    """Up to `count` views to show: the clicked ones, then some of the others, spread evenly over the training views."""
    first = list(clicked)[:count]
    others = [view for view in train if view not in clicked]
    left = min(count - len(first), len(others))
    return *first, *(others[int((index + 0.5) * len(others) / left)] for index in range(left))


def prompt_picture(
    image: ByteArray,
    prompts: Prompts | None,
    mask: BoolArray,
    prior: FloatArray,
    truth: BoolArray | None = None,
    hidden: BoolArray | None = None,
    clicks: Prompts | None = None,
) -> ByteArray:
    """Three panels beside each other: the prompts and the mask's outline; the mask; the projection.

    The longest side of a panel is at most PANEL; small pictures grow by a whole factor.

    Args:
        image: uint8 [H, W, 3]. prompts: what the segmenter was asked with, in pixels of the image, or None.
        mask: [H, W], what came of it. prior: [H, W] in 0..1, the projection.
        truth: [H, W]; the mask's errors are tinted where it is known. hidden: [H, W], neither target nor background.
        clicks: the user's own prompts, drawn larger.

    Returns:
        uint8 [h, 3 w + 2 GAP, 3].

    Raises:
        ValueError: a map is not of the image's size.
    """
    for name, values in (("mask", mask), ("prior", prior), ("truth", truth), ("hidden", hidden)):
        if values is not None and values.shape != image.shape[:2]:
            raise ValueError(f"expected a {name} {image.shape[:2]}, got {values.shape}")
    factor = PANEL / max(image.shape[:2])
    factor = float(int(factor)) if factor > 1.0 else factor
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1.0 else cv2.INTER_NEAREST)
    panels = [
        _asked(small, prompts, mask, clicks),
        _answered(small, mask, truth, hidden),
        _projected(small, prior),
    ]
    gap = np.full((height, GAP, 3), GAP_COLOR, dtype=np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _asked(small: ByteArray, prompts: Prompts | None, mask: BoolArray, clicks: Prompts | None) -> ByteArray:
    """The picture [h, w, 3] with the outline of the mask [H, W], and prompts in pixels of that."""
    canvas = _enlarged(small)
    height, width = mask.shape
    scale = np.array([small.shape[1] / width, small.shape[0] / height])
    # Enough to turn the stairs of enlarged pixels into a slope
    soft = cv2.GaussianBlur(_fine(mask, small), (0, 0), 0.4 * FINE * max(1.0, float(scale[0])))
    _contour(canvas, soft, OUTLINE, 1.4)

    def place(xy: FloatArray) -> FloatArray:
        fine: FloatArray = (np.asarray(xy).reshape(-1, 2) + 0.5) * scale * FINE - 0.5
        return fine

    shown = [(part, large) for part, large in ((prompts, 1.0), (clicks, 1.4)) if part is not None]
    for part, _ in shown:
        if part.box is not None:
            x0, y0, x1, y1 = place(part.box).reshape(4)
            corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
            _lines(canvas, [corners], True, ((RIM, 2.6), (BOX, 1.2)))
    for part, large in shown:
        for label in (0, 1):
            for point in place(part.points[part.labels == label]):
                (_disc if label else _cross)(canvas, point, large)
    return _reduced(canvas, small.shape)


def _answered(small: ByteArray, mask: BoolArray, truth: BoolArray | None, hidden: BoolArray | None) -> ByteArray:
    """The picture [h, w, 3], dark outside the mask; errors and what hides the target are tinted."""
    canvas = _enlarged(small).astype(np.float32)
    inside = _fine(mask, small) > 0.5
    canvas[~inside] = 0.22 * canvas[~inside].mean(axis=1, keepdims=True) + 6.0
    tints: list[tuple[BoolArray, Color]] = []
    if hidden is not None:
        tints.append((_fine(hidden, small) > 0.5, HIDDEN))
    if truth is not None:
        true = _fine(truth, small) > 0.5
        tints += [(inside & ~true, EXTRA), (true & ~inside, MISSING)]
    for where, color in tints:
        canvas[where] = 0.3 * canvas[where] + 0.7 * np.array(color, dtype=np.float32)
    return _reduced(canvas.round().astype(np.uint8), small.shape)


def _projected(small: ByteArray, prior: FloatArray) -> ByteArray:
    """The projection as a heat map over the faint picture [h, w, 3], with the line at LEVEL."""
    canvas = _enlarged(small)
    values = _fine(prior, small)
    grey = canvas.mean(axis=2, keepdims=True)
    heat = color_map(values, 0.0, 1.0, PRIOR_MAP).astype(np.float32)
    blended = np.ascontiguousarray((0.8 * heat + 0.2 * grey).round().astype(np.uint8))
    _contour(blended, values, WHITE, 0.9)
    return _reduced(blended, small.shape)


def _enlarged(small: ByteArray) -> ByteArray:
    return np.ascontiguousarray(small.repeat(FINE, axis=0).repeat(FINE, axis=1))


def _reduced(canvas: ByteArray, shape: tuple[int, ...]) -> ByteArray:
    averaged: ByteArray = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return averaged


def _fine(values: BoolArray | FloatArray, small: ByteArray) -> FloatArray:
    """A map [H, W] at the size of the canvas of a panel [h, w, 3]."""
    size = small.shape[1], small.shape[0]
    averaged = values.astype(np.float32)
    if size[0] < values.shape[1]:
        averaged = cv2.resize(averaged, size, interpolation=cv2.INTER_AREA)
    fine: FloatArray = cv2.resize(averaged, (size[0] * FINE, size[1] * FINE), interpolation=cv2.INTER_LINEAR)
    return fine


def _contour(canvas: ByteArray, values: FloatArray, color: Color, width: float) -> None:
    inside = (values > LEVEL).view(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [outline.reshape(-1, 2).astype(np.float64) for outline in outlines]
    _lines(canvas, lines, True, ((RIM, width + 1.2), (color, width)))


def _lines(
    canvas: ByteArray, lines: Sequence[FloatArray], closed: bool, strokes: Sequence[tuple[Color, float]]
) -> None:
    """Lines [P, 2] in canvas pixels; strokes are colours and widths in panel pixels, the lowest first."""
    points = [_fixed(line) for line in lines]
    for color, width in strokes:
        cv2.polylines(canvas, points, closed, color, max(1, round(width * FINE)), cv2.LINE_AA, SHIFT)


def _disc(canvas: ByteArray, center: FloatArray, large: float) -> None:
    where = tuple(int(value) for value in _fixed(center))
    for color, radius in ((RIM, 5.2), (WHITE, 4.4), (POSITIVE, 3.2)):
        cv2.circle(canvas, where, round(large * radius * FINE * 2**SHIFT), color, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _cross(canvas: ByteArray, center: FloatArray, large: float) -> None:
    arm = 3.2 * large * FINE
    arms = [center + arm * np.array([[-1, -slope], [1, slope]]) for slope in (-1.0, 1.0)]
    _lines(canvas, arms, False, ((RIM, 4.6 * large), (WHITE, 3.6 * large), (NEGATIVE, 2.1 * large)))


def _fixed(points: FloatArray) -> IntArray:
    return np.asarray(points * 2**SHIFT).round().astype(np.int32)
