"""Tiny and large pictures."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest

from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.types import Prompts
from tests.segment.grabcut.asking import (
    LARGE,
    LARGE_IMAGE,
    LARGE_MIDDLE,
    LARGE_SIZE,
    MIDDLE,
    SIZE,
    asked,
    moved,
    prior,
    segment,
)
from tests.segment.pictures import ORANGE, clover, painted


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
