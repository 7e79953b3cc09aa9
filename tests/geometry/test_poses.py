from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nto3d.geometry.cameras import project
from nto3d.geometry.poses import (
    Similarity,
    decompose_projection,
    normalize_cameras,
    pose_from_projection,
    split_similarity,
)

QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # about z: x becomes y


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    factor=st.floats(1e-3, 1e3).flatmap(lambda size: st.sampled_from([size, -size])),
    square=st.booleans(),
)
def test_decompose_gives_back_what_was_composed(seed: int, factor: float, square: bool) -> None:
    rng = np.random.default_rng(seed)
    intrinsics = np.array([[rng.uniform(50, 5000), rng.uniform(-9, 9), rng.uniform(-100, 2000)], [0, 0, 0], [0, 0, 1]])
    intrinsics[1, 1:] = rng.uniform(50, 5000), rng.uniform(-100, 2000)
    rotation = Rotation.random(random_state=rng).as_matrix()
    translation = rng.uniform(-1000, 1000, 3)
    projection = factor * intrinsics @ np.column_stack([rotation, translation])
    if square:
        projection = np.vstack([projection, [0, 0, 0, 1]])
    got_intrinsics, got_rotation, got_translation = decompose_projection(projection)
    np.testing.assert_allclose(got_intrinsics, intrinsics, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got_rotation, rotation, atol=1e-8)
    np.testing.assert_allclose(got_translation, translation, rtol=1e-6, atol=1e-6)


def test_decompose_by_hand() -> None:
    # Focal length 2 at x = 5, looking along +z: P X = K (X - C).
    intrinsics = np.diag([2.0, 2.0, 1.0])
    projection = intrinsics @ np.column_stack([np.eye(3), [-5.0, 0.0, 0.0]])
    got_intrinsics, pose = pose_from_projection(-3 * projection)
    np.testing.assert_allclose(got_intrinsics, intrinsics, atol=1e-12)
    np.testing.assert_allclose(pose, [[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (np.zeros((3, 4)), "singular"),
        (np.ones((4, 4)), "singular"),
        (np.full((3, 4), np.nan), "finite"),
        (np.where(np.eye(3, 4) > 0, np.inf, 0), "finite"),
        (np.eye(3), r"\[3, 4\] or \[4, 4\]"),
    ],
)
def test_decompose_refuses(projection: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decompose_projection(projection)


def test_split_similarity_by_hand() -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = 2.0 * QUARTER_TURN
    matrix[:3, 3] = 1, 2, 3
    similarity = split_similarity(matrix)
    assert similarity.scale == pytest.approx(2)
    np.testing.assert_allclose(similarity.rotation, QUARTER_TURN, atol=1e-12)
    np.testing.assert_allclose(similarity.matrix, matrix, atol=1e-12)
    np.testing.assert_allclose(similarity.apply(np.array([[1.0, 0.0, 0.0]])), [[1, 4, 3]], atol=1e-12)
    np.testing.assert_allclose(similarity.inverse().matrix, np.linalg.inv(matrix), atol=1e-12)
    np.testing.assert_allclose(similarity.inverse().apply(np.array([1.0, 4.0, 3.0])), [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([2.0, 2.0, 3.0, 1.0]), "uniform scale"),
        (np.eye(4) + 0.1 * np.eye(4, k=1), "uniform scale|last row"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "mirrored"),
        (np.diag([0.0, 0.0, 0.0, 1.0]), "singular"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "singular"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
        (np.diag([1.0, 1.0, np.nan, 1.0]), "finite"),
        (np.eye(3), "shape"),
    ],
)
def test_split_similarity_refuses(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_similarity(matrix)


def test_poses_move_with_the_frame() -> None:
    similarity = Similarity(2.0, QUARTER_TURN, np.array([1.0, 0.0, 0.0]))
    pose = np.column_stack([np.eye(3), [3.0, 0.0, 0.0]])
    moved = similarity.apply_to_poses(pose)
    np.testing.assert_allclose(moved, np.column_stack([QUARTER_TURN, [1.0, 6.0, 0.0]]))


def test_normalized_cameras_see_what_the_world_matrices_say() -> None:
    rng = np.random.default_rng(0)
    scale_mat = np.eye(4)
    scale_mat[:3, :3] = 150.0 * Rotation.from_euler("xyz", [0.2, -0.4, 1.0]).as_matrix()
    scale_mat[:3, 3] = -20.0, 30.0, 600.0
    intrinsics = np.array([[1400.0, 0.0, 410.0], [0.0, 1390.0, 300.0], [0.0, 0.0, 1.0]])
    world_mats = []
    for _ in range(3):
        world_mat = np.eye(4)
        rotation = Rotation.from_rotvec(rng.normal(scale=0.1, size=3)).as_matrix()
        world_mat[:3] = intrinsics @ np.column_stack([rotation, rng.normal(scale=20, size=3)])
        world_mats.append(world_mat)
    normalized_intrinsics, poses = normalize_cameras(world_mats, scale_mat)
    points = rng.uniform(-0.5, 0.5, (20, 3))
    world = points @ scale_mat[:3, :3].T + scale_mat[:3, 3]
    for view, world_mat in enumerate(world_mats):
        homogeneous = np.column_stack([world, np.ones(20)]) @ world_mat[:3].T
        xy, z = project(normalized_intrinsics[view], poses[view], points)
        np.testing.assert_allclose(xy, homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-6)
        np.testing.assert_allclose(z * 150, homogeneous[:, 2], rtol=1e-9)  # depths are in normalized units


def test_normalize_cameras_names_the_camera() -> None:
    with pytest.raises(ValueError, match=r"camera 1: .*singular"):
        normalize_cameras([np.eye(4), np.zeros((4, 4))], np.eye(4))
