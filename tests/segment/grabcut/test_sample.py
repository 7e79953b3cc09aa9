"""GrabCut on the bundled sample."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nto3d.data.dtu import read_dtu
from nto3d.evaluate.masks import iou
from nto3d.types import BoolArray, Scene
from tests.helpers import SAMPLE
from tests.segment.grabcut.asking import asked, moved, prior, segment, without_right


@pytest.fixture(scope="module")
def sample() -> Scene:
    return read_dtu(SAMPLE)


def deepest(mask: BoolArray) -> tuple[int, int]:
    """The pixel (x, y) in the middle of a mask."""
    padded = np.pad(mask, 1).view(np.uint8)
    row, column = divmod(int(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).argmax()), padded.shape[1])
    return column - 1, row - 1


def test_the_sample_from_one_click_each(sample: Scene) -> None:
    assert sample.masks is not None
    reached = []
    for view in range(1, len(sample.cameras), 8):
        truth = sample.masks[view]
        reached.append(iou(segment(sample.images[view], asked(deepest(truth))).pixels, truth))
    assert np.mean(reached) > 0.97
    assert min(reached) > 0.93


def test_the_sample_from_wrong_priors(sample: Scene) -> None:
    """Shifted, and without a tenth of the target: what a projection of a rough surface may be."""
    assert sample.masks is not None
    given, reached = [], []
    for view in range(0, len(sample.cameras), 3):
        truth = sample.masks[view]
        columns = np.nonzero(truth)[1]
        wrong = moved(truth if view % 2 else without_right(truth, int(np.quantile(columns, 0.9))), 4, 3)
        given.append(iou(wrong, truth))
        reached.append(iou(segment(sample.images[view], asked(prior=prior(wrong))).pixels, truth))
    assert np.mean(given) < 0.85
    assert np.mean(reached) > 0.96
    assert min(reached) > 0.85
