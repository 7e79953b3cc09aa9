"""The crop that the network sees, by hand, and the way back to the camera's frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.mcc.inputs import SeenView, _resizing, seen_view
from tests.mcc.formula import SMALL as SIZES


def plane(height: int = 60, width: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture whose red is the column and green the row, points (column, row, 100), and a mask of 20 x 30 pixels."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[10:30, 40:70] = True
    return image, np.stack([x, y, 100 + 0 * x], axis=-1).astype(np.float64), mask


def test_points_are_normalized_and_their_axes_turned() -> None:
    seen = seen_view(*plane(), SIZES, margin=0)
    column, row = np.arange(40, 70), np.arange(10, 30)
    count = len(column) * len(row)
    spread = np.sqrt([column.var() * count / (count - 1), row.var() * count / (count - 1), 0.0]).mean()
    assert seen.scale == pytest.approx(spread, rel=1e-6)
    assert seen.center.tolist() == pytest.approx([-54.5, -19.5, 100.0])
    # The crop is 30 x 30 with padding below; 16 cells of 1.875 pixels: cell 3, 5 lies at column 9.8125 and row 6.0625
    expected = [-(40 + 1.875 * 5.5 - 0.5), -(10 + 1.875 * 3.5 - 0.5), 100.0]
    found = seen.points[3, 5].numpy() * seen.scale + seen.center
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_only_cells_whose_pixels_all_have_points_are_valid() -> None:
    image, points, mask = plane()
    seen = seen_view(image, points, mask, SIZES, margin=0)
    # 20 of the crop's 30 rows are the target: cell 10 takes rows 19.1875 -> 19 and 20, of which the second is padding
    assert seen.valid[:10].all()
    assert not seen.valid[10:].any()
    assert not seen.points[10:].any()
    mask[20, 50] = False
    holed = seen_view(image, points, mask, SIZES, margin=0)
    around = [int((value + 0.5) / 1.875 - 0.5) for value in (20 - 10, 50 - 40)]
    lost = (seen.valid & ~holed.valid).nonzero().tolist()
    assert lost
    assert all(abs(cell[0] - around[0]) <= 1 and abs(cell[1] - around[1]) <= 1 for cell in lost)


def test_the_margin_is_cut_off_by_the_picture() -> None:
    """With 40 pixels around it the crop is rows 0..59 (of 60) and columns 0..89: the whole picture, padded below."""
    seen = seen_view(*plane(), SIZES)
    assert seen.image.shape == (3, 32, 32)
    red = seen.image[0, 0] * 255
    assert torch.allclose(red, (torch.arange(32) + 0.5) * 90 / 32 - 0.5, atol=0.6)
    assert not seen.image[:, 22:].any()  # row 22 of 32 is row 62 of 90


def test_places_come_back_in_the_cameras_frame() -> None:
    image, points, mask = plane()
    seen = seen_view(image, points * 0.01, mask, SIZES, margin=0)
    assert seen.to_camera(np.zeros(3)).tolist() == pytest.approx([0.545, 0.195, 1.0])
    right = seen.to_camera(np.array([1.0, 0.0, 0.0])) - seen.to_camera(np.zeros(3))
    assert right.tolist() == pytest.approx([-seen.scale, 0.0, 0.0])
    some = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(seen.from_camera(seen.to_camera(some)), some, atol=1e-12)


def test_what_lies_beside_the_target_does_not_matter() -> None:
    image, points, mask = plane()
    clean: SeenView = seen_view(image, points, mask, SIZES)
    points[~mask] = np.nan
    spoilt = seen_view(image, points, mask, SIZES)
    assert torch.equal(clean.points, spoilt.points)
    assert spoilt.points.isfinite().all()


def test_next_to_no_points_are_one_line() -> None:
    image, points, mask = plane()
    few = np.zeros_like(mask)
    few[5, 5:12] = True
    with pytest.raises(InputError, match="at least 16 pixels with a depth, got 7"):
        seen_view(image, points, few, SIZES)
    with pytest.raises(InputError, match="not all in one place"):
        seen_view(image, np.ones_like(points), mask, SIZES)
    with pytest.raises(ValueError, match="expected picture and points"):
        seen_view(image[:-1], points, mask, SIZES)


@pytest.mark.parametrize(("side", "image"), [(100, 56), (37, 224), (900, 224), (64, 800)])
def test_one_matrix_resizes_like_the_two_resizes_of_the_published_code(side: int, image: int) -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, side, side)
    large = functional.interpolate(picture, 800, mode="bilinear", align_corners=False)
    small = functional.interpolate(large, scale_factor=image / 800, mode="bilinear", align_corners=False)
    resize = _resizing(side, image)
    assert torch.allclose(resize @ picture[0] @ resize.T, small[0], atol=1e-5)
