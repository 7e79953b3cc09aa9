"""The depth that a scene holds."""

import numpy as np
import pytest

from nto3d.depth.base import Depth
from nto3d.depth.scene import SceneDepth
from nto3d.errors import InputError

INTRINSICS = np.array([[10.0, 0.0, 1.0], [0.0, 20.0, 0.0], [0.0, 0.0, 1.0]])
PICTURE = np.zeros((2, 3, 3), dtype=np.uint8)


def scene_depths() -> np.ndarray:
    depths = np.zeros((3, 2, 3), dtype=np.float32)
    depths[1] = [[0.5, 0.0, 1.0], [0.25, 2.0, 0.0]]
    depths[2] = 7.0
    return depths


def test_points_are_in_world_units() -> None:
    source: Depth = SceneDepth(scene_depths(), view=1, scale=40.0)
    found = source.point_map(PICTURE, INTRINSICS)
    # z = 40 normalized z; x = (column - 1) z / 10, y = row z / 20
    expected = [[[-2, 0, 20], [0, 0, 0], [4, 0, 40]], [[-1, 0.5, 10], [0, 4, 80], [0, 0, 0]]]
    np.testing.assert_allclose(found.points, expected, atol=1e-6)
    np.testing.assert_array_equal(found.valid, [[True, False, True], [True, True, False]])


def test_a_scene_without_the_depth_is_refused() -> None:
    with pytest.raises(InputError, match="expected depth maps in the scene's folder, there are none"):
        SceneDepth(None, view=0, scale=1.0)
    with pytest.raises(InputError, match="view 0, nothing is known there"):
        SceneDepth(scene_depths(), view=0, scale=1.0)
    for view in (3, -1):
        with pytest.raises(InputError, match=f"a view from 0 to 2, got {view}"):
            SceneDepth(scene_depths(), view=view, scale=1.0)


def test_another_picture_is_refused() -> None:
    source = SceneDepth(scene_depths(), view=2, scale=1.0)
    with pytest.raises(InputError, match="3 x 2 pixels like its depth map, got one of 2 x 3"):
        source.point_map(np.zeros((3, 2, 3), dtype=np.uint8), INTRINSICS)


def test_values_that_no_scene_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"depths \[V, H, W\]"):
        SceneDepth(scene_depths()[0], view=0, scale=1.0)
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive scale"):
            SceneDepth(scene_depths(), view=1, scale=scale)
