from __future__ import annotations

import cv2
import numpy as np
import pytest

from nto3d.evaluate.masks import iou
from nto3d.segment.grabcut.first_mask import Pointers, believable, first_mask, separation, sharpness
from nto3d.segment.grabcut.regions import Regions, edge_ranks
from nto3d.types import BoolArray, ByteArray
from tests.segment.pictures import GREEN, ORANGE, clover, disc, painted

SIZE = (120, 160)
LEFT, RIGHT = clover(SIZE, (50, 60), 26), clover(SIZE, (115, 60), 26)
IMAGE = painted(SIZE, [(LEFT, ORANGE)])
PAIR = painted(SIZE, [(LEFT, ORANGE), (RIGHT, GREEN)])


def point(*clicks: tuple[int, int], labels: list[int] | None = None, inside: BoolArray | None = None) -> Pointers:
    xy, label = np.array(clicks, dtype=np.int64).reshape(-1, 2), np.array(labels or [1] * len(clicks))
    return Pointers(xy[label == 1], xy[label == 0], inside)


def box(left: int, top: int, right: int, bottom: int) -> BoolArray:
    inside = np.zeros(SIZE, dtype=bool)
    inside[top : bottom + 1, left : right + 1] = True
    return inside


def mask_of(image: ByteArray, pointers: Pointers) -> BoolArray:
    found = first_mask(image, pointers, seed=0)
    assert found is not None
    assert 0.0 <= found.agreement <= 1.0
    return found.mask


@pytest.mark.parametrize("click", [(50, 60), (70, 60), (40, 72)])
def test_a_click_anywhere_finds_the_whole(click: tuple[int, int]) -> None:
    assert LEFT[click[1], click[0]]
    assert iou(mask_of(IMAGE, point(click)), LEFT) > 0.98


@pytest.mark.parametrize("radius", [8, 14, 44])
def test_small_and_large_targets(radius: int) -> None:
    target = clover(SIZE, (75, 60), radius)
    assert iou(mask_of(painted(SIZE, [(target, ORANGE)]), point((75, 60))), target) > 0.97


@pytest.mark.parametrize(("click", "target"), [((50, 60), LEFT), ((115, 60), RIGHT)])
def test_the_clicked_one_of_two(click: tuple[int, int], target: BoolArray) -> None:
    assert iou(mask_of(PAIR, point(click)), target) > 0.98


def test_clicks_on_both_want_both() -> None:
    assert iou(mask_of(PAIR, point((50, 60), (115, 60))), LEFT | RIGHT) > 0.97


def test_what_touches_is_told_apart_by_a_negative_click() -> None:
    beside = disc(SIZE, (96, 60), 24) & ~LEFT
    image = painted(SIZE, [(LEFT, ORANGE), (beside, GREEN)])
    found = mask_of(image, point((50, 60), (104, 60), labels=[1, 0]))
    assert iou(found, LEFT) > 0.97
    assert not found[60, 104]


def test_a_box_alone() -> None:
    found = mask_of(PAIR, point(inside=box(86, 28, 148, 90)))
    assert iou(found, RIGHT) > 0.98


def test_nothing_is_found_outside_of_the_box() -> None:
    inside = box(30, 40, 60, 80)
    found = mask_of(IMAGE, point((50, 60), inside=inside))
    assert not (found & ~inside).any()
    assert found[60, 50]


@pytest.mark.parametrize("seed", range(3))
def test_clicks_are_followed_however_odd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    xy = rng.permutation(np.stack(np.meshgrid(np.arange(8, 150, 20), np.arange(8, 110, 20)), -1).reshape(-1, 2))[:6]
    found = mask_of(image, Pointers(xy[:3], xy[3:], None))
    assert found[xy[:3, 1], xy[:3, 0]].all()
    assert not found[xy[3:, 1], xy[3:, 0]].any()


def test_every_component_holds_a_click() -> None:
    twins = painted(SIZE, [(LEFT, ORANGE), (RIGHT, ORANGE)])
    found = mask_of(twins, point((50, 60)))
    assert iou(found, LEFT) > 0.98
    assert cv2.connectedComponents(found.view(np.uint8), connectivity=4)[0] == 2


def test_the_same_bits_again() -> None:
    first, again = (first_mask(PAIR, point((50, 60)), seed=3) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.agreement == again.agreement


def test_an_even_picture_has_no_mask() -> None:
    even = np.full((*SIZE, 3), 120, dtype=np.uint8)
    with np.errstate(all="raise"):
        assert first_mask(even, point((50, 60)), seed=0) is None
        assert first_mask(even, point(inside=box(30, 30, 80, 80)), seed=0) is None


def test_an_empty_box_has_no_mask() -> None:
    assert first_mask(IMAGE, point(inside=np.zeros(SIZE, dtype=bool)), seed=0) is None


@pytest.mark.parametrize("size", [(1, 30), (30, 1), (2, 2), (3, 5), (9, 9)])
def test_tiny_pictures_break_nothing(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    click = size[1] // 2, size[0] // 2
    found = first_mask(image, point(click), seed=0)
    assert found is None or (found.mask.shape == size and found.mask[click[1], click[0]])


def test_separation_by_hand() -> None:
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, 4:] = 255
    half = image[..., 0] > 0
    assert separation(image, half) == pytest.approx(1.0)
    quarter = half.copy()
    quarter[:2] = False  # inside only white; outside 8 white of 24
    assert separation(image, quarter) == pytest.approx(1 - np.sqrt(1 / 3))
    top = np.zeros((4, 8), dtype=bool)
    top[:2] = True
    assert separation(image, top) == pytest.approx(0.0, abs=1e-12)


def test_separation_is_never_negative() -> None:
    """Rounding must not make it so: its root would be complex."""
    for colors in range(2, 60):
        image = np.zeros((2, colors, 3), dtype=np.uint8)
        image[..., 0], image[..., 1] = 32 * (np.arange(colors) % 8), 32 * (np.arange(colors) // 8)
        mask = np.zeros((2, colors), dtype=bool)
        mask[0] = True
        assert 0.0 <= separation(image, mask) < 1e-9


def test_sharp_where_the_outline_is_the_edge() -> None:
    edges = edge_ranks(IMAGE)
    assert edges.min() >= 0.0
    assert edges.max() <= 1.0
    there, beside = sharpness(edges, LEFT), sharpness(edges, disc(SIZE, (120, 60), 25))
    assert there > 0.9
    assert beside < 0.6
    assert sharpness(edges, np.zeros(SIZE, bool)) == 0.0


def test_the_whole_target_is_most_believable() -> None:
    edges = edge_ranks(PAIR)

    def of(mask: BoolArray, inside: BoolArray | None = None) -> float:
        return believable(PAIR, edges, mask, inside)

    others = (np.roll(LEFT, 9, axis=1), clover(SIZE, (50, 60), 15), disc(SIZE, (50, 60), 45), ~LEFT)
    assert all(of(LEFT) > 1.2 * of(other) for other in others)
    assert 0.0 < of(LEFT) < 1.0
    around = box(86, 28, 148, 90)
    assert of(RIGHT) < of(LEFT | RIGHT)
    assert of(RIGHT, around) > 1.1 * of(LEFT | RIGHT, around)


def test_regions_tell_background_from_what_is_not_linked_to_the_border() -> None:
    regions = Regions(painted(SIZE, [(LEFT, ORANGE), (RIGHT, GREEN)], spread=6.0))
    assert regions.index.shape == SIZE
    assert np.array_equal(np.unique(regions.index), np.arange(regions.index.max() + 1))
    assert regions.background[LEFT | RIGHT].mean() < 0.3
    assert regions.background[~(LEFT | RIGHT)].mean() > 0.7


def test_a_flood_reaches_its_own_first() -> None:
    flood = Regions(PAIR).flood(np.array([[50, 60], [52, 64]]))
    assert flood[60, 50] == flood[64, 52] == 0.0
    order = np.argsort(flood, axis=None)[: int(0.9 * np.count_nonzero(LEFT))]
    assert LEFT.reshape(-1)[order].mean() > 0.95
