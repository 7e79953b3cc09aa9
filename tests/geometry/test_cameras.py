from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nto3d.geometry.cameras import (
    RayCaster,
    intrinsics_from_fov,
    pixel_rays,
    pixels_of,
    project,
    scale_intrinsics,
    unproject,
)
from nto3d.types import Cameras

# A camera at (0, 0, -3) that looks along +z, picture 101 x 81, centre pixel (50, 40).
INTRINSICS = np.array([[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])
POSE = np.column_stack([np.eye(3), [0.0, 0.0, -3.0]])


def cast(
    intrinsics: np.ndarray, pose: np.ndarray, xy: list[list[float]] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    caster = RayCaster.from_matrices(intrinsics[None], pose[None], "cpu")
    xy = torch.as_tensor(np.asarray(xy, dtype=np.float32))
    return caster(torch.zeros(len(xy), dtype=torch.int64), xy)


def test_centre_pixel_looks_along_the_axis() -> None:
    origins, directions = cast(INTRINSICS, POSE, [[50, 40]])
    assert origins.tolist() == [[0, 0, -3]]
    np.testing.assert_allclose(directions.numpy(), [[0, 0, 1]], atol=1e-7)


def test_right_in_the_picture_is_x_and_down_is_y() -> None:
    _, directions = cast(INTRINSICS, POSE, [[150, 40], [50, 140]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(directions.numpy(), [[half, 0, half], [0, half, half]], atol=1e-6)


def test_skew_moves_x_with_y() -> None:
    skewed = INTRINSICS.copy()
    skewed[0, 1] = 10.0  # x = 100 X/Z + 10 Y/Z + 50, so (60, 140) is X/Z = 0, Y/Z = 1
    _, directions = cast(skewed, POSE, [[60, 140]])
    np.testing.assert_allclose(directions.numpy(), [[0, np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)


def test_each_ray_takes_its_own_camera() -> None:
    poses = np.stack([POSE, np.column_stack([np.diag([-1.0, 1.0, -1.0]), [0.0, 0.0, 5.0]])])
    sharper = INTRINSICS.copy()
    sharper[0, 0] = 200.0
    cameras = Cameras(np.stack([INTRINSICS, sharper]), poses, (81, 101))
    origins, directions = RayCaster(cameras, "cpu")(torch.tensor([1, 0]), torch.tensor([[250.0, 40.0], [50.0, 40.0]]))
    assert origins.tolist() == [[0, 0, 5], [0, 0, -3]]
    # One unit to the right of a camera turned by half a turn about y is -x.
    np.testing.assert_allclose(directions.numpy(), [[-np.sqrt(0.5), 0, -np.sqrt(0.5)], [0, 0, 1]], atol=1e-6)


def test_pixel_rays_agrees_with_the_caster() -> None:
    xy = np.array([[3.0, 4.0], [70.5, 11.25]])
    view = torch.zeros(2, dtype=torch.int64)
    expected = cast(INTRINSICS, POSE, xy)
    got = pixel_rays(torch.tensor(INTRINSICS)[None], torch.tensor(POSE)[None], view, torch.tensor(xy))
    for left, right in zip(got, expected, strict=True):
        assert left.dtype == torch.float32
        torch.testing.assert_close(left, right)


def test_project_by_hand() -> None:
    xy, z = project(INTRINSICS, POSE, np.array([[0.0, 0.0, 0.0], [0.3, -0.6, 0.0], [0.0, 0.0, -4.0]]))
    np.testing.assert_allclose(xy, [[50, 40], [60, 20], [50, 40]])
    np.testing.assert_allclose(z, [3, 3, -1])  # the last one is behind


def test_project_at_the_camera_plane_is_not_finite_and_silent() -> None:
    xy, z = project(INTRINSICS, POSE, np.array([[1.0, 0.0, -3.0]]))
    assert z.tolist() == [0]
    assert not np.isfinite(xy).all()


ONE = Cameras(INTRINSICS[None], POSE[None], (81, 101))


def test_pixels_of_points_by_hand() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.3, -0.6, 0.0], [0.3, -0.6, 3.0], [0.0, 0.0, -4.0], [0.0, 3.0, 0.0]])
    inside, row, column, z = pixels_of(ONE, 0, points)
    assert inside.tolist() == [True, True, True, False, False]  # the fourth is behind, the fifth below the picture
    assert row[inside].tolist() == [40, 20, 30]
    assert column[inside].tolist() == [50, 60, 55]
    np.testing.assert_allclose(z, [3, 3, 6, -1, 3])


def test_pixels_reach_half_a_pixel_around_their_centres() -> None:
    xy = [[-0.49, 0.0], [-0.51, 0.0], [100.49, 80.49], [100.51, 0.0], [0.0, 80.51], [0.0, -0.51], [7.4, 7.6]]
    inside, row, column, _ = pixels_of(ONE, 0, unproject(INTRINSICS, POSE, np.array(xy), np.full(len(xy), 2.0)))
    assert inside.tolist() == [True, False, True, False, False, False, True]
    assert row[inside].tolist() == [0, 80, 8]
    assert column[inside].tolist() == [0, 100, 7]


@pytest.mark.filterwarnings("error")
def test_no_pixel_holds_a_point_at_or_behind_the_camera_plane() -> None:
    points = np.array([[0.0, 0.0, -3.0], [1.0, 0.0, -3.0], [0.0, 0.0, -3.1], [1e6, 0.0, -2.999999], [-1e9, 1e9, 0.0]])
    assert not pixels_of(ONE, 0, points)[0].any()


def test_pixels_of_takes_the_camera_of_the_view() -> None:
    poses = np.stack([POSE, np.column_stack([np.diag([-1.0, 1.0, -1.0]), [0.0, 0.0, 3.0]])])
    cameras = Cameras(np.stack([INTRINSICS, INTRINSICS]), poses, (81, 101))
    point = np.array([[0.3, 0.0, 0.0]])
    assert [int(pixels_of(cameras, view, point)[2][0]) for view in (0, 1)] == [60, 40]


finite = st.floats(-1, 1, allow_nan=False, width=32)


@st.composite
def random_cameras(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    intrinsics = np.eye(3)
    intrinsics[0, 0], intrinsics[1, 1] = rng.uniform(200, 3000, 2)
    intrinsics[0, 1] = rng.uniform(-5, 5)
    intrinsics[:2, 2] = rng.uniform(-200, 2000, 2)
    rotation = Rotation.random(random_state=rng).as_matrix()
    return intrinsics, np.column_stack([rotation, rng.uniform(-5, 5, 3)])


@settings(max_examples=50, deadline=None)
@given(camera=random_cameras(), x=st.floats(-0.5, 1599.5), y=st.floats(-0.5, 1199.5), distance=st.floats(0.1, 20))
def test_points_on_a_ray_project_onto_its_pixel(
    camera: tuple[np.ndarray, np.ndarray], x: float, y: float, distance: float
) -> None:
    intrinsics, pose = camera
    origins, directions = cast(intrinsics, pose, [[x, y]])
    assert torch.linalg.vector_norm(directions, dim=-1).item() == pytest.approx(1, abs=1e-6)
    points = origins.double().numpy() + distance * directions.double().numpy()
    xy, z = project(intrinsics, pose, points)
    assert z[0] > 0
    # float32 origins of some units: 1e-6 of them, seen by up to 3,000 pixels from a distance of 0.1
    np.testing.assert_allclose(xy, [[x, y]], atol=2e-3 + 0.02 / distance)


@settings(max_examples=50, deadline=None)
@given(camera=random_cameras(), x=st.floats(-10, 1600), y=st.floats(-10, 1200), z=st.floats(0.1, 20))
def test_unproject_undoes_project(camera: tuple[np.ndarray, np.ndarray], x: float, y: float, z: float) -> None:
    points = unproject(*camera, np.array([[x, y]]), np.array([z]))
    xy, depth = project(*camera, points)
    np.testing.assert_allclose(xy, [[x, y]], atol=1e-6)
    np.testing.assert_allclose(depth, [z], rtol=1e-9)


def test_scale_intrinsics_keeps_the_corner() -> None:
    # A reduction by 4 makes pixels 0..3 one pixel: their middle, 1.5, becomes its centre, 0.
    scaled = scale_intrinsics(INTRINSICS, 0.25, 0.25)
    point = unproject(INTRINSICS, POSE, np.array([[1.5, 5.5]]), np.array([2.0]))
    np.testing.assert_allclose(project(scaled, POSE, point)[0], [[0, 1]], atol=1e-12)
    corner = unproject(INTRINSICS, POSE, np.array([[-0.5, -0.5]]), np.array([2.0]))
    np.testing.assert_allclose(project(scaled, POSE, corner)[0], [[-0.5, -0.5]], atol=1e-12)


def test_scale_intrinsics_of_many_and_by_one() -> None:
    many = np.stack([INTRINSICS, 2 * INTRINSICS])
    many[:, 2, 2] = 1
    assert (scale_intrinsics(many, 1, 1) == many).all()
    half = scale_intrinsics(many, 0.5, 1)
    assert half[1, 0].tolist() == [100, 0, 49.75]
    assert half[1, 1].tolist() == [0, 200, 80]


@pytest.mark.parametrize("factor", [0, -1, float("nan")])
def test_scale_intrinsics_refuses_factors_that_are_not_positive(factor: float) -> None:
    with pytest.raises(ValueError, match="positive resize factors"):
        scale_intrinsics(INTRINSICS, factor, 1)


def test_float32_rays_are_as_good_as_float64_ones() -> None:
    # A picture of 1600 x 1200 and a long focal length: the direction may be off by a hundredth of a pixel at most.
    intrinsics = np.array([[2892.3, 0.0, 823.2], [0.0, 2883.2, 619.1], [0.0, 0.0, 1.0]])
    rotation = Rotation.from_euler("xyz", [0.3, -0.7, 2.0]).as_matrix()
    pose = np.column_stack([rotation, [1.0, 2.0, -3.0]])
    xy = np.stack(np.meshgrid(np.linspace(0, 1599, 9), np.linspace(0, 1199, 9)), axis=-1).reshape(-1, 2)
    _, directions = cast(intrinsics, pose, xy)
    exact = np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(intrinsics).T @ rotation.T
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert np.abs(directions.numpy() - exact).max() * 2892 < 1e-2


@pytest.mark.parametrize("size", [(4, 6), (6, 4)])
def test_the_field_of_view_spans_the_longer_side(size: tuple[int, int]) -> None:
    intrinsics = intrinsics_from_fov(size, 90.0)
    # 6 pixels over 2 tan(45 degrees) = 2
    across, down = (size[1] - 1) / 2, (size[0] - 1) / 2
    np.testing.assert_allclose(intrinsics, [[3.0, 0.0, across], [0.0, 3.0, down], [0.0, 0.0, 1.0]], atol=1e-12)
    edge = 1 if size[0] > size[1] else 0
    corner = np.linalg.inv(intrinsics) @ [-0.5, -0.5, 1.0]
    assert corner[edge] == pytest.approx(-1.0)  # 45 degrees at the picture's edge


def test_a_wider_view_has_a_shorter_focal_length() -> None:
    assert intrinsics_from_fov((100, 100), 60.0)[0, 0] == pytest.approx(50 * np.sqrt(3))
    assert intrinsics_from_fov((100, 100), 120.0)[0, 0] == pytest.approx(50 / np.sqrt(3))


@pytest.mark.parametrize("degrees", [0.0, 1.0, 179.0, -60.0, float("nan")])
def test_a_field_of_view_out_of_range_is_refused(degrees: float) -> None:
    with pytest.raises(ValueError, match="between 1 and 179 degrees"):
        intrinsics_from_fov((4, 6), degrees)
    with pytest.raises(ValueError, match="positive picture size"):
        intrinsics_from_fov((0, 6), 60.0)
