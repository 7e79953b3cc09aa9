"""Masks and depth maps of another size than their picture are refused by their header, not decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.lib import format as npy
from PIL import Image, ImageFile

from nto3d.data.files.depths import read_depths
from nto3d.data.files.masks import read_masks
from nto3d.depth.file import FileDepth
from nto3d.errors import InputError

SIZE, WRONG = (24, 32), (48, 40)
PICTURE = np.zeros((*SIZE, 3), np.uint8)


def depths(path: Path) -> object:
    (path.parent / "scene.json").write_text(json.dumps({"depth": {"scale": 0.5}}))
    return read_depths([path], path.parent / "scene.json", 1, SIZE, 1.0)


def single(path: Path) -> object:
    return FileDepth(path, 1.0, (240, 320)).point_map(PICTURE, np.eye(3))


def write(path: Path, shape: tuple[int, ...]) -> None:
    values = np.full(shape, 7)
    if path.suffix == ".npy":
        np.save(path, values.astype(np.float32))
    elif path.suffix == ".npz":
        np.savez_compressed(path, depth=values.astype(np.float32))
    else:
        cv2.imwrite(str(path), values.astype(np.uint16 if "deep" in path.name else np.uint8))


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoder(*_: object, **__: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoder)
    monkeypatch.setattr(npy, "read_array", decoder)


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize(
    ("name", "shape", "read", "line"),
    [
        ("a.png", (*WRONG, 4), lambda p: read_masks([p], 1, SIZE), "32 x 24 pixels .* got a mask of 40 x 48$"),
        ("deep.png", (*WRONG, 4), lambda p: read_masks([p], 1, SIZE, True), "32 x 24 pixels .* got a mask of 40 x 48$"),
        ("a.jpg", WRONG, lambda p: read_masks([p], 1, SIZE), "32 x 24 pixels .* got a mask of 40 x 48$"),
        ("a.png", SIZE[::-1], lambda p: read_masks([p], 1, SIZE), r"of 24 x 32 \(turned by a quarter: EXIF"),
        ("deep.png", WRONG, depths, r"\[H, W\] = \[24, 32\] like its picture, got \[48, 40\]$"),
        ("a.npy", WRONG, depths, r"\[H, W\] = \[24, 32\] like its picture, got \[48, 40\]$"),
        ("a.npy", SIZE[::-1], depths, r"got \[32, 24\] \(turned by a quarter"),
        ("a.npy", (3, *WRONG), depths, r"floats \[H, W\], got float32 \[3, 48, 40\]$"),
        ("a.png", WRONG, single, "320 x 240 pixels like the picture, got 40 x 48$"),
        ("deep.png", WRONG, single, "320 x 240 pixels like the picture, got 40 x 48$"),
        ("a.npy", WRONG, single, "320 x 240 pixels like the picture, got 40 x 48$"),
        ("a.npz", WRONG, single, "320 x 240 pixels like the picture, got 40 x 48$"),
        ("a.npz", (320, 240), single, r"got 240 x 320 \(turned by a quarter"),
        ("a.npz", (3, *WRONG), single, r"got \[3, 48, 40\] of float32$"),
    ],
)
def test_sizes_are_compared_before_pixels_are_decoded(
    tmp_path: Path, name: str, shape: tuple[int, ...], read: Callable[[Path], object], line: str
) -> None:
    write(tmp_path / name, shape)
    with pytest.raises(InputError, match=rf"{name}: expected .*{line}"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png"])
def test_the_size_on_disk_and_the_reduced_one_are_both_taken(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, SIZE)
    np.testing.assert_array_equal(single(tmp_path / name).points[..., 2], np.full(SIZE, 7))  # type: ignore[attr-defined]
    write(tmp_path / name, (240, 320))
    source = FileDepth(tmp_path / name, 1.0, (240, 320), lambda depth: depth[:24, :32])
    np.testing.assert_array_equal(source.point_map(PICTURE, np.eye(3)).points[..., 2], np.full(SIZE, 7))


def test_a_mask_that_lies_is_turned_before_its_size_is_compared(tmp_path: Path) -> None:
    exif, shown = Image.Exif(), np.zeros(SIZE, np.uint8)
    exif[0x0112], shown[3:9, 4:20] = 6, 255
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_masks([tmp_path / "a.png"], 1, SIZE, True)[0], shown > 0)
    Image.fromarray(shown).save(tmp_path / "a.png", exif=exif)
    with pytest.raises(InputError, match=r"got a mask of 24 x 32 \(turned by a quarter: the picture is taken as"):
        read_masks([tmp_path / "a.png"], 1, SIZE, True)
