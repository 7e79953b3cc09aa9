"""What a user gives to point at a target in one view, checked: numbers, lists, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.errors import InputError
from nto3d.types import FloatArray, IntArray, Prompts

FAR = 1e9  # pixels; no picture is that large


@dataclass(frozen=True)
class Keys:
    """What the user calls the values of one view's prompts: the start of an error's line."""

    view: str = "prompts.view"
    points: str = "prompts.points"
    labels: str = "prompts.labels"
    box: str = "prompts.box"


def make_prompts(view: object, points: object, labels: object, box: object, keys: Keys, alone: bool = True) -> Prompts:
    """Prompts from values as a user gives them: a number, [[x, y], ...] or None, [0 or 1, ...] or None, [4] or None.

    Args:
        keys: what the user calls them. alone: whether there are no prompts of other views.

    Raises:
        InputError: one of them has the wrong type or shape, they contradict each other, or nothing is positive though
            they are `alone`.
    """
    view, points, labels, box = (_plain(value) for value in (view, points, labels, box))
    if isinstance(view, bool) or not isinstance(view, int):
        raise InputError(f"{keys.view}: expected the number of a view, got {short(view)}")
    xy = np.zeros((0, 2)) if points is None else _points(points, keys.points)
    signs = np.ones(len(xy), dtype=np.int64) if labels is None else _labels(labels, len(xy), keys.labels)
    corners = None if box is None else _box(box, keys.box)
    if alone and corners is None:
        check_positive(signs, keys)
    positive = xy[signs == 1]
    for index, (point, label) in enumerate(zip(xy, signs, strict=True)):
        if label == 0 and (pixels_of(positive) == pixels_of(point)).all(axis=1).any():
            raise InputError(
                f"{keys.points}[{index}]: expected points of label 0 beside those of 1, got {short(point)}"
            )
        if label == 1 and corners is not None and ((point < corners[:2]) | (point > corners[2:])).any():
            raise InputError(f"{keys.points}[{index}]: expected points of label 1 in the box, got {short(point)}")
    return Prompts(view=view, points=xy, labels=signs, box=corners)


def _plain(value: object) -> object:
    """Arrays and numbers of NumPy as lists and numbers, also inside of lists; all else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def pixels_of(points: FloatArray) -> FloatArray:
    """The pixel (x, y) [..., 2], whole numbers, that points [..., 2] lie in."""
    pixels: FloatArray = np.floor(points + 0.5)
    return pixels


def check_positive(labels: IntArray, keys: Keys) -> None:
    """Whether labels [P] have a positive one.

    Raises:
        InputError: they have none.
    """
    if not (labels == 1).any():
        raise InputError(f"{keys.labels}: expected at least one 1 (a point on the target), got {short(labels)}")


def _points(points: object, key: str) -> FloatArray:
    if not isinstance(points, list | tuple) or not points:
        raise InputError(f"{key}: expected points [[x, y], ...], got {short(points)}")
    for index, point in enumerate(points):
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise InputError(f"{key}[{index}]: expected [x, y], got {short(point)}")
    return np.array([[_number(value, f"{key}[{index}]") for value in point] for index, point in enumerate(points)])


def _labels(labels: object, count: int, key: str) -> IntArray:
    if not isinstance(labels, list | tuple):
        raise InputError(f"{key}: expected [1, ...], 1 on the target and 0 beside it, got {short(labels)}")
    if len(labels) != count:
        raise InputError(f"{key}: expected a label for each of the {count} points, got {len(labels)}")
    for index, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int) or label not in (0, 1):
            raise InputError(f"{key}[{index}]: expected 1 (on the target) or 0 (beside it), got {short(label)}")
    return np.array(labels, dtype=np.int64)


def _box(box: object, key: str) -> FloatArray:
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise InputError(f"{key}: expected [x0, y0, x1, y1], got {short(box)}")
    corners = np.array([_number(value, f"{key}[{index}]") for index, value in enumerate(box)])
    if (corners[2:] - corners[:2] < 1).any():
        raise InputError(f"{key}: expected [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {short(box)}")
    return corners


def _number(value: object, key: str) -> float:
    # Written so that NaN, which compares false with everything, does not pass
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FAR:
        raise InputError(f"{key}: expected numbers of pixels, got {short(value)}")
    return float(value)


def short(value: object) -> str:
    """A value as a user would write it, cut where it is long."""
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
