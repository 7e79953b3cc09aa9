"""Pictures of labels are refused; masks with soft edges and trimaps are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nto3d.data.files.masks import read_masks
from nto3d.errors import InputError

SIZE = (96, 128)


def disc(x: float, y: float, radius: float, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    found: NDArray[np.bool_] = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    return found


def write(folder: Path, pictures: list[NDArray[Any]]) -> list[Path]:
    files = [folder / f"{view:03d}.png" for view in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        cv2.imwrite(str(file), picture)
    return files


def voc(x: float) -> NDArray[np.uint8]:
    """An object of 1 in a void rim of 255."""
    return np.where(disc(x, 48, 24), 1, np.where(disc(x, 48, 27), 255, 0)).astype(np.uint8)


def two(x: float, one: int = 150, other: int = 200) -> NDArray[np.uint8]:
    """Two objects, one before the other in some views."""
    return np.where(disc(x, 40, 12), other, np.where(disc(74, 48, 24), one, 0)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pictures", "values"),
    [
        ([voc(50), voc(70), np.zeros(SIZE, np.uint8)], "0, 1, 255"),
        ([np.where(voc(50) == 1, 15, voc(50)), voc(70)], "0, 1, 15, 255"),
        ([two(20), two(24), two(40)], "0, 150, 200"),
        ([two(20, 40, 200), two(24, 40, 200)], "0, 40, 200"),
        ([two(20).astype(np.uint16) * 300], "0, 45000, 60000"),
        ([np.dstack([0 * two(20), 0 * two(20), two(20)])], "0, 150, 200"),
    ],
)
def test_labels_are_refused(tmp_path: Path, pictures: list[NDArray[Any]], values: str) -> None:
    line = rf"expected masks of one object, 0 elsewhere, got label pictures: values {values}$"
    with pytest.raises(InputError, match=line):
        read_masks(write(tmp_path, pictures), 1, SIZE)


def boxes(factor: int) -> NDArray[np.uint8]:
    big = disc(60.3 * factor, 47.8 * factor, 25 * factor, (SIZE[0] * factor, SIZE[1] * factor))
    shares = big.reshape(SIZE[0], factor, SIZE[1], factor).mean(axis=(1, 3))
    return np.floor(255 * shares).astype(np.uint8)


def resized(factor: int, way: int) -> NDArray[np.uint8]:
    small = boxes(2)[::factor, ::factor]
    return cv2.resize(small, SIZE[::-1], interpolation=way).astype(np.uint8)


def few(levels: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """In so many steps."""
    return np.rint(np.rint(levels / 255 * (count - 1)) * 255 / (count - 1)).astype(np.uint8)


def trimap(inner: float, outer: float) -> NDArray[np.uint8]:
    return np.where(disc(60, 48, inner), 255, np.where(disc(60, 48, outer), 128, 0)).astype(np.uint8)


def blurred(sigma: float) -> NDArray[np.uint8]:
    return cv2.GaussianBlur(np.uint8(255) * disc(60, 48, 25), (0, 0), sigma).astype(np.uint8)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda factor=factor: boxes(factor) for factor in (2, 3, 4, 8)),
        *(lambda factor=factor: resized(factor, cv2.INTER_LINEAR) for factor in (2, 4, 8)),
        *(lambda factor=factor: resized(factor, cv2.INTER_NEAREST) for factor in (2, 4, 8)),
        *(lambda factor=factor: few(resized(factor, cv2.INTER_LINEAR), 5) for factor in (4, 8, 16)),
        *(lambda sigma=sigma: few(blurred(sigma), 9) for sigma in (1, 4, 8)),
        *(lambda width=width: trimap(25, 25 + width) for width in (1, 3, 8, 16)),
        lambda: trimap(2, 40),
        lambda: np.maximum(few(blurred(8), 5), 64),
        lambda: np.where(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 997 == 0, 7, boxes(2)).astype(np.uint8),
    ],
)
def test_soft_edges_and_trimaps_are_cut_in_the_middle(tmp_path: Path, make: Callable[[], NDArray[np.uint8]]) -> None:
    levels = make()
    pictures = [levels, levels[:, ::-1], np.zeros_like(levels)]
    found = read_masks(write(tmp_path, pictures), 1, SIZE)
    np.testing.assert_array_equal(found, np.stack(pictures) > 127)
    np.testing.assert_array_equal(read_masks(write(tmp_path, [levels]), 1, SIZE)[0], levels > 127)


def test_jpeg_is_not_asked(tmp_path: Path) -> None:
    Image.fromarray(two(20)).save(tmp_path / "a.jpg", quality=100)
    assert read_masks([tmp_path / "a.jpg"], 1, SIZE)[0][disc(74, 48, 20)].all()


def test_plateaus_of_blurred_edges_are_no_labels(tmp_path: Path) -> None:
    """What is thin does not reach the top of a blur, and stays flat at a value between."""
    thin = cv2.GaussianBlur(np.uint8(255) * (disc(30, 48, 22) | disc(100, 48, 10)), (0, 0), 6).astype(np.uint8)
    levels = few(thin, 5)
    assert (levels == 191)[:, 80:].sum() > 25
    assert not (levels == 255)[:, 80:].any()
    np.testing.assert_array_equal(read_masks(write(tmp_path, [levels]), 1, SIZE)[0], levels > 127)
