"""How well two masks agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nto3d.types import BoolArray, FloatArray


def iou(predicted: BoolArray, truth: BoolArray) -> float:
    """Intersection over union of two bool masks [...] of one shape: 1 if both are empty, 0 if only one is.

    Raises:
        ValueError: the shapes differ or a mask is not bool.
    """
    if predicted.shape != truth.shape or predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        came = f"{predicted.dtype} {predicted.shape} and {truth.dtype} {truth.shape}"
        raise ValueError(f"expected two bool masks of one shape, got {came}")
    union = int(np.count_nonzero(predicted | truth))
    return int(np.count_nonzero(predicted & truth)) / union if union else 1.0


def mean_iou(predicted: BoolArray, truth: BoolArray, views: Sequence[int]) -> float:
    """Mean `iou` of two sets of masks [V, H, W] over some views."""
    return float(np.mean([iou(predicted[view], truth[view]) for view in views]))


def opacity_iou(opacity: FloatArray, truth: BoolArray) -> float:
    """`iou` of a rendered opacity [...] in 0..1, solid above 0.5, with the true mask."""
    return iou(np.asarray(opacity > 0.5), truth)
