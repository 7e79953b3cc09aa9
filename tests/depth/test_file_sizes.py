"""Depth files that hold codes for "unknown", and such that are reduced with their picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from nto3d.data.images import reduce_depth
from nto3d.depth.base import back_project
from nto3d.depth.file import FileDepth
from nto3d.errors import InputError
from nto3d.geometry.cameras import scale_intrinsics
from tests.depth.test_file import DEPTH, INTRINSICS, PICTURE


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_largest_number_is_unknown_where_it_stands_apart(
    tmp_path: Path, dtype: type, caplog: pytest.LogCaptureFixture
) -> None:
    most = np.iinfo(dtype).max
    steps = np.array([[0, 1, 2, 3], [4, 100, most, most], [9, 9, 9, most // 2]], dtype=dtype)
    cv2.imwrite(str(tmp_path / "depth.png"), steps)
    with caplog.at_level("INFO", logger="nto3d"):
        found = FileDepth(tmp_path / "depth.png").point_map(PICTURE, INTRINSICS)
    np.testing.assert_array_equal(found.points[..., 2], np.where(steps == most, 0, steps))
    assert "depth.png: 2 pixels are the largest number" in caplog.text
    cv2.imwrite(str(tmp_path / "depth.png"), np.where(steps == 9, most - 1, steps))
    found = FileDepth(tmp_path / "depth.png").point_map(PICTURE, INTRINSICS)
    np.testing.assert_array_equal(found.points[..., 2], np.where(steps == 9, most - 1, steps))


@pytest.mark.parametrize("code", [-1.0, -9999.0, 1e10, 3e38])
def test_codes_among_floats_are_unknown(tmp_path: Path, code: float, caplog: pytest.LogCaptureFixture) -> None:
    coded = DEPTH.copy()
    coded[0, 1] = coded[2, 3] = code
    np.save(tmp_path / "depth.npy", coded)
    with caplog.at_level("INFO", logger="nto3d"):
        found = FileDepth(tmp_path / "depth.npy").point_map(PICTURE, INTRINSICS)
    np.testing.assert_array_equal(found.points[..., 2], np.where(coded == DEPTH, DEPTH, 0))
    assert f"depth.npy: 2 pixels are {code:g}" in caplog.text


@pytest.mark.parametrize("name", ["depth.npy", "points.ply"])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_file_of_the_picture_s_full_size_is_reduced_with_it(tmp_path: Path, name: str, odd: int) -> None:
    height, width = 40 + odd, 60 + odd
    whole = np.array([[50.0, 0.0, 31.0], [0.0, 50.0, 17.0], [0.0, 0.0, 1.0]])
    y, x = np.mgrid[:height, :width]
    depth = 1.0 / (0.4 + 0.004 * x - 0.003 * y)  # a plane
    depth[:8], depth[20, 20] = 0.0, np.nan
    points = back_project(depth, whole)
    if name == "depth.npy":
        np.save(tmp_path / name, depth)
    else:
        stored = points.points * np.float32([-1, -1, 1])
        (tmp_path / name).write_bytes(trimesh.PointCloud(stored.reshape(-1, 3)).export(file_type="ply"))
    source = FileDepth(tmp_path / name, 1.0, (height, width), partial(reduce_depth, factor=2))
    found = source.point_map(np.zeros((20, 30, 3), dtype=np.uint8), scale_intrinsics(whole, 0.5, 0.5))
    assert found.valid.sum() == 16 * 30  # three of four are enough
    flat = points.points[points.valid].astype(np.float64)
    normal, *_ = np.linalg.lstsq(flat, np.ones(len(flat)), rcond=None)
    assert np.abs(found.points[found.valid] @ normal - 1).max() < 2e-3
    middle = points.points[10:12, 30:32].reshape(4, 3).mean(axis=0)
    assert np.abs(found.points[5, 15] - middle).max() < 1e-3
    other = FileDepth(tmp_path / name, 1.0, (height, width + 4))
    with pytest.raises(InputError, match=rf"{name}: expected .*{width + 4} x {height} pixels.* got"):
        other.point_map(np.zeros((20, 32, 3), dtype=np.uint8), whole)


def test_a_file_of_the_reduced_size_is_taken_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", DEPTH)
    source = FileDepth(tmp_path / "depth.npy", 1.0, (6, 8), partial(reduce_depth, factor=2))
    np.testing.assert_array_equal(source.point_map(PICTURE, INTRINSICS).points[..., 2], DEPTH)


def test_a_map_of_the_picture_as_it_is_stored_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", DEPTH.T)
    with pytest.raises(InputError, match=r"depth\.npy: .*like the picture, got \d+ x \d+ \(turned by a quarter.*EXIF"):
        FileDepth(tmp_path / "depth.npy").point_map(PICTURE, INTRINSICS)
