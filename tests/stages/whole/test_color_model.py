"""Colours inside and outside of a target."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.stages.whole.color_model import apart, common, elsewhere, tones
from nto3d.types import BoolArray, ByteArray

SIZE = (40, 60)
RED, GREEN, BLUE = (200, 40, 30), (40, 190, 60), (30, 60, 210)


def square(top: int, left: int, side: int) -> BoolArray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def picture(*regions: tuple[BoolArray, tuple[int, int, int]], ground: tuple[int, int, int] = GREEN) -> ByteArray:
    image = np.empty((*SIZE, 3), dtype=np.uint8)
    image[:] = ground
    for mask, colour in regions:
        image[mask] = colour
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return (image.astype(int) + noise).clip(0, 255).astype(np.uint8)


def test_tones_of_the_whole_and_of_a_reduced_picture() -> None:
    image = picture(ground=RED)
    assert tones(image, SIZE).shape == SIZE
    assert (tones(image, (10, 15)) == (200 >> 5) * 64 + (40 >> 5) * 8 + (30 >> 5)).mean() > 0.9


def test_a_target_in_its_own_colours_is_apart() -> None:
    target = square(10, 20, 16)
    assert apart(picture((target, RED)), target) > 0.9
    assert apart(picture(), target) < 0.1


def test_common_colours() -> None:
    colours = np.array([[4.0, 0.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    assert common(colours, np.array([9.0, 0.0, 0.0])) == pytest.approx([1.0, 0.0, 0.0])
    assert common(colours, np.array([0.0, 5.0, 5.0])) == pytest.approx([0.0, 1.0, 0.0])
    assert common(colours, np.array([1.0, 1.0, 0.0])) == pytest.approx([0.5**0.5, 0.5, 0.0])


def test_colours_of_something_else() -> None:
    target, spilt = square(10, 10, 20), square(10, 30, 6)
    images = np.stack([picture((target, RED)), picture((target, RED))])
    inside = {0: target, 1: target}
    everywhere = dict.fromkeys(inside, ~spilt)
    found = elsewhere(images, inside, everywhere)
    assert found[0][target].mean() < 0.2
    assert found[0][spilt].mean() > 0.9  # the ground's colours, though nobody said what it is


def test_what_is_unknown_teaches_nothing() -> None:
    target, other = square(10, 5, 15), square(10, 35, 15)
    image = picture((target, RED), (other, BLUE))[None]
    known = {0: ~other}
    blue = elsewhere(image, {0: target}, known)[0][12:23, 37:48]
    assert np.abs(blue - 0.5).max() < 0.3
