"""One rule for the masks of a scene, whatever they are stored as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.data.files.masks import check_extent, read_masks
from nto3d.data.image import read_single
from nto3d.errors import InputError
from tests.helpers import WrittenScene, write_dtu_scene

SIZE = (24, 32)
Save = Callable[[Path, NDArray[np.bool_]], object]


def as_png(*values: int, dtype: type = np.uint8) -> Save:
    """Off and on as these values."""
    return lambda file, mask: cv2.imwrite(str(file), np.where(mask, values[1], values[0]).astype(dtype))


def alpha(mode: str, colors: Callable[[tuple[int, int]], NDArray[Any]], off: int = 0) -> Save:
    def save(file: Path, mask: NDArray[np.bool_]) -> None:
        pixels = np.dstack([colors(mask.shape), np.where(mask, 255, off).astype(np.uint8)])
        Image.fromarray(pixels, mode).save(file)

    return save


def white(channels: int) -> Callable[[tuple[int, int]], NDArray[Any]]:
    return lambda size: np.full((*size, channels), 255, np.uint8)


def noise(size: tuple[int, int]) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def opaque(file: Path, mask: NDArray[np.bool_]) -> None:
    Image.fromarray(np.dstack([np.uint8(255) * mask] * 3 + [np.full(mask.shape, 255, np.uint8)])).save(file)


def transparent(file: Path, mask: NDArray[np.bool_]) -> None:
    Image.fromarray(np.dstack([np.uint8(255) * mask] * 3 + [np.zeros(mask.shape, np.uint8)])).save(file)


def deep_alpha(file: Path, mask: NDArray[np.bool_]) -> None:
    cv2.imwrite(str(file), np.dstack([np.full((*mask.shape, 3), 65535, np.uint16), mask.astype(np.uint16) * 65535]))


def deep_color(file: Path, mask: NDArray[np.bool_]) -> None:
    cv2.imwrite(str(file), np.dstack([0 * mask, 0 * mask, mask]).astype(np.uint16))


def palette(file: Path, mask: NDArray[np.bool_]) -> None:
    picture = Image.fromarray(mask.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 128, 0, 0])
    picture.save(file)


KINDS: dict[str, Save] = {
    "0 and 255": as_png(0, 255),
    "0 and 1": as_png(0, 1),
    "0 and 100": as_png(0, 100),
    "40 and 200": as_png(40, 200),
    "16 bits": as_png(0, 65535, dtype=np.uint16),
    "16 bits, 0 and 1": as_png(0, 1, dtype=np.uint16),
    "16 bits, 0 and 255": as_png(0, 255, dtype=np.uint16),
    "16 bits, 12 of them": as_png(300, 4000, dtype=np.uint16),
    "16 bits, RGB, red is 1": deep_color,
    "16 bits, RGBA": deep_alpha,
    "one bit": lambda file, mask: Image.fromarray(mask).save(file),
    "a palette": palette,
    "white with alpha": alpha("RGBA", white(3)),
    "white grey with alpha": alpha("LA", white(1)),
    "a cut-out": alpha("RGBA", noise),
    "a faint cut-out": alpha("RGBA", noise, off=100),
    "opaque": opaque,
    "transparent all over": transparent,
}


@pytest.fixture
def masks() -> NDArray[np.bool_]:
    """Boxes of different sizes; the third view is empty."""
    found = np.zeros((4, *SIZE), dtype=bool)
    for view in (0, 1, 3):
        found[view, 4 : 10 + 3 * view, 6 : 12 + 5 * view] = True
    return found


def save_all(folder: Path, save: Save, masks: NDArray[np.bool_], suffix: str = ".png") -> list[Path]:
    files = [folder / f"{view:03d}{suffix}" for view in range(len(masks))]
    for file, mask in zip(files, masks, strict=True):
        save(file, mask)
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_masks(tmp_path: Path, masks: NDArray[np.bool_], kind: str) -> None:
    files = save_all(tmp_path, KINDS[kind], masks)
    np.testing.assert_array_equal(read_masks(files, 1, SIZE), masks)
    boxes = masks.reshape(4, 12, 2, 16, 2).sum(axis=(2, 4)) >= 2
    np.testing.assert_array_equal(read_masks(files, 2, SIZE), boxes)


@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_takes_the_same_masks(tmp_path: Path, masks: NDArray[np.bool_], kind: str) -> None:
    Image.fromarray(noise(SIZE)).save(tmp_path / "photo.png")
    KINDS[kind](tmp_path / "mask.png", masks[1])
    found = read_single(tmp_path / "photo.png", tmp_path / "mask.png", 55.0, 1, "photo").masks
    assert found is not None
    np.testing.assert_array_equal(found[0], masks[1])
    reduced = read_single(tmp_path / "photo.png", tmp_path / "mask.png", 55.0, 2, "photo").masks
    assert reduced is not None
    np.testing.assert_array_equal(reduced[0], masks[1].reshape(12, 2, 16, 2).sum(axis=(1, 3)) >= 2)


def test_jpeg_is_bright_on_the_target(tmp_path: Path, masks: NDArray[np.bool_]) -> None:
    def save(file: Path, mask: NDArray[np.bool_]) -> None:
        Image.fromarray(np.uint8(255) * mask).save(file, quality=90)

    assert (read_masks(save_all(tmp_path, save, masks, ".jpg"), 1, SIZE) == masks).mean() > 0.99
    Image.fromarray(np.full(SIZE, 3, np.uint8)).save(tmp_path / "dim.jpg")
    assert not read_masks([tmp_path / "dim.jpg"], 1, SIZE).any()


def test_soft_edges_are_cut_in_the_middle(tmp_path: Path) -> None:
    levels = np.arange(0, 256, dtype=np.uint8).reshape(8, 32)
    cv2.imwrite(str(tmp_path / "a.png"), levels)
    np.testing.assert_array_equal(read_masks([tmp_path / "a.png"], 1, (8, 32))[0], levels > 127)
    for top, middle in ((65535, 32767), (4095, 2047)):
        deep = np.linspace(0, top, 256).astype(np.uint16).reshape(8, 32)
        cv2.imwrite(str(tmp_path / "a.png"), deep)
        np.testing.assert_array_equal(read_masks([tmp_path / "a.png"], 1, (8, 32))[0], deep > middle)


def test_what_shows_nothing_else_than_the_target_is_refused(tmp_path: Path) -> None:
    masks = np.ones((3, *SIZE), dtype=bool)
    with pytest.raises(InputError, match=r"3 of 3 cover more than 99% of their picture; hint$"):
        check_extent(masks, tmp_path, "; hint")
    masks[1] = False
    with pytest.raises(InputError, match=r"2 of 3 cover more than 99% of their picture, the other 1 are empty$"):
        check_extent(masks, tmp_path)
    masks[0, :2] = False  # a view that shows more
    check_extent(masks, tmp_path)
    Image.fromarray(noise(SIZE)).save(tmp_path / "photo.png")
    cv2.imwrite(str(tmp_path / "mask.png"), np.full(SIZE, 255, np.uint8))
    with pytest.raises(InputError, match=r"mask\.png: .*more than 99%"):
        read_single(tmp_path / "photo.png", tmp_path / "mask.png", 55.0, 1, "photo")


@pytest.fixture
def scene(tmp_path: Path) -> WrittenScene:
    return write_dtu_scene(tmp_path / "scene", 24, (48, 64))


def crop(scene: WrittenScene, height: int, width: int, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leaves the middle of pictures and masks; what is left of the masks."""
    top, left = (48 - height) // 2, (64 - width) // 2
    box, corner = (slice(None), slice(top, top + height), slice(left, left + width)), np.eye(4)
    corner[0, 2], corner[1, 2] = -left, -top
    for folder, pictures in (("image", scene.images[box]), ("mask", masks[box].astype(np.uint8) * 255)):
        for view, picture in enumerate(pictures):
            Image.fromarray(picture).save(scene.path / folder / f"{view:03d}.png")
    with np.load(scene.path / "cameras_sphere.npz") as archive:
        entries = dict(archive)
    entries |= {key: corner @ matrix for key, matrix in entries.items() if key.startswith("world")}
    np.savez(scene.path / "cameras_sphere.npz", **entries)
    return masks[box]


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [
        (48, 64, r"of what is white lies outside of the unit sphere"),
        (38, 40, r"what is black is one solid seen from all sides, what is white is none"),
    ],
)
def test_inverted_masks_are_refused(scene: WrittenScene, height: int, width: int, seen: str) -> None:
    crop(scene, height, width, ~scene.masks)
    line = (
        rf"mask: expected .*they look inverted: in 24 of 24 views most of the picture's border is white, and .*{seen}"
    )
    with pytest.raises(InputError, match=line):
        read_dtu(scene.path)


@pytest.mark.parametrize("side", [26, 24, 22])
@pytest.mark.parametrize("wrong", [0, 1])
def test_an_object_that_leaves_its_pictures_all_around_is_not_inverted(
    scene: WrittenScene, side: int, wrong: int
) -> None:
    """The ball's middle alone, with nothing else than corners beside it; and a view whose mask is wrong."""
    masks = scene.masks.copy()
    masks[:wrong] = ~masks[:wrong]
    expected = crop(scene, side, side, masks)
    found = read_dtu(scene.path).masks
    assert found is not None
    np.testing.assert_array_equal(found, expected)
    edges = np.concatenate([found[1:, 0], found[1:, -1], found[1:, :, 0], found[1:, :, -1]], axis=1)
    assert edges.mean() > 0.5 or side == 26
