"""Pictures that use some of their bits, and pictures that are stored lying."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.data.image import read_single
from nto3d.data.images import read_images, used_bits
from nto3d.errors import InputError
from nto3d.parsers.pictures import read_deep
from tests.helpers import truncate, write_dtu_scene

SIZE = (30, 40)
PICTURE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def save_deep(file: Path, pixels: NDArray[np.uint8], bits: int, share: float = 1.0) -> None:
    """Colours [H, W, 3] or grey [H, W] in the lower bits of 16."""
    deep = np.rint(pixels / 255.0 * share * (2**bits - 1)).astype(np.uint16)
    cv2.imwrite(str(file), deep[..., ::-1] if deep.ndim == 3 else deep)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("grey", [True, False])
def test_pictures_that_use_some_bits_of_16_are_as_bright_as_others(
    tmp_path: Path, bits: int, grey: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nto3d")
    first, dark = (PICTURE[..., 0], PICTURE[..., 1] // 20) if grey else (PICTURE, PICTURE // 20)
    first = np.maximum(first, np.uint8(255) * (first > 250))
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    for file, pixels in zip(files, (dark, first), strict=True):
        save_deep(file, pixels, bits)
    found = read_images(files, 1)
    for image, pixels in zip(found, (dark, first), strict=True):  # one scale for both: the dark one stays dark
        assert (image == (pixels[..., None] if grey else pixels)).all()
    assert f"pictures of 16 bits use {bits} of them (values up to {2**bits - 1})" in caplog.text
    single = read_single(files[1], None, 55.0, 1, "photo").images[0]
    assert (single == found[1]).all()


def test_pictures_that_use_all_bits_stay_as_they_are(tmp_path: Path) -> None:
    save_deep(tmp_path / "0.png", PICTURE // 20, 16)
    save_deep(tmp_path / "1.png", PICTURE, 16)
    Image.fromarray(PICTURE // 20).save(tmp_path / "2.png")
    files = sorted(tmp_path.iterdir())
    assert used_bits(files) == 16
    np.testing.assert_array_equal(read_images(files, 1), [PICTURE // 20, PICTURE, PICTURE // 20])
    assert used_bits(files[2:]) == 16
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros(SIZE, np.uint16))
    assert used_bits([tmp_path / "black.png"]) == 16


def test_a_scene_of_12_bits_looks_like_one_of_8(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    for view, image in enumerate(written.images):
        save_deep(tmp_path / "image" / f"{view:03d}.png", image, 12)
    found = read_dtu(tmp_path).images.astype(int)
    assert np.abs(found - written.images).max() <= 1


def test_values_are_read_as_they_are_stored(tmp_path: Path) -> None:
    """Pillow gives the high bytes of colours alone."""
    values = np.random.default_rng(0).integers(0, 4096, (5, 7, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(read_deep(tmp_path / "a.png"), values)
    cv2.imwrite(str(tmp_path / "a.png"), values[..., [2, 1, 0]])
    np.testing.assert_array_equal(read_deep(tmp_path / "a.png"), values[..., :3])
    cv2.imwrite(str(tmp_path / "a.png"), values[..., 0])
    np.testing.assert_array_equal(read_deep(tmp_path / "a.png"), values[..., :1])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values[..., :2])
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))  # grey and alpha
    np.testing.assert_array_equal(read_deep(tmp_path / "a.png"), values[..., [0, 0, 0, 1]])


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_pictures_of_12_bits_are_refused(tmp_path: Path, share: float) -> None:
    save_deep(tmp_path / "a.png", PICTURE, 12)
    truncate(tmp_path / "a.png", share)
    with pytest.raises(InputError, match=r"a\.png: expected a PNG or JPEG picture, it is damaged"):
        read_images([tmp_path / "a.png"], 1)


def lying(file: Path, pixels: NDArray[np.uint8], orientation: int) -> None:
    """Stored so that it is upright when turned as EXIF's orientation says."""
    turned = {6: lambda p: np.rot90(p), 8: lambda p: np.rot90(p, -1), 3: lambda p: np.rot90(p, 2), 2: np.fliplr}
    turned |= {4: np.flipud, 5: lambda p: p.swapaxes(0, 1), 7: lambda p: np.rot90(p, 2).swapaxes(0, 1)}
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(turned[orientation](pixels))
    Image.fromarray(stored).save(file, exif=exif, **({"quality": 95} if file.suffix == ".jpg" else {}))


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_one_picture_is_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    y, x = np.mgrid[:30, :40]
    smooth = np.stack([6 * x, 8 * y, 0 * x], axis=-1).astype(np.uint8)
    photo, mask = tmp_path / f"photo{suffix}", tmp_path / "mask.png"
    lying(photo, smooth, orientation)
    shown = np.zeros(SIZE, np.uint8)
    shown[2:9, 3:30] = 255
    Image.fromarray(shown).save(mask)
    scene = read_single(photo, mask, 55.0, 1, "photo")
    assert np.abs(scene.images[0].astype(int) - smooth).max() <= (8 if suffix == ".jpg" else 0)
    assert scene.masks is not None
    np.testing.assert_array_equal(scene.masks[0], shown > 0)
    lying(mask, shown, orientation)  # a mask that is stored lying, too
    again = read_single(photo, mask, 55.0, 1, "photo").masks
    assert again is not None
    np.testing.assert_array_equal(again[0], shown > 0)


def test_a_mask_of_the_picture_as_it_is_stored_is_refused(tmp_path: Path) -> None:
    lying(tmp_path / "photo.jpg", PICTURE, 6)
    Image.fromarray(np.full((40, 30), 255, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(
        InputError, match=r"mask\.png: expected 40 x 30 .*30 x 40 \(turned by a quarter.*EXIF orientation"
    ):
        read_single(tmp_path / "photo.jpg", tmp_path / "mask.png", 55.0, 1, "photo")


def test_cameras_belong_to_the_pixels_as_stored(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    for view, image in enumerate(written.images):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        Image.fromarray(image).save(tmp_path / "image" / f"{view:03d}.png", exif=exif)
    np.testing.assert_array_equal(read_dtu(tmp_path).images, written.images)
