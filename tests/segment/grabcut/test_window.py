"""Windows: every number here is derived by hand from pixel centres at integers."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.segment.grabcut.window import Window
from tests.segment.pictures import disc

QUARTER = Window(10, 20, 50, 60, (10, 10))  # 40 x 40 pixels, four become one


def test_the_window_of_a_box_with_a_margin() -> None:
    window = Window.around(np.array([30.0, 40.0, 49.0, 79.0]), 5.0, (200, 300), 1000)
    assert (window.left, window.top, window.right, window.bottom) == (25, 35, 55, 85)
    assert window.whole == window.size == (50, 30)
    assert window.factor == 1.0


def test_fractions_are_taken_in_whole() -> None:
    window = Window.around(np.array([30.5, 40.2, 49.1, 79.9]), 0.0, (200, 300), 1000)
    assert (window.left, window.top, window.right, window.bottom) == (30, 40, 51, 81)


def test_the_window_ends_with_the_picture() -> None:
    window = Window.around(np.array([2.0, 3.0, 297.0, 198.0]), 20.0, (200, 300), 1000)
    assert (window.left, window.top, window.right, window.bottom) == (0, 0, 300, 200)


@pytest.mark.parametrize(
    ("picture", "size"),
    [((200, 300), (67, 100)), ((300, 200), (100, 67)), ((100, 100), (100, 100)), ((1, 400), (1, 100))],
)
def test_the_longer_side_is_reduced_to_the_limit(picture: tuple[int, int], size: tuple[int, int]) -> None:
    everything = np.array([0.0, 0.0, picture[1] - 1.0, picture[0] - 1.0])
    window = Window.around(everything, 0.0, picture, 100)
    assert window.size == size
    assert window.factor == pytest.approx(100 / max(picture))


def test_a_point_is_a_window_of_one_pixel() -> None:
    window = Window.around(np.array([7.0, 5.0, 7.0, 5.0]), 0.0, (20, 30), 100)
    assert (window.left, window.top, window.right, window.bottom) == (7, 5, 8, 6)


@pytest.mark.parametrize(
    ("xy", "small"),
    [
        ((11.5, 21.5), (0.0, 0.0)),  # the middle of pixels 10 .. 13 and 20 .. 23
        ((15.5, 21.5), (1.0, 0.0)),
        ((9.5, 19.5), (-0.5, -0.5)),  # the window's corner stays a corner
        ((49.5, 59.5), (9.5, 9.5)),
        ((10.0, 59.0), (-0.375, 9.375)),
    ],
)
def test_reduced_coordinates(xy: tuple[float, float], small: tuple[float, float]) -> None:
    np.testing.assert_allclose(QUARTER.to_small(np.array(xy)), small)


def test_sides_that_are_reduced_differently_by_rounding() -> None:
    window = Window(0, 0, 300, 199, (66, 100))
    np.testing.assert_allclose(window.to_small(np.array([299.5, 198.5])), [99.5, 65.5])


def test_pixels_of_clicks() -> None:
    clicks = np.array([[10.0, 20.0], [13.0, 23.0], [14.0, 23.0], [49.0, 59.0], [30.0, 25.0]])
    assert QUARTER.pixels(clicks).tolist() == [[0, 0], [0, 0], [1, 0], [9, 9], [5, 1]]


def test_clicks_outside_are_left_out_and_those_at_the_border_kept() -> None:
    clicks = np.array([[49.5, 59.5], [9.5, 19.5], [100.0, 30.0], [30.0, 0.0]])
    assert QUARTER.pixels(clicks).tolist() == [[9, 9], [0, 0]]
    assert QUARTER.pixels(np.zeros((0, 2))).shape == (0, 2)


def test_a_reduced_pixel_is_the_mean_of_those_below_it() -> None:
    values = np.random.default_rng(0).random((70, 80)).astype(np.float32)
    reduced = QUARTER.cut(values)
    assert reduced.shape == (10, 10)
    np.testing.assert_allclose(reduced[0, 0], values[20:24, 10:14].mean(), rtol=1e-5)
    np.testing.assert_allclose(reduced[9, 3], values[56:60, 22:26].mean(), rtol=1e-5)
    assert QUARTER.cut(np.zeros((70, 80, 3), np.uint8)).shape == (10, 10, 3)


def test_nothing_changes_where_nothing_is_reduced() -> None:
    window = Window(10, 20, 50, 60, (40, 40))
    values = np.random.default_rng(0).random((70, 80)) > 0.5
    np.testing.assert_array_equal(window.enlarge(window.cut(values.view(np.uint8)) > 0), values[20:60, 10:50])
    np.testing.assert_allclose(window.to_small(np.array([12.3, 24.5])), [2.3, 4.5])


def test_an_enlarged_mask_lies_where_the_reduced_one_did() -> None:
    """A disc about (29.5, 39.5) of the picture: (4.5, 4.5) reduced, and again (19.5, 19.5) of the window."""
    large = QUARTER.enlarge(disc((10, 10), (4.5, 4.5), 3.0))
    assert large.shape == (40, 40)
    rows, columns = np.nonzero(large)
    np.testing.assert_allclose([columns.mean(), rows.mean()], [19.5, 19.5], atol=1e-9)
    assert np.count_nonzero(large) == pytest.approx(16 * 32, rel=0.1)  # 32 reduced pixels are nearer than 3


def test_half_a_mask_is_enlarged_to_half() -> None:
    half = np.zeros((10, 10), dtype=bool)
    half[:, :5] = True
    large = QUARTER.enlarge(half)
    assert large[:, :20].all()
    assert not large[:, 20:].any()
