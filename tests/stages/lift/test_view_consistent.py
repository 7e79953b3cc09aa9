"""Differences between a mask and its projection, which the projection settles where they are thick.

Thick is more than 0.03 * 40 = 1.2 pixels here.
"""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.stages.lift.refine import view_consistent
from nto3d.types import BoolArray, FloatArray
from tests.stages.lift.scripted import SIZE, TARGET, rectangle, soft


def with_doubt(mask: BoolArray, other: BoolArray, value: float) -> FloatArray:
    prior = soft(mask)
    prior[other] = value
    return prior


ADDED, TAKEN = rectangle(60, 20, 70, 40), rectangle(20, 10, 30, 30)


@pytest.mark.parametrize(("likely", "stays"), [(0.0, False), (0.25, False), (0.35, True), (0.49, True)])
def test_a_region_more_than_the_projection(likely: float, stays: bool) -> None:
    prior = with_doubt(TARGET, ADDED, likely)
    expected = TARGET | ADDED if stays else TARGET
    np.testing.assert_array_equal(view_consistent(TARGET | ADDED, prior, 0.3), expected)


@pytest.mark.parametrize(("likely", "stays"), [(1.0, False), (0.75, False), (0.65, True), (0.51, True)])
def test_a_region_less_than_the_projection(likely: float, stays: bool) -> None:
    prior = with_doubt(TARGET, TAKEN, likely)
    expected = TARGET & ~TAKEN if stays else TARGET
    np.testing.assert_array_equal(view_consistent(TARGET & ~TAKEN, prior, 0.3), expected)


def test_each_region_is_settled_on_its_own() -> None:
    doubtful = rectangle(30, 50, 50, 56)
    prior = with_doubt(TARGET, doubtful, 0.4)
    mask = (TARGET | ADDED | doubtful) & ~TAKEN
    before = mask.copy()
    np.testing.assert_array_equal(view_consistent(mask, prior, 0.3), TARGET | doubtful)
    np.testing.assert_array_equal(mask, before)


def test_thin_differences_are_the_segmenters() -> None:
    wider, narrower = rectangle(18, 10, 62, 50), rectangle(22, 10, 58, 50)
    for mask in (wider, narrower):
        np.testing.assert_array_equal(view_consistent(mask, soft(TARGET), 0.3), mask)


def test_an_empty_side() -> None:
    empty = np.zeros(SIZE, bool)
    assert not view_consistent(empty, soft(empty), 0.3).any()
    assert not view_consistent(TARGET, soft(empty), 0.3).any()
    np.testing.assert_array_equal(view_consistent(empty, soft(TARGET), 0.3), TARGET)
