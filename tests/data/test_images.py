from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.data.files.masks import read_masks
from nto3d.data.images import (
    common_size,
    picture_size,
    read_depth,
    read_image,
    read_images,
    read_mask,
    reduce_depth,
    reduce_image,
    reduce_mask,
    reduced_size,
)
from nto3d.errors import InputError
from tests.helpers import truncate

PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 30]], [[0, 0, 255], [255, 255, 255], [1, 2, 3]]], dtype=np.uint8)


def test_rgb_png_is_exact(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    assert (image == PIXELS).all()
    assert picture_size(tmp_path / "a.png") == (2, 3)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([PIXELS, np.full((2, 3), 7, np.uint8)])).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == PIXELS).all()


def test_grey_becomes_three_channels(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == PIXELS[..., :1]).all()


def test_palette(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png").astype(int) - PIXELS).max() <= 1


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 1].tolist() == [0, 1, 128, 255]


def test_jpeg(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - flat).max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_pictures_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    file = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    truncate(file, share)
    with pytest.raises(InputError, match=rf"a\{suffix}: expected a .*(cut short|cannot be read)"):
        read_image(file)


def test_flipped_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    content = bytearray(file.read_bytes())
    content[60:200] = bytes(140)
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a\.png: expected a PNG or JPEG picture, it is damaged"):
        read_image(file)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "empty"), (b"no picture at all", "damaged, cut short or foreign")]
)
def test_files_that_are_no_pictures_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_image, read_mask, picture_size):
        with pytest.raises(InputError, match=rf"a\.png.*{message}"):
            read(tmp_path / "a.png")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png.*no such file"):
        read_image(tmp_path / "a.png")


def test_reduction_averages_blocks_and_crops_the_rest() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    image[0:2, 0:2] = [[[10] * 3, [20] * 3], [[30] * 3, [40] * 3]]
    image[:, 6] = image[4] = 255  # the remainder, which must not bleed in
    reduced = reduce_image(image, 2)
    assert reduced.shape == (2, 3, 3)
    assert reduced[0, 0].tolist() == [25, 25, 25]
    assert reduced.sum() == 75
    assert reduce_image(image, 1) is image


def test_reduction_of_random_blocks_is_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    mean = image.reshape(4, 3, 5, 3, 3).mean(axis=(1, 3))
    assert np.abs(reduce_image(image, 3) - mean).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("factor", [0, -2, 6])
def test_reduction_refuses_factors(factor: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 5"):
        reduced_size((5, 7), factor)


def test_masks_of_any_kind(tmp_path: Path) -> None:
    wanted = np.array([[True, False], [False, True]])
    byte = wanted.astype(np.uint8) * 255
    Image.fromarray(byte).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([byte] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([byte, 0 * byte, 0 * byte])).save(tmp_path / "red.png")
    Image.fromarray(np.dstack([byte] * 3 + [np.full_like(byte, 255)])).save(tmp_path / "rgba.png")
    Image.fromarray(wanted).save(tmp_path / "bits.png")
    Image.fromarray(wanted.astype(np.uint16) * 65535).save(tmp_path / "deep.png")
    for file in sorted(tmp_path.iterdir()):
        mask = read_mask(file)
        assert mask.dtype == np.bool_
        assert (mask == wanted).all(), file.name


def test_mask_threshold(tmp_path: Path) -> None:
    Image.fromarray(np.array([[127, 128]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[False, True]]


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_mask_reduction_is_by_majority(factor: int) -> None:
    mask = np.random.default_rng(factor).random((6 * factor + 1, 8 * factor)) < 0.5
    blocks = mask[: 6 * factor].reshape(6, factor, 8, factor).sum(axis=(1, 3))
    assert (reduce_mask(mask, factor) == (2 * blocks >= factor**2)).all()


def test_depth_reduction() -> None:
    depth = np.zeros((2, 8), np.float32)
    depth[:, 0:2] = [[2.0, 2.02], [2.04, 2.06]]  # smooth
    depth[:, 2:4] = [[2.0, 0.0], [2.02, 2.04]]  # mostly known
    depth[:, 4:6] = [[2.0, 0.0], [0.0, 0.0]]  # mostly unknown
    depth[:, 6:8] = [[2.0, 2.0], [3.0, 3.0]]  # an edge
    np.testing.assert_allclose(reduce_depth(depth, 2), [[2.03, 2.02, 0, 0]], rtol=1e-6)
    assert reduce_depth(np.zeros((4, 4), np.float32), 2).tolist() == [[0, 0], [0, 0]]


def test_many_images_and_their_sizes(tmp_path: Path) -> None:
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    Image.fromarray(PIXELS).save(files[0])
    Image.fromarray(PIXELS[:, ::-1]).save(files[1])
    assert common_size(files) == (2, 3)
    assert (read_images(files, 1) == np.stack([PIXELS, PIXELS[:, ::-1]])).all()
    Image.fromarray(PIXELS[:1]).save(files[1])
    with pytest.raises(InputError, match=r"1\.png: expected 3 x 2 pixels like 0\.png, got 3 x 1"):
        read_images(files, 1)
    with pytest.raises(InputError, match=r"1\.png: expected 3 x 2 pixels like its picture, got a mask of 3 x 1"):
        read_masks(files, 1, (2, 3))


def test_the_largest_number_of_a_depth_picture_is_unknown_where_it_stands_apart(tmp_path: Path) -> None:
    steps = np.array([[0, 900, 65535], [1000, 1100, 65535]], dtype=np.uint16)
    Image.fromarray(steps).save(tmp_path / "depth.png")
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png", 0.1), [[0, 90, 0], [100, 110, 0]])
    Image.fromarray(np.where(steps == 900, 65500, steps).astype(np.uint16)).save(tmp_path / "depth.png")
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png", 1), [[0, 65500, 65535], [1000, 1100, 65535]])
