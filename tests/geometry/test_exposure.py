"""Exposures against those that were put into pictures of a ball whose depths are known."""

from __future__ import annotations

import numpy as np

from nto3d.build.exposure import estimate_exposures
from nto3d.geometry.carving import DepthMaps
from nto3d.geometry.exposure import Exposures, shared_colors, solve_exposures
from nto3d.types import ByteArray, FloatArray
from tests.geometry.textured import ball_of, cameras_at, pictures, true_depths

VIEWS = 12
TRAIN = tuple(view for view in range(VIEWS) if view % 4)
CAMERAS = cameras_at([30.0 * view for view in range(VIEWS)])
BALL = ball_of(0.8)
MAPS = DepthMaps(CAMERAS, true_depths(CAMERAS, BALL).astype(np.float32))
PLAIN = pictures(CAMERAS, BALL)


def exposed(gain: FloatArray, offset: FloatArray) -> ByteArray:
    """The pictures with gain and offset [V, 3], clipped."""
    values = PLAIN * gain[:, None, None] + 255.0 * offset[:, None, None]
    clipped: ByteArray = np.rint(values).clip(0, 255).astype(np.uint8)
    return clipped


def drawn(seed: int = 5) -> tuple[FloatArray, FloatArray]:
    """Gains and offsets [V, 3] as a capture with automatic exposure and white balance may have them."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.7, 1.4, (VIEWS, 3)), rng.uniform(-0.05, 0.05, (VIEWS, 3))


def solved(images: ByteArray) -> Exposures:
    return solve_exposures(shared_colors(images, CAMERAS, MAPS), VIEWS, TRAIN)


def test_gains_and_offsets_are_found_up_to_the_gauge() -> None:
    gain, offset = drawn()
    found = solved(exposed(gain, offset))
    assert found.differ
    # true = found after another appearance p L + q: one p and one q a channel
    ratio = gain / found.gain
    np.testing.assert_allclose(ratio / ratio.mean(axis=0), 1.0, atol=0.03)
    shift = (offset - found.offset) / found.gain
    np.testing.assert_allclose(shift - shift.mean(axis=0), 0.0, atol=0.015)


def test_the_mean_over_the_training_views_is_identity() -> None:
    found = solved(exposed(*drawn()))
    train = list(TRAIN)
    np.testing.assert_allclose(np.log(found.gain[train]).mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.offset[train].mean(axis=0), 0.0, atol=1e-12)


def test_highlights_that_move_with_the_camera_do_not_matter() -> None:
    gain, offset = drawn()
    images = exposed(gain, offset)
    images[:, 36:44, 46:54] = 240  # in the middle of every picture, whatever is there
    found = solved(images)
    ratio = gain / found.gain
    np.testing.assert_allclose(ratio / ratio.mean(axis=0), 1.0, atol=0.06)


def test_equal_exposures_are_left_alone() -> None:
    found = solved(PLAIN)
    assert not found.differ
    assert found.difference < 0.01
    np.testing.assert_allclose(found.gain, 1.0, atol=0.02)
    np.testing.assert_allclose(found.offset, 0.0, atol=0.01)


def test_views_without_neighbours_are_left_alone() -> None:
    found = solve_exposures({(0, 1): (np.ones((3, 3)), np.ones((3, 3)))}, 4, (0, 1, 2))  # three places are too few
    np.testing.assert_array_equal(found.gain, 1.0)
    np.testing.assert_array_equal(found.offset, 0.0)
    assert not found.differ


def test_from_pictures_alone() -> None:
    cameras = cameras_at([15.0 * view - 45.0 for view in range(7)])
    images = pictures(cameras, BALL)
    gain = np.array([0.7, 1.3, 0.9, 1.2, 0.75, 1.1, 0.8])
    altered = np.rint(images * gain[:, None, None, None]).clip(0, 255).astype(np.uint8)
    found = estimate_exposures(altered, cameras, range(7))
    assert found.differ
    ratio = gain[:, None] / found.gain
    np.testing.assert_allclose(ratio / ratio.mean(axis=0), 1.0, atol=0.1)
    assert not estimate_exposures(images, cameras, range(7)).differ
    again = estimate_exposures(altered, cameras, range(7))
    np.testing.assert_array_equal(again.gain, found.gain)


def test_differences_that_no_exposure_explains_are_not_exposures() -> None:
    rng = np.random.default_rng(2)
    shared = rng.uniform(0.2, 0.5, (400, 3))
    darker = {(0, 1): (shared, 0.6 * shared + 0.02), (1, 2): (0.6 * shared + 0.02, shared)}
    assert solve_exposures(darker, 3, (0, 1, 2)).differ
    other = {(0, 1): (shared, rng.uniform(0.1, 0.3, (400, 3))), (1, 2): (rng.uniform(0.1, 0.3, (400, 3)), shared)}
    found = solve_exposures(other, 3, (0, 1, 2))
    assert found.left > 0.3
    assert not found.differ
