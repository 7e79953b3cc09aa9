from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from nto3d.evaluate.masks import iou
from nto3d.segment.grabcut import cuts
from nto3d.segment.grabcut.cuts import (
    BACKGROUND,
    MAYBE_BACKGROUND,
    MAYBE_TARGET,
    TARGET,
    cut_in_tiles,
    cut_with,
    depth_inside,
    distance_from,
    fill_holes,
    grab_cut,
    keep_touching,
)
from nto3d.types import BoolArray, ByteArray
from tests.segment.pictures import ORANGE, clover, disc, painted

SIZE = (101, 123)
SHAPE = clover(SIZE, (60, 50), 30)
IMAGE = painted(SIZE, [(SHAPE, ORANGE)])


def guess(mask: BoolArray = SHAPE, width: float = 10.0) -> ByteArray:
    """Labels of a mask that may be wrong by some pixels."""
    labels = np.where(mask, MAYBE_TARGET, MAYBE_BACKGROUND).astype(np.uint8)
    labels[depth_inside(~mask) > width] = BACKGROUND
    labels[depth_inside(mask) > width] = TARGET
    return labels


def rows(text: str) -> BoolArray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def test_a_wrong_guess_is_corrected() -> None:
    wrong = np.roll(SHAPE, (4, -6), axis=(0, 1))
    found = grab_cut(IMAGE, guess(wrong), 3, seed=0)
    assert found is not None
    assert iou(wrong, SHAPE) < 0.8
    assert iou(found[0], SHAPE) > 0.99


def test_sure_labels_stay_and_the_callers_are_untouched() -> None:
    labels = guess()
    labels[50, 60], labels[3, 3] = BACKGROUND, TARGET
    before = labels.copy()
    found = grab_cut(IMAGE, labels, 2, seed=0)
    assert found is not None
    assert found[0][3, 3]
    assert not found[0][50, 60]
    assert found[0][labels == TARGET].all()
    assert not found[0][labels == BACKGROUND].any()
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("label", [BACKGROUND, MAYBE_BACKGROUND, TARGET, MAYBE_TARGET])
def test_one_of_the_two_is_nowhere(label: int) -> None:
    assert grab_cut(IMAGE, np.full(SIZE, label, np.uint8), 1, seed=0) is None


def test_a_single_pixel_of_target_is_enough() -> None:
    labels = np.full(SIZE, BACKGROUND, np.uint8)
    labels[50, 60] = TARGET
    found = grab_cut(IMAGE, labels, 1, seed=0)
    assert found is not None
    assert np.argwhere(found[0]).tolist() == [[50, 60]]


def test_the_same_bits_again_after_others_drew_random_numbers() -> None:
    first = grab_cut(IMAGE, guess(), 2, seed=5)
    cv2.setRNGSeed(123)
    cv2.randu(np.zeros((9, 9)), 0, 1)
    second = grab_cut(IMAGE, guess(), 2, seed=5)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1].target, second[1].target)
    np.testing.assert_array_equal(first[1].background, second[1].background)


def test_the_same_bits_from_threads_at_once() -> None:
    """The seed must be each thread's own: otherwise one thread's k-means starts where another one's stopped."""
    guesses = [guess(np.roll(SHAPE, shift, axis=1)) for shift in (-6, -3, 0, 3, 6)] * 3
    alone = [grab_cut(IMAGE, labels, 2, seed=1) for labels in guesses]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda labels: grab_cut(IMAGE, labels, 2, seed=1), guesses))
    for one, other in zip(alone, together, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1].target, other[1].target)


def test_known_colours_cut_another_picture_of_the_same() -> None:
    found = grab_cut(IMAGE, guess(), 3, seed=0)
    assert found is not None
    moved = clover(SIZE, (70, 45), 24)
    image = painted(SIZE, [(moved, ORANGE)], seed=3)
    models = found[1].background.copy(), found[1].target.copy()
    assert iou(cut_with(image, guess(np.roll(moved, 5, axis=1)), found[1]), moved) > 0.99
    np.testing.assert_array_equal(models[0], found[1].background)
    np.testing.assert_array_equal(models[1], found[1].target)


def test_nothing_unsure_is_nothing_to_cut() -> None:
    found = grab_cut(IMAGE, guess(), 1, seed=0)
    assert found is not None
    labels = np.where(disc(SIZE, (20, 20), 9), TARGET, BACKGROUND).astype(np.uint8)
    np.testing.assert_array_equal(cut_with(IMAGE, labels, found[1]), labels == TARGET)


def test_tiles_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "TILE", 40)
    wrong = np.roll(SHAPE, 5, axis=1)
    found = grab_cut(IMAGE, guess(wrong), 3, seed=0)
    assert found is not None
    whole = cut_with(IMAGE, guess(wrong), found[1])
    tiled = cut_in_tiles(IMAGE, guess(wrong), found[1])
    assert iou(tiled, whole) > 0.995
    assert iou(tiled, SHAPE) > 0.99
    # Tiles without anything unsure are not looked at
    assert not tiled[80:, 80:].any()


def test_depth_counts_from_the_next_pixel_beside() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    mask[:, 3:10] = True
    np.testing.assert_allclose(depth_inside(mask)[4], [0, 0, 0, 1, 2, 3, 4, 3, 2, 1, 0, 0], atol=0.01)
    np.testing.assert_allclose(depth_inside(~mask)[4], [3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2], atol=0.01)


def test_the_pictures_border_counts_as_inside() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    mask[:, :4] = True
    np.testing.assert_allclose(depth_inside(mask)[4, :4], [4, 3, 2, 1], atol=0.01)
    assert depth_inside(np.ones((5, 5), dtype=bool)).min() > 5


def test_distance_from_the_nearest_click() -> None:
    away = distance_from((20, 30), np.array([[3, 4], [23, 14]]))
    assert away[4, 3] == 0.0
    assert away[14, 23] == 0.0
    assert away[0, 0] == pytest.approx(5.0)
    assert away[18, 20] == pytest.approx(5.0)


def test_components_with_a_seed_are_kept() -> None:
    mask, seeds = rows("##..# ##..# ..... .###."), rows(".#... ..... ..#.. ...#.")
    np.testing.assert_array_equal(keep_touching(mask, seeds), rows("##... ##... ..... .###."))


def test_the_largest_component_where_there_is_no_seed_in_any() -> None:
    mask = rows("##..# ##..# ..... ###..")
    np.testing.assert_array_equal(keep_touching(mask, rows("..... ..... ....# .....")), rows("##... ##... ..... ....."))
    assert not keep_touching(np.zeros((4, 5), bool), np.ones((4, 5), bool)).any()


def test_corners_do_not_connect() -> None:
    mask = rows("##... ##... ..##. ..##.")
    np.testing.assert_array_equal(keep_touching(mask, rows("#.... ..... ..... .....")), rows("##... ##... ..... ....."))


def test_small_holes_are_filled_and_large_or_open_ones_are_not() -> None:
    mask = disc((101, 101), (50, 50), 40)
    small, large = disc((101, 101), (40, 40), 1.0), disc((101, 101), (60, 55), 8.0)
    notch = np.zeros((101, 101), dtype=bool)
    notch[50, :13] = True
    filled = fill_holes(mask & ~small & ~large & ~notch, 0.01)  # 1 % of some 4800 pixels
    np.testing.assert_array_equal(filled, mask & ~large & ~notch)


def test_a_bay_at_the_border_is_no_hole() -> None:
    mask = np.ones((20, 20), dtype=bool)
    mask[0, 5] = mask[10, 10] = False
    filled = fill_holes(mask, 0.1)
    assert not filled[0, 5]
    assert filled[10, 10]
    assert not fill_holes(np.zeros((4, 4), bool), 0.5).any()
