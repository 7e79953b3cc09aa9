"""The plane that things stand on."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.stages.whole.support import Support, find_support
from nto3d.types import FloatArray

CAMERAS = np.array([[2.0, 0.0, 1.5], [0.0, 2.0, 2.0], [-2.0, 0.5, 1.0]])
TILT = np.array([[1.0, 0.0, 0.0], [0.0, 0.8, -0.6], [0.0, 0.6, 0.8]])  # a turn by 37 degrees


def patch(
    normal: list[float], middle: list[float], half: float, count: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Points of a square and their normals."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.svd(np.array([normal]))[2][1:]
    points = np.array(middle) + rng.uniform(-half, half, (count, 2)) @ axes + rng.normal(0, 0.002, (count, 3))
    return points, np.repeat([normal], count, axis=0)


def house() -> tuple[FloatArray, FloatArray]:
    """Ground at z = -0.5, a wall and a flat roof with more points than the ground."""
    parts = [
        patch([0, 0, 1], [0.0, 0.0, -0.5], 0.8, 500, 0),
        patch([0, 0, 1], [-0.3, 0.0, 0.3], 0.3, 1500, 1),
        patch([1, 0, 0], [0.0, 0.0, -0.1], 0.4, 1500, 2),
    ]
    return np.concatenate([points for points, _ in parts]), np.concatenate([normals for _, normals in parts])


def everywhere(points: FloatArray) -> np.ndarray:
    return np.ones(len(points), dtype=bool)


@pytest.mark.parametrize("turn", [np.eye(3), TILT])
def test_the_ground_is_found_below_larger_planes(turn: FloatArray) -> None:
    points, normals = house()
    plane = find_support(points @ turn.T, normals @ turn.T, CAMERAS @ turn.T, everywhere(points))
    assert plane is not None
    assert plane.normal @ (turn @ [0.0, 0.0, 1.0]) > 0.9999
    assert plane.offset == pytest.approx(-0.5, abs=0.002)
    assert plane.height(turn @ np.array([0.3, -0.2, 0.25])) == pytest.approx(0.75, abs=0.005)


def test_a_wall_or_roof_alone_is_no_support() -> None:
    points, normals = house()
    assert find_support(points[500:], normals[500:], CAMERAS, everywhere(points[500:])) is None


def test_a_camera_below_speaks_against_a_plane() -> None:
    points, normals = house()
    cameras = np.concatenate([CAMERAS, [[0.0, 2.0, -1.0]]])
    assert find_support(points, normals, cameras, everywhere(points)) is None


def test_only_certain_points_speak_against_a_plane() -> None:
    points, normals = house()
    low, down = patch([0, 0, -1], [0.0, 0.0, -0.8], 0.3, 200, 3)
    points, normals = np.concatenate([points, low]), np.concatenate([normals, down])
    certain = everywhere(points)
    assert find_support(points, normals, CAMERAS, certain) is None
    certain[-200:] = False
    plane = find_support(points, normals, CAMERAS, certain)
    assert plane is not None
    assert plane.offset == pytest.approx(-0.5, abs=0.002)


def test_a_few_wrong_points_below_are_forgiven() -> None:
    points, normals = house()
    points[:30, 2] -= 0.3  # less than a hundredth
    assert find_support(points, normals, CAMERAS, everywhere(points)) is not None


def test_nothing_seen_is_no_support() -> None:
    nothing = np.zeros((0, 3))
    assert find_support(nothing, nothing, CAMERAS, np.zeros(0, dtype=bool)) is None


def test_the_same_seed_gives_the_same_plane() -> None:
    points, normals = house()
    first, second = (find_support(points, normals, CAMERAS, everywhere(points), seed=4) for _ in range(2))
    assert isinstance(first, Support)
    assert isinstance(second, Support)
    assert (first.normal == second.normal).all()
    assert first.offset == second.offset
