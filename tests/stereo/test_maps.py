"""Depths and normals by PatchMatch stereo against those of surfaces that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nto3d.geometry.cameras import unproject
from nto3d.stereo.maps import StereoMaps, stereo_maps
from nto3d.types import BoolArray, Cameras, FloatArray
from tests.geometry.textured import DISTANCE, SIZE, Depth, ball_of, cameras_at, pictures, plane_at, true_depths
from tests.kernels.devices import needs_cuda

ANGLES = [-30.0, -15.0, 0.0, 15.0, 30.0]
PIXEL = 1 / (DISTANCE * 36.0 * np.tan(np.radians(15.0)))  # inverse depth of about a pixel of parallax


def slanted(tilt: float) -> Depth:
    """A plane through (0.1, 0, 0), its normal turned from +x towards +z by degrees."""
    normal = np.array([np.cos(np.radians(tilt)), 0.0, np.sin(np.radians(tilt))])
    return lambda center, directions: (normal[0] * 0.1 - center @ normal) / (directions @ normal)


def found(depth: Depth, angles: list[float] | None = None, **options: object) -> tuple[StereoMaps, FloatArray]:
    cameras = cameras_at(ANGLES if angles is None else angles)
    maps = stereo_maps(pictures(cameras, depth), cameras, range(len(cameras)), **options)  # type: ignore[arg-type]
    return maps, true_depths(cameras, depth)


def off_by_pixels(depths: FloatArray, truth: FloatArray) -> FloatArray:
    """Errors of the known depths, in pixels of parallax."""
    known = (depths > 0) & (truth > 0)
    return np.abs(1 / depths[known] - 1 / truth[known]) / PIXEL


def degrees_off(normals: FloatArray, true: FloatArray) -> FloatArray:
    return np.degrees(np.arccos((normals * true).sum(axis=-1).clip(-1, 1)))


@pytest.mark.parametrize("tilt", [0.0, 35.0, -50.0])
def test_depth_and_normal_of_a_slanted_plane(tilt: float) -> None:
    maps, truth = found(slanted(tilt))
    known = maps.depths[2] > 0
    assert known.mean() > 0.6
    assert np.median(off_by_pixels(maps.depths[2], truth[2])) < 0.1
    assert np.quantile(off_by_pixels(maps.depths[2], truth[2]), 0.99) < 0.5
    normal = np.array([np.cos(np.radians(tilt)), 0.0, np.sin(np.radians(tilt))])
    assert np.median(degrees_off(maps.normals[2][known], normal)) < 3.5  # of 108 pixels focal length
    np.testing.assert_allclose(np.linalg.norm(maps.normals[2][known], axis=1), 1.0, atol=1e-5)
    assert not maps.normals[2][~known].any()
    assert not maps.confidence[2][~known].any()
    assert maps.confidence[2][known].mean() > 0.3
    assert maps.confidence.max() <= 1.0


def test_points_and_normals_of_a_ball() -> None:
    maps, _ = found(ball_of(0.6), [float(angle) for angle in range(-45, 60, 15)])
    points, normals, _, confidence = maps.points()
    sure = confidence > 0.3
    assert sure.sum() > 2000
    radius = np.linalg.norm(points[sure], axis=1)
    assert np.quantile(np.abs(radius - 0.6), 0.9) < 0.02
    assert np.median(degrees_off(normals[sure], points[sure] / radius[:, None])) < 8.0


def test_the_number_of_threads_does_not_matter() -> None:
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(found(ball_of(0.6))[0])
    assert (results[0].depths > 0).any()
    for other in results[1:]:
        assert (results[0].depths == other.depths).all()
        assert (results[0].normals == other.normals).all()
        assert (results[0].confidence == other.confidence).all()


def test_fine_pictures_are_solved_coarse_to_fine_and_reduced_to_the_budget() -> None:
    cameras = cameras_at([-15.0, 0.0, 15.0], (160, 200), 72.0)
    images = pictures(cameras, plane_at(0.1), wave=(0.08, 0.3))
    fine, small = (stereo_maps(images, cameras, range(3), pixels=pixels) for pixels in (96_000, 24_000))
    assert fine.cameras.size == (160, 200)
    assert small.cameras.size == (80, 100)
    for maps in (fine, small):
        truth = true_depths(maps.cameras, plane_at(0.1))
        assert (maps.depths[1] > 0).mean() > 0.5
        assert np.median(off_by_pixels(maps.depths[1], truth[1])) < 0.1


def test_only_the_given_views_are_used_in_their_order() -> None:
    cameras = cameras_at(ANGLES)
    images = pictures(cameras, plane_at(0.1))
    some = stereo_maps(images, cameras, [3, 1, 2])
    part = Cameras(cameras.intrinsics[[3, 1, 2]], cameras.cam_to_world[[3, 1, 2]], SIZE)
    alone = stereo_maps(images[[3, 1, 2]], part, range(3))
    assert (some.depths == alone.depths).all()
    assert (some.cameras.cam_to_world == cameras.cam_to_world[[3, 1, 2]]).all()
    assert (some.depths > 0).any()


def left_half(views: int) -> BoolArray:
    masks = np.zeros((views, *SIZE), dtype=bool)
    masks[:, :, : SIZE[1] // 2] = True
    return masks


def test_only_masks_are_looked_at() -> None:
    masks = left_half(5)
    unknown = np.zeros_like(masks)
    unknown[:, :20] = True
    maps, truth = found(plane_at(0.1), masks=masks, unknown=unknown)
    assert not maps.depths[~masks | unknown].any()
    assert (maps.depths[2] > 0)[masks[2] & ~unknown[2]].mean() > 0.6
    assert np.median(off_by_pixels(maps.depths[2], truth[2])) < 0.1
    masks[1:] = False  # views that do not show the target are no sources
    assert not found(plane_at(0.1), masks=masks)[0].depths.any()


def test_pictures_that_say_nothing_have_no_depth() -> None:
    cameras = cameras_at(ANGLES)
    even = np.full((5, *SIZE, 3), 90, dtype=np.uint8)
    assert not stereo_maps(even, cameras, range(5)).depths.any()
    noise = np.random.default_rng(0).integers(89, 92, size=(5, *SIZE, 1)).astype(np.uint8)  # deviation 0.8
    assert not stereo_maps(np.repeat(noise, 3, axis=3), cameras, range(5)).depths.any()


def test_noise_that_no_view_shares_has_almost_no_depth() -> None:
    cameras = cameras_at(ANGLES)
    noise = np.random.default_rng(0).integers(0, 256, size=(5, *SIZE, 1)).astype(np.uint8)
    assert (stereo_maps(np.repeat(noise, 3, axis=3), cameras, range(5)).depths > 0).mean() < 0.001


def test_what_only_one_view_sees_is_dropped() -> None:
    cameras = cameras_at(ANGLES)
    images = pictures(cameras, plane_at(0.1))
    images[2, 20:60, 30:70] = np.random.default_rng(1).integers(0, 256, size=(40, 40, 1))  # something close to it
    maps = stereo_maps(images, cameras, range(5))
    assert (maps.depths[2, 24:56, 34:66] > 0).mean() < 0.01
    assert (maps.depths[2, :, 75:95] > 0).mean() > 0.6
    # The others do not see it there, and know what lies behind it: each has a neighbour that is not hidden
    behind = maps.depths[1]
    assert (behind > 0).mean() > 0.6
    assert np.quantile(off_by_pixels(behind, true_depths(cameras, plane_at(0.1))[1]), 0.99) < 0.5


@pytest.mark.parametrize("lonely", [63.0, 180.0, 16.0])
def test_views_without_neighbours_know_none(lonely: float) -> None:
    # Farther than 45 degrees from all others, or (at 16 and 15 degrees) nearer than 5 and otherwise alone.
    angles = [15.0, lonely] if lonely == 16.0 else [0.0, 15.0, lonely]
    maps, _ = found(plane_at(0.1), angles)
    assert not maps.depths[-1].any()
    assert (maps.depths[0] > 0).any() == (lonely != 16.0)


def test_two_views_suffice() -> None:
    maps, truth = found(plane_at(0.1), [0.0, 15.0])
    assert (maps.depths[0] > 0).mean() > 0.4
    assert np.quantile(off_by_pixels(maps.depths[0], truth[0]), 0.95) < 0.5


def test_what_lies_behind_the_unit_sphere_is_found_if_asked() -> None:
    cameras = cameras_at(ANGLES)
    images, truth = pictures(cameras, plane_at(-3.0), wave=(0.3, 0.8)), true_depths(cameras, plane_at(-3.0))
    near, far = stereo_maps(images, cameras, range(5)), stereo_maps(images, cameras, range(5), beyond=True)
    assert near.depths.max() < 1.02 * (DISTANCE + 1)
    assert (far.depths > 0).mean() > 0.5
    assert (near.depths > 0).mean() < 0.1 * (far.depths > 0).mean()
    assert np.quantile(off_by_pixels(far.depths[2], truth[2]), 0.95) < 0.5


def test_points_lie_where_the_maps_say() -> None:
    maps, _ = found(plane_at(0.1))
    points, normals, towards, confidence = maps.points()
    row, column = np.argwhere(maps.depths[0] > 0)[0]
    xy, z = np.array([column, row], dtype=float), maps.depths[0, row, column]
    expected = unproject(maps.cameras.intrinsics[0], maps.cameras.cam_to_world[0], xy, z)
    np.testing.assert_allclose(points[0], expected, atol=1e-5)
    way = maps.cameras.centers[0] - points[0]
    np.testing.assert_allclose(towards[0], way / np.linalg.norm(way), atol=1e-5)
    assert (normals[0] == maps.normals[0, row, column]).all()
    assert confidence[0] == maps.confidence[0, row, column]
    assert len(points) == len(normals) == len(towards) == len(confidence) == (maps.depths > 0).sum()


@pytest.mark.gpu
@needs_cuda
def test_cuda_finds_the_same_surface() -> None:
    maps, truth = found(slanted(35.0), device=torch.device("cuda"))
    own = found(slanted(35.0))[0]
    assert np.quantile(off_by_pixels(maps.depths[2], truth[2]), 0.99) < 0.5
    both = (maps.depths > 0) & (own.depths > 0)
    assert both.mean() > 0.9 * (own.depths > 0).mean()
    assert np.median(off_by_pixels(maps.depths, own.depths)) < 0.02
