"""GrabCut on textured pictures whose outlines are known, and on the bundled sample."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.segment.base import Segmenter
from nto3d.segment.grabcut.segmenter import GrabCutSegmenter
from nto3d.types import BoolArray, ByteArray, FloatArray, Mask, Prompts, Scene
from tests.segment.pictures import GREEN, ORANGE, clover, disc, painted

SAMPLE = Path(__file__).resolve().parents[3] / "datasets" / "sample"
SIZE, MIDDLE = (121, 163), (80, 60)  # odd sizes; x, y
TARGET = clover(SIZE, MIDDLE, 32)
IMAGE = painted(SIZE, [(TARGET, ORANGE)])
LARGE_SIZE, LARGE_MIDDLE = (704, 960), (480, 350)
LARGE = clover(LARGE_SIZE, LARGE_MIDDLE, 180)
LARGE_IMAGE = painted(LARGE_SIZE, [(LARGE, ORANGE)])


def asked(*clicks: tuple[float, float], labels: list[int] | None = None, **others: Any) -> Prompts:
    xy = np.array(clicks, dtype=np.float64).reshape(-1, 2)
    return Prompts(7, xy, np.array(labels or [1] * len(clicks), dtype=np.int64), **others)


def segment(image: ByteArray, prompts: Prompts, **settings: Any) -> Mask:
    segmenter = GrabCutSegmenter(**settings)
    mask = segmenter.segment(segmenter.embed(image), prompts)
    assert mask.pixels.shape == image.shape[:2]
    assert mask.pixels.dtype == np.bool_
    assert isinstance(mask.score, float)
    assert 0.0 <= mask.score <= 1.0
    assert mask.view == 7
    return mask


def prior(mask: BoolArray, inside: float = 1.0) -> FloatArray:
    return np.where(mask, np.float32(inside), np.float32(0.0))


def moved(mask: BoolArray, x: int, y: int) -> BoolArray:
    return np.roll(mask, (y, x), axis=(0, 1))


def grown(mask: BoolArray, pixels: int) -> BoolArray:
    """Wider on all sides by so many pixels, or narrower."""
    kernel = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    changed: BoolArray = (cv2.dilate if pixels > 0 else cv2.erode)(mask.view(np.uint8), kernel) > 0
    return changed


def without_right(mask: BoolArray, column: int) -> BoolArray:
    return mask & (np.arange(mask.shape[1]) < column)


def test_it_is_a_segmenter() -> None:
    segmenter: Segmenter[ByteArray] = GrabCutSegmenter()
    assert segmenter.embed(IMAGE) is IMAGE


# What a prior says


@pytest.mark.parametrize(
    ("wrong", "before"),
    [
        (moved(TARGET, 7, -5), 0.75),
        (grown(TARGET, 6), 0.72),
        (grown(TARGET, -6), 0.65),
        (without_right(TARGET, 106), 0.95),
        (TARGET | disc(SIZE, (60, 22), 11), 0.93),
    ],
    ids=["shifted", "too wide", "too narrow", "cut", "with a foreign patch"],
)
def test_a_wrong_prior_is_corrected(wrong: BoolArray, before: float) -> None:
    assert iou(wrong, TARGET) < before
    assert iou(segment(IMAGE, asked(prior=prior(wrong))).pixels, TARGET) > 0.98


def test_a_prior_is_trusted_beyond_its_band() -> None:
    """There is another target of the same colours far away, and this one is taken for a half."""
    twin = clover(SIZE, (22, 100), 14)
    image = painted(SIZE, [(TARGET | twin, ORANGE)])
    assert not segment(image, asked(prior=prior(TARGET))).pixels[twin].any()
    half = prior(without_right(TARGET, 80))
    reached = [iou(segment(image, asked(prior=half), band=band).pixels, TARGET) for band in (0.05, 0.25, 0.8)]
    assert reached[0] < 0.65
    assert reached[0] + 0.05 < reached[1] < 0.8
    assert reached[2] > 0.95


def test_prompts_say_how_far_a_prior_may_be_wrong() -> None:
    wrong = disc(SIZE, MIDDLE, 32)  # covers what is between the leaves
    loose, tight = (segment(IMAGE, asked(prior=prior(wrong), slack=slack)).pixels for slack in (None, 0.02))
    assert iou(loose, TARGET) > iou(tight, TARGET) + 0.02
    assert iou(tight, wrong) > 0.95


def test_where_a_prior_is_unsure_the_colours_decide() -> None:
    unsure = prior(TARGET)
    unsure[TARGET & ~without_right(TARGET, 80)] = 0.4  # far wider than the band
    assert iou(unsure > 0.5, TARGET) < 0.6
    assert iou(segment(IMAGE, asked(prior=unsure)).pixels, TARGET) > 0.9
    unsure = prior(TARGET)
    unsure[disc(SIZE, (135, 60), 25) & ~TARGET] = 0.6
    assert iou(unsure > 0.5, TARGET) < 0.85
    assert iou(segment(IMAGE, asked(prior=unsure)).pixels, TARGET) > 0.98


def test_an_empty_prior_is_an_empty_mask() -> None:
    around = np.array([30.0, 20.0, 120.0, 100.0])
    for prompts in (asked(prior=prior(TARGET, 0.4)), asked(prior=prior(TARGET, 0.0), box=around)):
        mask = segment(IMAGE, prompts)
        assert not mask.pixels.any()
        assert mask.score == 0.0


def test_a_prior_of_everything_is_believed_but_not_trusted() -> None:
    mask = segment(IMAGE, asked(prior=np.ones(SIZE, np.float32)))
    assert mask.pixels.all()
    assert mask.score == 0.0


def test_the_score_tells_a_good_mask_from_a_bad_one() -> None:
    good = segment(IMAGE, asked(prior=prior(TARGET))).score
    nothing = segment(IMAGE, asked(prior=prior(disc(SIZE, (25, 25), 18)))).score
    half = segment(IMAGE, asked(prior=prior(without_right(TARGET, 80)))).score
    assert good > 0.85
    assert half < 0.8 * good
    assert nothing < 0.5 * good


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


# Sizes


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (5, 9), (17, 16)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    click = size[1] // 2, size[0] // 2
    given = np.zeros(size, dtype=np.float32)
    given[: size[0] // 2 + 1, : size[1] // 2 + 1] = 1.0
    for prompts in (asked(click), asked(click, prior=given), asked(prior=given)):
        with contextlib.suppress(InputError):  # nothing stands out in a few pixels
            assert segment(image, prompts).pixels.any()


@pytest.mark.parametrize(
    "prompts",
    [asked(LARGE_MIDDLE), asked(prior=prior(moved(LARGE, 25, -30)))],
    ids=["click", "prior"],
)
def test_a_large_picture_is_cut_at_full_size(prompts: Prompts) -> None:
    """What can be said of the outline in a third of the size is worse."""
    mask = segment(LARGE_IMAGE, prompts, longest=240).pixels
    coarse = cv2.resize(LARGE.astype(np.float32), (240, 176), interpolation=cv2.INTER_AREA)
    best = cv2.resize(coarse, LARGE_SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0.5
    assert iou(mask, LARGE) > 0.998
    assert np.count_nonzero(mask ^ LARGE) < 0.3 * np.count_nonzero(best ^ LARGE)


def test_only_the_surroundings_are_looked_at() -> None:
    """A small target of a large picture is not reduced: its mask is that of the cropped picture."""
    small = clover(SIZE, MIDDLE, 20)
    part = painted(SIZE, [(small, ORANGE)])
    image = np.zeros((900, 1200, 3), dtype=np.uint8)
    image[500 : 500 + SIZE[0], 700 : 700 + SIZE[1]] = part
    given = np.zeros((900, 1200), dtype=np.float32)
    given[500 : 500 + SIZE[0], 700 : 700 + SIZE[1]] = moved(small, 4, 2)
    mask = segment(image, asked(prior=given), longest=160).pixels[500 : 500 + SIZE[0], 700 : 700 + SIZE[1]]
    np.testing.assert_array_equal(mask, segment(part, asked(prior=prior(moved(small, 4, 2))), longest=160).pixels)
    assert iou(mask, small) > 0.98


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


# The bundled sample


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
