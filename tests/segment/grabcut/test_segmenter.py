"""GrabCut on textured pictures whose outlines are known: clicks and boxes, the same bits again, and wrong input."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.segment.base import Segmenter
from nto3d.segment.grabcut.segmenter import GrabCutSegmenter
from nto3d.types import ByteArray, Prompts
from tests.segment.grabcut.asking import (
    IMAGE,
    LARGE,
    LARGE_IMAGE,
    LARGE_MIDDLE,
    MIDDLE,
    SIZE,
    TARGET,
    asked,
    grown,
    moved,
    prior,
    segment,
    without_right,
)
from tests.segment.pictures import GREEN, ORANGE, clover, disc, painted


def test_it_is_a_segmenter() -> None:
    segmenter: Segmenter[ByteArray] = GrabCutSegmenter()
    assert segmenter.embed(IMAGE) is IMAGE


# Clicks and boxes


def test_one_click() -> None:
    mask = segment(IMAGE, asked(MIDDLE))
    assert iou(mask.pixels, TARGET) > 0.98
    assert mask.score > 0.8


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("times", [1, 5])
def test_a_negative_click_takes_away_what_it_points_at(times: int, with_prior: bool) -> None:
    """Two things that touch; the prior has both. At five times the size the window is reduced."""
    size = SIZE[0] * times, SIZE[1] * times
    one = clover(size, (55 * times, 60 * times), 26 * times)
    other = disc(size, (101 * times, 60 * times), 24 * times) & ~one
    image = painted(size, [(one, ORANGE), (other, GREEN)])
    given = prior(one | other) if with_prior else None
    keep, drop = (50 * times, 60 * times), (110 * times, 60 * times)
    both = segment(image, asked(keep, drop, labels=[1, 1], prior=given))
    assert iou(both.pixels, one | other) > 0.97
    mask = segment(image, asked(keep, drop, labels=[1, 0], prior=given))
    assert not mask.pixels[drop[1], drop[0]]
    assert iou(mask.pixels, one) > 0.97


def test_a_negative_click_beside_the_target_does_no_harm() -> None:
    wide = prior(grown(TARGET, 8))
    for beside in ((80, 16), (40, 60), (110, 96), (120, 60)):
        assert not TARGET[beside[1], beside[0]]
        mask = segment(IMAGE, asked(MIDDLE, beside, labels=[1, 0], prior=wide))
        assert iou(mask.pixels, TARGET) > 0.97


@pytest.mark.parametrize("image", [IMAGE, LARGE_IMAGE], ids=["small", "large"])
@pytest.mark.parametrize("with_prior", [False, True])
def test_every_click_decides_its_own_pixel(image: ByteArray, with_prior: bool) -> None:
    """Positive clicks far outside, and negative ones inside, next to positive ones."""
    target = TARGET if image is IMAGE else LARGE
    x, y = MIDDLE if image is IMAGE else LARGE_MIDDLE
    clicks = [(x, y), (x + 1, y), (3, 3), (x, y + 12), (image.shape[1] - 1, 0), (0, image.shape[0] - 1)]
    labels = [1, 0, 1, 0, 1, 0]
    given = prior(target) if with_prior else None
    mask = segment(image, asked(*clicks, labels=labels, prior=given)).pixels
    assert [int(mask[row, column]) for column, row in clicks] == labels


def test_fractions_of_a_pixel_are_the_nearest_one() -> None:
    mask = segment(IMAGE, asked(MIDDLE, (20.4, 30.6), labels=[1, 1], prior=prior(TARGET))).pixels
    assert mask[31, 20]


def test_what_holds_no_click_and_no_core_is_left_out() -> None:
    """A twin within the band is of the very colours of the target, yet another thing."""
    twin = disc(SIZE, (130, 60), 8)
    image = painted(SIZE, [(TARGET | twin, ORANGE)])
    wide = {"band": 0.6}
    assert not segment(image, asked(MIDDLE, prior=prior(TARGET)), **wide).pixels[twin].any()
    assert segment(image, asked(MIDDLE, (130, 60), prior=prior(TARGET)), **wide).pixels[twin].mean() > 0.95


@pytest.mark.parametrize("image", [IMAGE, LARGE_IMAGE], ids=["small", "large"])
def test_a_box_bounds_the_mask(image: ByteArray) -> None:
    x, y = MIDDLE if image is IMAGE else LARGE_MIDDLE
    tight = np.array([x - 15.0, y - 18.0, x + 20.0, y + 11.0])  # all within the target
    for clicks in ([(x, y)], []):
        try:
            rows, columns = np.nonzero(segment(image, asked(*clicks, box=tight)).pixels)
        except InputError:
            assert not clicks  # nothing stands out in an even box
            continue
        assert columns.min() >= tight[0]
        assert rows.min() >= tight[1]
        assert columns.max() <= tight[2]
        assert rows.max() <= tight[3]


def test_a_box_without_clicks() -> None:
    other = clover(SIZE, (20, 100), 14)
    image = painted(SIZE, [(TARGET, ORANGE), (other, GREEN)])
    around = np.array([42.0, 25.0, 121.0, 94.0])
    assert iou(segment(image, asked(box=around)).pixels, TARGET) > 0.97
    assert iou(segment(image, asked(box=np.array([2.0, 84.0, 38.0, 116.0]))).pixels, other) > 0.95


def test_a_box_beside_a_prior_is_widened_by_the_band() -> None:
    narrow = without_right(TARGET, 106)
    box = np.array([40.0, 20.0, 105.0, 100.0])  # made from the prior
    assert iou(segment(IMAGE, asked(prior=prior(narrow), box=box)).pixels, TARGET) > 0.98


@pytest.mark.parametrize(
    ("prompts", "where"),
    [
        (asked((40, 30)), r"at \[40, 30\] of view 7"),
        (asked((40, 30.5), (3, 3), labels=[1, 0]), r"at \[40, 30.5\] of view 7"),
        (asked(box=np.array([10.0, 10.0, 60.0, 50.0])), "at the box of view 7"),
        (asked(box=np.array([10.0, 10.0, 11.0, 11.0])), "at the box of view 7"),
    ],
)
def test_nothing_stands_out(prompts: Prompts, where: str) -> None:
    even = np.full((60, 80, 3), 120, dtype=np.uint8)
    with pytest.raises(InputError, match=rf"^prompts: nothing stands out {where}"):
        segment(even, prompts)


# The same input, the same bits


@pytest.fixture
def opencv_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def mixed_prompts() -> list[Prompts]:
    shifts = [(-8, 3), (8, -3), (0, 9), (5, 5)]
    return [asked(prior=prior(moved(TARGET, *shift))) for shift in shifts] + [asked(MIDDLE)]


@pytest.mark.usefixtures("opencv_threads")
def test_the_same_bits_whatever_the_number_of_threads() -> None:
    """OpenCV's random state is each thread's own, so others at work do not change a k-means here."""
    segmenter = GrabCutSegmenter()
    alone = [segmenter.segment(IMAGE, prompts) for prompts in mixed_prompts()]
    for threads, inner in ((2, 1), (4, 2)):
        cv2.setNumThreads(inner)
        stop = threading.Event()

        def disturb(stop: threading.Event = stop) -> None:
            while not stop.wait(0.001):
                cv2.setRNGSeed(99)
                cv2.randu(np.zeros((3, 3)), 0, 1)

        other = threading.Thread(target=disturb)
        other.start()
        try:
            with ThreadPoolExecutor(threads) as pool:
                together = list(pool.map(lambda prompts: segmenter.segment(IMAGE, prompts), mixed_prompts()))
        finally:
            stop.set()
            other.join()
        for one, same in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.pixels, same.pixels)
            assert one.score == same.score


def test_nothing_that_was_given_is_changed() -> None:
    image, given = IMAGE.copy(), prior(moved(TARGET, 5, 5))
    prompts = asked(MIDDLE, (3, 3), labels=[1, 0], prior=given.copy(), box=np.array([30.0, 10.0, 130.0, 110.0]))
    segment(image, prompts)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(prompts.prior, given)
    np.testing.assert_array_equal(prompts.points, [MIDDLE, (3, 3)])


# Wrong input


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((0, 30, 3), np.uint8),
    ],
)
def test_wrong_pictures(image: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a picture uint8 \[H, W, 3\], got"):
        GrabCutSegmenter().embed(image)


@pytest.mark.parametrize("size", [(SIZE[1], SIZE[0]), (SIZE[0], SIZE[1] - 1), (*SIZE, 1)])
def test_wrong_priors(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected a prior \(121, 163\), got"):
        segment(IMAGE, asked(prior=np.ones(size, np.float32)))


@pytest.mark.parametrize("settings", [{"band": 0.0}, {"band": -1.0}, {"band": 3.0}, {"longest": 16}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a band in"):
        GrabCutSegmenter(**settings)
