"""Pictures of 16 bits of which some are used, with pixels of the sensor that are hot, and dark ones that use all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nto3d.data.images import read_images, used_bits

SIZE, COUNT = (60, 80), 32


def body(bits: int, grey: bool = False) -> NDArray[np.uint16]:
    """Values that fill some bits, [V, H, W] or [V, H, W, 3]."""
    shape = (COUNT, *SIZE) if grey else (COUNT, *SIZE, 3)
    return np.random.default_rng(0).integers(0, 2**bits, shape, dtype=np.uint16)


def write(folder: Path, pictures: NDArray[np.uint16]) -> list[Path]:
    files = [folder / f"{view:03d}.png" for view in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        cv2.imwrite(str(file), picture)
    return files


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("count", [1, 15])
def test_hot_pixels_do_not_darken_a_scene(
    tmp_path: Path, bits: int, grey: bool, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nto3d")
    pictures = body(bits, grey)
    wanted = np.rint(pictures * (255 / (2**bits - 1)))
    for pixel in range(count):
        pictures[2 * pixel, 5 + pixel, 7] = 65535
        wanted[2 * pixel, 5 + pixel, 7] = 255
    found = read_images(write(tmp_path, pictures), 1)
    np.testing.assert_array_equal(found, np.repeat(wanted[..., None], 3, axis=-1) if grey else wanted[..., ::-1])
    assert f"use {bits} of them, which are stretched; {count} hot pixels (up to 65535) are clipped" in caplog.text
    assert "WARNING" not in caplog.text


def highlight(pictures: NDArray[np.uint16]) -> None:
    pictures[3, 20:22, 20:22] = 65535  # a lamp: its pixels touch


def between(pictures: NDArray[np.uint16]) -> None:
    pictures[3, 20, 20], pictures[4, 9, 9] = 65535, 5000


def soft(pictures: NDArray[np.uint16]) -> None:
    pictures[3, 19:22, 19:22] = 12000  # a light of one pixel and what it fades through
    pictures[3, 20, 20] = 65535


def many(pictures: NDArray[np.uint16]) -> None:
    pictures[:, 10, 10] = 65535  # 32 of 153,600


@pytest.mark.parametrize("change", [highlight, between, soft, many])
def test_dark_scenes_with_highlights_are_taken_as_they_are_and_named(
    tmp_path: Path, change: Callable[[NDArray[np.uint16]], None], caplog: pytest.LogCaptureFixture
) -> None:
    pictures = body(12)
    change(pictures)
    found = read_images(write(tmp_path, pictures), 1)
    assert np.abs(found[..., ::-1] - pictures / 257).max() <= 1  # Pillow gives the high bytes of colours
    assert "below an eighth of 16 bits, the brightest is 65535: taken as they are" in caplog.text


def test_what_is_near_the_others_is_no_hot_pixel(tmp_path: Path) -> None:
    pictures = body(12)
    pictures[3, 20, 20] = 4 * 4096 - 1
    assert used_bits(write(tmp_path, pictures)) == 14


def test_values_spread_over_all_bits_stay_and_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    smooth = np.random.default_rng(0).exponential(4000.0, (COUNT, *SIZE)).clip(0, 65535).astype(np.uint16)
    assert used_bits(write(tmp_path, smooth)) == 16
    assert not caplog.text
