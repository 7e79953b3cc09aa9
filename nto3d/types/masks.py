"""What points at a target in a picture, and where it is seen there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.types.arrays import BoolArray, FloatArray, IntArray, expect


@dataclass(frozen=True)
class Prompts:
    """What points at the target, or at what is not the target, in one view's picture.

    Attributes:
        view: index of the view.
        points: [P, 2] float64 (x, y), pixels of the view's picture in the scene. labels: [P] int64, 1 on the target, 0
            beside it.
        box: [4] float64 x0, y0, x1, y1 around the target, or None.
        prior: [H, W] float32 in 0..1, how likely each pixel shows the target, or None.
        slack: how far the prior's outline may be wrong, as a share of the target's size; None: unknown.

    Raises:
        ValueError: a shape or a label is wrong, or there is nothing.
    """

    view: int
    points: FloatArray
    labels: IntArray
    box: FloatArray | None = None
    prior: FloatArray | None = None
    slack: float | None = None

    def __post_init__(self) -> None:
        count = len(self.points)
        expect(self.points.shape == (count, 2), "points [P, 2]", self.points.shape)
        expect(self.labels.shape == (count,), f"labels [{count}]", self.labels.shape)
        expect(bool(np.isin(self.labels, (0, 1)).all()), "labels 0 or 1", self.labels)
        expect(self.box is None or self.box.shape == (4,), "a box [4]", None if self.box is None else self.box.shape)
        expect(count > 0 or self.box is not None or self.prior is not None, "a point, a box or a prior", "none")

    @property
    def targeted(self) -> bool:
        """Whether something points at the target itself: only then there is a mask to ask for."""
        return bool((self.labels == 1).any()) or self.box is not None or self.prior is not None


@dataclass(frozen=True)
class Mask:
    """Where a segmenter sees the target in one view.

    Attributes:
        view: index of the view. pixels: bool [H, W]. score: 0..1, how sure the segmenter is.
    """

    view: int
    pixels: BoolArray
    score: float
