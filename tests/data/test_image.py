"""One picture file as a scene of one view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.data.image import read_single
from nto3d.errors import InputError

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def save_mask(path: Path, value: int, size: tuple[int, int] = (30, 40)) -> Path:
    mask = np.zeros(size, dtype=np.uint8)
    mask[4:20, 6:30] = value
    Image.fromarray(mask).save(path)
    return path


def test_the_camera_stands_in_the_origin_and_sees_the_given_angle(photo: Path) -> None:
    scene = read_single(photo, None, 90.0, 1, "photo")
    assert np.array_equal(scene.images[0], PICTURE)
    assert scene.masks is None
    np.testing.assert_allclose(scene.cameras.intrinsics[0], [[20, 0, 19.5], [0, 20, 14.5], [0, 0, 1]], atol=1e-12)
    assert np.array_equal(scene.cameras.cam_to_world[0], np.eye(3, 4))
    assert np.array_equal(scene.world_from_normalized, np.eye(4))
    assert (scene.train, scene.test, scene.names) == ((0,), (), ("photo.png",))


@pytest.mark.parametrize("value", [1, 255, 200])
def test_a_mask_is_of_ones_or_bright(photo: Path, tmp_path: Path, value: int) -> None:
    scene = read_single(photo, save_mask(tmp_path / "mask.png", value), 55.0, 1, "photo")
    assert scene.masks is not None
    assert scene.masks[0].sum() == 16 * 24
    assert scene.masks[0, 4, 6]


def test_a_reduced_picture_sees_the_same_angle(photo: Path, tmp_path: Path) -> None:
    scene = read_single(photo, save_mask(tmp_path / "mask.png", 255), 90.0, 2, "photo")
    assert scene.cameras.size == (15, 20)
    assert scene.cameras.intrinsics[0, 0, 0] == pytest.approx(10.0)
    assert scene.masks is not None
    assert scene.masks[0].sum() == 8 * 12
    block = PICTURE[:2, :2].reshape(4, 3).mean(axis=0)
    assert np.abs(scene.images[0, 0, 0] - block).max() <= 1


def test_a_reduced_picture_whose_sides_do_not_divide_keeps_its_rays(photo: Path) -> None:
    whole = read_single(photo, None, 70.0, 1, "photo").cameras.intrinsics[0]
    scene = read_single(photo, None, 70.0, 7, "photo")  # 4 x 5 pixels of 28 x 35
    assert scene.cameras.size == (4, 5)
    middle = np.array([7 * 3 + 3, 7 * 2 + 3, 1])  # of the block of pixel (3, 2)
    rays = np.linalg.solve(scene.cameras.intrinsics[0], [3, 2, 1]), np.linalg.solve(whole, middle)
    np.testing.assert_allclose(*rays, atol=1e-12)


def test_a_picture_that_is_too_small_to_be_reduced(photo: Path) -> None:
    with pytest.raises(InputError, match=r"scene\.downscale: expected at most 30 for .*photo\.png, got 31"):
        read_single(photo, None, 55.0, 31, "photo")


@pytest.mark.parametrize(
    ("value", "size", "words"), [(0, (30, 40), "no pixel is set"), (1, (40, 30), "40 x 30 pixels")]
)
def test_a_mask_that_cannot_be_is_one_line(
    photo: Path, tmp_path: Path, value: int, size: tuple[int, int], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_single(photo, save_mask(tmp_path / "mask.png", value, size), 55.0, 1, "photo")
    assert "mask.png" in str(caught.value)


def test_a_file_that_is_no_picture_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"photo\.jpg: expected a PNG or JPEG"):
        read_single(tmp_path / "photo.jpg", None, 55.0, 1, "photo")
