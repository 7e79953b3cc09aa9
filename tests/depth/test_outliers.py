"""Points in a mask that are none of the target's are left out; long and parted targets are not cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nto3d.depth.base import PointMap, back_project
from nto3d.depth.outliers import outliers, without_outliers
from nto3d.types import BoolArray, FloatArray

HEIGHT, WIDTH = 96, 128
INTRINSICS = np.array([[150.0, 0.0, 63.5], [0.0, 150.0, 47.5], [0.0, 0.0, 1.0]])
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RAYS = np.stack([(X - 63.5) / 150, (Y - 47.5) / 150, np.ones_like(X)], axis=-1)


def ball(center: tuple[float, float, float] = (0.0, 0.0, 2.0), radius: float = 0.4) -> FloatArray:
    """Depth [H, W] of a ball, infinite beside it."""
    along, square = RAYS @ np.array(center), (RAYS**2).sum(axis=-1)
    root = along**2 - square * (np.dot(center, center) - radius**2)
    return np.where(root > 0, (along - np.sqrt(root.clip(0))) / square, np.inf)


def spread(found: PointMap, mask: BoolArray) -> float:
    """What the network's unit is made of."""
    return float(found.points[mask & found.valid].std(axis=0, ddof=1).mean())


BALL = ball()
MASK = np.isfinite(BALL)
CLEAN = back_project(np.where(MASK, BALL, 0), INTRINSICS)


def test_the_points_of_clean_depth_are_the_same_object() -> None:
    assert without_outliers(CLEAN, MASK) is CLEAN
    assert without_outliers(CLEAN, np.zeros_like(MASK)) is CLEAN


@pytest.mark.parametrize("code", [65.535, 0.001, 5.0])
@pytest.mark.parametrize("share", [0.0005, 0.02, 0.1])
def test_wrong_numbers_among_the_target_s(code: float, share: float) -> None:
    wrong = MASK & (np.random.default_rng(0).random(MASK.shape) < share)
    found = back_project(np.where(wrong, code, BALL), INTRINSICS)
    assert np.array_equal(outliers(found, MASK), wrong)
    assert spread(without_outliers(found, MASK), MASK) == pytest.approx(spread(CLEAN, MASK), rel=0.02)


@pytest.mark.parametrize(("wall", "blur"), [(3.5, 1), (6.0, 1), (40.0, 1), (6.0, 3), (40.0, 3)])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_mask_that_is_too_wide(wall: float, blur: int, scale: float) -> None:
    depth = ndimage.uniform_filter(np.where(MASK, BALL, wall), blur) * scale
    wide = ndimage.binary_dilation(MASK, iterations=3)
    found = back_project(depth, INTRINSICS)
    # A depth map that was smoothed lost the outermost pixels of the ball, too
    before, true = spread(found, wide), scale * spread(CLEAN, MASK)
    assert before > 1.4 * true
    assert spread(without_outliers(found, wide), wide) == pytest.approx(true, rel=0.03 if blur == 1 else 0.09)


def test_a_filled_hole_shows_what_is_behind() -> None:
    hole = np.hypot(X - 63.5, Y - 47.5) < 8
    found = back_project(np.where(MASK & ~hole, BALL, 9.0), INTRINSICS)
    assert np.array_equal(outliers(found, MASK), MASK & hole)


@pytest.mark.parametrize("far", [3.0, 12.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("step", [1, 2])
def test_a_table_that_recedes_is_not_cut(far: float, noise: float, step: int) -> None:
    down = RAYS[..., 1] + 0.25  # seen from half a unit above, under a horizon above the picture's middle
    depth = np.where(down > 0, 0.5 / np.maximum(down, 1e-9), np.inf)
    table = (depth < far) & (np.abs(RAYS[..., 0] * depth) < 0.7)
    depth = np.where(table, depth, 50.0) * (1 + noise * np.random.default_rng(0).standard_normal(depth.shape))
    intrinsics = INTRINSICS / [[step], [step], [1]]
    found = back_project(depth[::step, ::step], intrinsics)
    assert not outliers(found, table[::step, ::step]).any()


def test_a_thin_handle_is_followed_along_its_length() -> None:
    handle = (np.abs(Y - 47) < 2) & (X > 80) & (X < 120)
    depth = np.where(MASK, BALL, np.where(handle, np.maximum(1.9 + 0.08 * (X - 94), 1.9), np.inf))
    assert not outliers(back_project(depth, INTRINSICS), MASK | handle).any()


def test_a_part_that_lies_apart_is_kept_but_no_rim_as_deep() -> None:
    base = np.hypot(X - 63.5, Y - 47.5) < 45  # of a lamp, seen from above
    found = back_project(np.where(MASK, BALL, 2.9), INTRINSICS)
    assert outliers(found, base).sum() < 0.4 * (base & ~MASK).sum()
    wide = ndimage.binary_dilation(MASK, iterations=3)
    assert np.array_equal(outliers(found, wide), wide & ~MASK)


@pytest.mark.parametrize("wall", [np.inf, 3.4, 20.0])
def test_a_thin_leg_behind_the_body_is_no_spill(wall: float) -> None:
    leg = (np.abs(X - 70) < 2) & (Y > 60) & (Y < 92) & ~MASK  # deeper than the body by half of the target's size
    depth = np.where(MASK, BALL, np.where(leg, 2.6, wall))
    assert not outliers(back_project(depth, INTRINSICS), MASK | leg).any()
    going_on = np.where(MASK, BALL, 2.6)
    assert np.array_equal(outliers(back_project(going_on, INTRINSICS), MASK | leg), leg)


def test_where_nothing_is_known_nothing_is_left_out() -> None:
    few = MASK & (np.cumsum(MASK).reshape(MASK.shape) < 10)
    assert not outliers(back_project(np.where(Y % 2 == 0, BALL, 90.0), INTRINSICS), few).any()
    assert not outliers(back_project(np.full((HEIGHT, WIDTH), 2.0), INTRINSICS), np.ones_like(MASK)).any()
