from __future__ import annotations

import numpy as np
import pytest

from nto3d.evaluate.masks import iou, opacity_iou


def rows(*which: int) -> np.ndarray:
    mask = np.zeros((6, 4), dtype=bool)
    mask[list(which)] = True
    return mask


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (rows(0, 1), rows(0, 1), 1.0),
        (rows(0, 1), rows(1, 2), 1 / 3),
        (rows(0), rows(3), 0.0),
        (rows(0, 1, 2, 3), rows(3), 0.25),
        (rows(), rows(2), 0.0),
        (rows(2), rows(), 0.0),
        (rows(), rows(), 1.0),
    ],
)
def test_iou_by_hand(a: np.ndarray, b: np.ndarray, expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected)


def test_opacity_counts_above_one_half() -> None:
    opacity = np.array([0.0, 0.5, 0.51, 1.0])
    assert opacity_iou(opacity, np.array([False, False, True, True])) == 1.0
    assert opacity_iou(opacity, np.array([False, True, True, True])) == pytest.approx(2 / 3)


def test_bad_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        iou(rows(0), rows(0)[:3])
    with pytest.raises(ValueError, match="bool"):
        iou(rows(0), rows(0).astype(np.uint8))
