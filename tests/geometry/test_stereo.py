"""Depths by plane sweeping against those of surfaces that are known."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from nto3d.geometry import stereo
from nto3d.geometry.cameras import project, unproject
from nto3d.geometry.stereo import PIXELS_PER_UNIT, PLANES, DepthMaps, depth_maps
from nto3d.types import Cameras, FloatArray
from tests.geometry.textured import DISTANCE, SIZE, ball_of, cameras_at, pictures, plane_at, true_depths

ANGLES = [-30.0, -15.0, 0.0, 15.0, 30.0]
# Planes through the unit sphere are equally spaced in 1 / z; from one to the next z changes by z^2 times the spacing.
SPACING = (1 / (DISTANCE - 1) - 1 / (DISTANCE + 1)) / (PLANES - 1)


def off_by_planes(depths: FloatArray, truth: FloatArray) -> FloatArray:
    """Errors of the known depths, in planes of the sweep."""
    known = (depths > 0) & (truth > 0)
    return np.abs(1 / depths[known] - 1 / truth[known]) / SPACING


def swept(angles: list[float] | None = None, x: float = 0.1) -> tuple[DepthMaps, FloatArray]:
    """Maps of a textured plane that stands across the view of the camera at 0 degrees, and its depths."""
    cameras = cameras_at(ANGLES if angles is None else angles)
    maps = depth_maps(pictures(cameras, plane_at(x)), cameras, range(len(cameras)))
    return maps, true_depths(cameras, plane_at(x))


def test_depths_of_a_plane() -> None:
    maps, truth = swept()
    assert maps.depths.dtype == np.float32
    assert maps.depths.shape == truth.shape
    np.testing.assert_allclose(truth[2], DISTANCE - 0.1)  # the camera in the middle looks at it squarely
    assert (maps.depths[2] > 0).mean() > 0.8
    # One plane is 0.2 pixels of parallax at 17 degrees (36 px / unit * 3 units * 0.9 units * SPACING).
    assert np.quantile(off_by_planes(maps.depths[2], truth[2]), 0.99) < 1.0
    for depths, right in zip(maps.depths, truth, strict=True):  # the others see it aslant, by up to 30 degrees
        assert (depths > 0).mean() > 0.5
        assert np.quantile(off_by_planes(depths, right), 0.95) < 2.0


def test_depths_of_a_ball() -> None:
    cameras = cameras_at([float(angle) for angle in range(-45, 60, 15)])
    truth = true_depths(cameras, ball_of(0.6))
    maps = depth_maps(pictures(cameras, ball_of(0.6)), cameras, range(len(cameras)))
    window = np.ones(stereo.WINDOW, np.uint8)
    for depths, right in zip(maps.depths[2:-2], truth[2:-2], strict=True):
        ball = right > 0
        assert (depths > 0)[ball].mean() > 0.5
        # A window has one depth, and the ball within it many: what is found lies between them, give or take one plane.
        whole = (cv2.erode(ball.astype(np.uint8), window) > 0) & (depths > 0)
        slack = right**2 * SPACING
        fits = (depths > cv2.erode(right, window) - slack) & (depths < cv2.dilate(right, window) + slack)
        assert fits[whole].mean() > 0.97
        assert np.median(off_by_planes(depths, right)) < 1.0
        touched = cv2.dilate(ball.astype(np.uint8), window) > 0
        assert not (depths > 0)[~touched].any()  # the even background says nothing where no window touches the ball


def test_fine_pictures_are_reduced() -> None:
    # A picture of 144 pixels per unit becomes one of 72.
    cameras = cameras_at([-15.0, 0.0, 15.0], (160, 200), 2 * PIXELS_PER_UNIT)
    maps = depth_maps(pictures(cameras, plane_at(0.1), wave=(0.08, 0.3)), cameras, range(3))
    assert maps.cameras.size == (80, 100)
    assert maps.depths.shape == (3, 80, 100)
    np.testing.assert_allclose(maps.cameras.intrinsics[0, 0, 0], DISTANCE * PIXELS_PER_UNIT)
    truth = true_depths(maps.cameras, plane_at(0.1))
    assert (maps.depths[1] > 0).mean() > 0.5
    assert np.quantile(off_by_planes(maps.depths[1], truth[1]), 0.99) < 1.0


def test_only_the_given_views_are_used_in_their_order() -> None:
    cameras = cameras_at(ANGLES)
    images = pictures(cameras, plane_at(0.1))
    some = depth_maps(images, cameras, [3, 1, 2])
    part = Cameras(cameras.intrinsics[[3, 1, 2]], cameras.cam_to_world[[3, 1, 2]], SIZE)
    alone = depth_maps(images[[3, 1, 2]], part, range(3))
    assert (some.depths == alone.depths).all()
    assert (some.cameras.cam_to_world == cameras.cam_to_world[[3, 1, 2]]).all()
    assert (some.depths > 0).any()


def test_flat_pictures_have_no_depth() -> None:
    cameras = cameras_at(ANGLES)
    even = np.full((5, *SIZE, 3), 90, dtype=np.uint8)
    assert not depth_maps(even, cameras, range(5)).depths.any()
    noise = np.random.default_rng(0).integers(89, 92, size=(5, *SIZE, 1)).astype(np.uint8)  # deviation 0.8
    assert not depth_maps(np.repeat(noise, 3, axis=3), cameras, range(5)).depths.any()


def test_a_texture_too_weak_to_trust_has_no_depth() -> None:
    cameras = cameras_at(ANGLES)
    strong = pictures(cameras, plane_at(0.1))
    weak = np.where(strong > 128, 129, 127).astype(np.uint8)  # no window deviates by more than 1
    assert not depth_maps(weak, cameras, range(5)).depths.any()
    assert depth_maps(np.where(strong > 128, 132, 124).astype(np.uint8), cameras, range(5)).depths.any()


def test_noise_that_no_view_shares_has_almost_no_depth() -> None:
    cameras = cameras_at(ANGLES)
    noise = np.random.default_rng(0).integers(0, 256, size=(5, *SIZE, 1)).astype(np.uint8)
    maps = depth_maps(np.repeat(noise, 3, axis=3), cameras, range(5))
    assert (maps.depths > 0).mean() < 0.001


@pytest.mark.parametrize("lonely", [63.0, 180.0, 16.0])
def test_views_without_neighbours_know_none(lonely: float) -> None:
    # Farther than 45 degrees from all others, or (at 16 and 15 degrees) nearer than 5 and otherwise alone.
    angles = [15.0, lonely] if lonely == 16.0 else [0.0, 15.0, lonely]
    maps, _ = swept(angles)
    assert not maps.depths[-1].any()
    assert (maps.depths[0] > 0).any() == (lonely != 16.0)


def test_neighbours_are_those_with_good_parallax() -> None:
    cameras = cameras_at([0.0, 3.0, 8.0, 16.0, 20.0, -17.0, 40.0, 50.0])
    assert stereo._neighbours(cameras, 0) == [5, 3, 4, 2]  # 17, 16, 20, then 8 before 40 degrees
    assert stereo._neighbours(cameras_at([0.0, 44.0, 46.0, 4.0, 6.0]), 0) == [1, 4]


def test_two_views_suffice() -> None:
    maps, truth = swept([0.0, 15.0])
    assert (maps.depths[0] > 0).mean() > 0.5
    assert np.quantile(off_by_planes(maps.depths[0], truth[0]), 0.95) < 1.0


def test_what_lies_behind_the_unit_sphere_is_found_if_asked() -> None:
    cameras = cameras_at(ANGLES)
    images, truth = pictures(cameras, plane_at(-3.0), wave=(0.3, 0.8)), true_depths(cameras, plane_at(-3.0))
    assert truth[2].min() > DISTANCE + 2
    near, far = depth_maps(images, cameras, range(5)), depth_maps(images, cameras, range(5), beyond=True)
    assert near.depths.max() <= DISTANCE + 1
    assert (far.depths > 0).mean() > 0.5
    assert (near.depths > 0).mean() < 0.2 * (far.depths > 0).mean()  # what is left agrees by chance
    assert np.quantile(off_by_planes(far.depths[2], truth[2]), 0.95) < 2.0  # the planes are half as dense there


def test_looking_beyond_keeps_what_lies_in_the_sphere() -> None:
    cameras = cameras_at(ANGLES)
    images = pictures(cameras, plane_at(0.1))
    near, far = depth_maps(images, cameras, range(5)), depth_maps(images, cameras, range(5), beyond=True)
    both = (near.depths > 0) & (far.depths > 0)
    assert both.mean() > 0.5
    assert (near.depths == far.depths)[both].mean() > 0.99


def test_planes_run_from_the_front_of_the_sphere_to_its_back() -> None:
    cameras = cameras_at([0.0])
    inverse = stereo._planes(cameras, 0, beyond=False)
    assert len(inverse) == PLANES
    np.testing.assert_allclose(1 / inverse[[0, -1]], [DISTANCE - 1, DISTANCE + 1])
    np.testing.assert_allclose(np.diff(inverse), -SPACING)
    on = stereo._planes(cameras, 0, beyond=True)
    assert (on[:PLANES] == inverse).all()
    np.testing.assert_allclose(np.diff(on[PLANES - 1 :]), -2 * SPACING)
    assert 0 < on[-1] < 0.01  # a hundred units away and more


@pytest.mark.parametrize("depth", [0.7, 2.5, 30.0])
def test_homography_agrees_with_projection(depth: float) -> None:
    cameras = cameras_at([0.0, 25.0])
    intrinsics = cameras.intrinsics.copy()
    intrinsics[0, 0, 1], intrinsics[1, 0, 1], intrinsics[1, 0, 0] = 4.0, -3.0, 150.0
    poses = cameras.cam_to_world.copy()
    poses[1, :, 3] += [0.1, -0.2, 0.3]
    cameras = Cameras(intrinsics, poses, SIZE)
    xy = np.stack(np.meshgrid(np.linspace(0, 99, 5), np.linspace(0, 79, 4)), axis=-1).reshape(-1, 2)
    points = unproject(intrinsics[0], poses[0], xy, np.full(len(xy), depth))
    expected, _ = project(intrinsics[1], poses[1], points)
    warped = np.column_stack([xy, np.ones(len(xy))]) @ stereo._homography(cameras, 0, 1, depth).T
    np.testing.assert_allclose(warped[:, :2] / warped[:, 2:], expected, atol=1e-8 * np.abs(expected).max())


def exact() -> tuple[list[FloatArray], Cameras]:
    """True depths of the plane as if they had been found, and the cameras."""
    cameras = cameras_at([0.0, 15.0, -15.0])
    return [depth.astype(np.float32) for depth in true_depths(cameras, plane_at(0.1))], cameras


def seen_by(cameras: Cameras, depths: list[FloatArray], other: int) -> np.ndarray:
    """Pixels [h, w] of view 0 whose point another view's picture holds well inside."""
    rows, columns = np.indices(SIZE)
    xy = np.stack([columns, rows], axis=-1).astype(float)
    points = unproject(cameras.intrinsics[0], cameras.cam_to_world[0], xy, depths[0])
    x, y = np.moveaxis(project(cameras.intrinsics[other], cameras.cam_to_world[other], points)[0], -1, 0)
    return (x > 0) & (x < SIZE[1] - 1) & (y > 0) & (y < SIZE[0] - 1)


def test_depths_that_two_neighbours_share_are_kept() -> None:
    depths, cameras = exact()
    kept = stereo._confirmed(depths, cameras, [[1, 2], [0], [0]], 0)
    both = seen_by(cameras, depths, 1) & seen_by(cameras, depths, 2)
    assert both.mean() > 0.5
    assert (kept[both] == depths[0][both]).all()
    kept = stereo._confirmed([depths[0], depths[1], np.zeros_like(depths[2])], cameras, [[1, 2], [0], [0]], 0)
    assert not kept.any()  # one of two is not enough
    kept = stereo._confirmed([depths[0], depths[1], np.zeros_like(depths[2])], cameras, [[1], [0], []], 0)
    assert (kept[both] == depths[0][both]).all()  # the only one is


@pytest.mark.parametrize("view", [0, 1])
def test_depths_that_differ_are_dropped(view: int) -> None:
    depths, cameras = exact()
    depths[view] = depths[view] + np.float32(3 * stereo.SAME)
    assert not stereo._confirmed(depths, cameras, [[1, 2], [0], [0]], 0).any()


def test_the_result_depends_on_the_input_only(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = cameras_at(ANGLES)
    images, before = pictures(cameras, ball_of(0.6)), cv2.getNumThreads()
    cv2.setNumThreads(3)
    results = []
    for cores in (1, 3, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        results.append(depth_maps(images, cameras, range(5)).depths)
    assert (results[0] > 0).any()
    assert (results[0] == results[1]).all()
    assert (results[1] == results[2]).all()
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)
