"""Points behind a depth map, against values derived by hand."""

import numpy as np
import pytest

from nto3d.depth import base
from nto3d.depth.base import PointMap, back_project, picture_size, seen_surface
from nto3d.geometry.cameras import intrinsics_from_fov, project

INTRINSICS = np.array([[100.0, 0.0, 1.0], [0.0, 50.0, 0.5], [0.0, 0.0, 1.0]])


def test_points_lie_on_the_rays_through_pixel_centres() -> None:
    depth = np.array([[2.0, 4.0, 0.5], [1.0, 3.0, 8.0]], dtype=np.float32)
    points = back_project(depth, INTRINSICS).points
    # x = (column - 1) z / 100, y = (row - 0.5) z / 50
    expected = [
        [[-0.02, -0.02, 2.0], [0.0, -0.04, 4.0], [0.005, -0.005, 0.5]],
        [[-0.01, 0.01, 1.0], [0.0, 0.03, 3.0], [0.08, 0.08, 8.0]],
    ]
    np.testing.assert_allclose(points, expected, atol=1e-7)
    assert points.dtype == np.float32


def test_skewed_pixels_are_followed() -> None:
    skewed = INTRINSICS.copy()
    skewed[0, 1] = 10.0  # column = 100 x + 10 y + 1
    point = back_project(np.full((2, 2), 5.0, dtype=np.float32), skewed).points[1, 0]
    y = 0.5 * 5 / 50
    np.testing.assert_allclose(point, [(-1 - 10 * y / 5) * 5 / 100, y, 5.0], atol=1e-7)


def test_unknown_depths_give_no_point() -> None:
    depth = np.array([[0.0, np.nan, np.inf], [-np.inf, -1.0, 2.0]], dtype=np.float32)
    found = back_project(depth, INTRINSICS)
    np.testing.assert_array_equal(found.valid, [[False, False, False], [False, False, True]])
    assert not found.points[:1].any()
    assert not found.points[1, :2].any()
    np.testing.assert_allclose(found.points[1, 2], [0.02, 0.02, 2.0], atol=1e-7)


def test_a_depth_beyond_float32_is_unknown() -> None:
    found = back_project(np.array([[1e300, 1.0, 1e-60]]), INTRINSICS)
    np.testing.assert_array_equal(found.valid, [[False, True, False]])


def test_large_pictures_are_cut_into_bands_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = np.random.default_rng(0).uniform(1.0, 3.0, (11, 5)).astype(np.float32)
    whole = back_project(depth, INTRINSICS)
    monkeypatch.setattr(base, "BAND", 4)
    cut = back_project(depth, INTRINSICS)
    np.testing.assert_array_equal(cut.points, whole.points)
    xy, z = project(INTRINSICS, np.eye(3, 4), cut.points.astype(np.float64))
    row, column = np.mgrid[0:11, 0:5]
    np.testing.assert_allclose(xy, np.stack([column, row], axis=-1), atol=1e-4)
    np.testing.assert_array_equal(z.astype(np.float32), depth)


@pytest.mark.parametrize("depth", [np.ones(4), np.ones((2, 2, 1)), np.ones((0, 3))])
def test_a_depth_map_has_two_axes(depth: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"depth map \[H, W\]"):
        back_project(depth, INTRINSICS)


@pytest.mark.parametrize(
    ("place", "value"), [((0, 0), 0.0), ((1, 1), -50.0), ((0, 2), np.nan), ((2, 2), 2.0), ((2, 0), 0.1)]
)
def test_intrinsics_of_no_camera_are_refused(place: tuple[int, int], value: float) -> None:
    wrong = INTRINSICS.copy()
    wrong[place] = value
    with pytest.raises(ValueError, match="intrinsics"):
        back_project(np.ones((2, 2)), wrong)
    with pytest.raises(ValueError, match="intrinsics"):
        back_project(np.ones((2, 2)), np.eye(4))


def point_map_parts() -> tuple[np.ndarray, np.ndarray]:
    points = np.zeros((2, 3, 3), dtype=np.float32)
    valid = np.zeros((2, 3), dtype=np.bool_)
    points[0, 1], valid[0, 1] = (0.1, -0.2, 3.0), True
    return points, valid


def test_a_point_map_keeps_its_size() -> None:
    assert PointMap(*point_map_parts()).size == (2, 3)


def test_what_is_no_point_map_is_refused() -> None:
    points, valid = point_map_parts()
    with pytest.raises(ValueError, match="float32, got"):
        PointMap(points.astype(np.float64), valid)
    with pytest.raises(ValueError, match=r"points \[2, 3, 3\]"):
        PointMap(points[:1], valid)
    with pytest.raises(ValueError, match=r"valid \[H, W\] of bool"):
        PointMap(points, valid.astype(np.uint8))
    with pytest.raises(ValueError, match=r"valid \[H, W\]"):
        PointMap(points[0], valid[0])


@pytest.mark.parametrize(
    ("pixel", "point", "message"),
    [
        ((1, 2), (np.nan, 0.0, 0.0), "finite"),
        ((1, 2), (0.0, 0.0, 2.0), "do not fit valid"),
        ((1, 2), (0.5, 0.0, 0.0), "0 where there is no point"),
        ((0, 1), (0.1, -0.2, -3.0), "do not fit valid"),
        ((0, 1), (0.1, -0.2, 0.0), "do not fit valid"),
    ],
)
def test_points_and_validity_belong_together(
    pixel: tuple[int, int], point: tuple[float, float, float], message: str
) -> None:
    points, valid = point_map_parts()
    points[pixel] = point
    with pytest.raises(ValueError, match=message):
        PointMap(points, valid)


def test_a_picture_is_bytes_of_three_channels() -> None:
    assert picture_size(np.zeros((4, 5, 3), dtype=np.uint8)) == (4, 5)
    for wrong in (np.zeros((4, 5, 3)), np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
            picture_size(wrong)


def test_the_seen_surface_faces_the_camera_and_tears_where_the_depth_jumps() -> None:
    depth = np.full((20, 30), 2.0)
    depth[:, 15:] = 4.0
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[5:15, 5:25] = True
    image = np.full((20, 30, 3), 90, dtype=np.uint8)
    mesh = seen_surface(back_project(depth, intrinsics_from_fov(depth.shape, 50.0)), mask, image)
    assert len(mesh.vertices) == 10 * 20
    assert len(mesh.faces) == 2 * (9 * 9 + 9 * 9)  # not across columns 14 and 15
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] < 0).all()  # towards the camera
    assert mesh.colors is not None
    assert (mesh.colors == 90).all()


def test_the_seen_surface_of_a_large_picture_is_thinned() -> None:
    found = back_project(np.full((480, 720), 2.0), intrinsics_from_fov((480, 720), 50.0))
    mask, picture = np.ones((480, 720), dtype=np.bool_), np.zeros((480, 720, 3), dtype=np.uint8)
    assert len(seen_surface(found, mask, picture).vertices) == 160 * 240
    lonely = np.zeros_like(mask)
    lonely[3, 3] = True
    assert len(seen_surface(found, lonely, picture).faces) == 0
