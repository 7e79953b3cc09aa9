"""What cameras around balls and walls see is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from nto3d.export.visibility import FACING, Visibility, count_views
from nto3d.training.checkpoint import load_checkpoint, save_checkpoint
from nto3d.types import BoolArray, Cameras, Mesh
from tests.helpers import look_at, ring_cameras

SIZE = (60, 80)


def ball(radius: float = 0.5, center: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(shape.vertices) + center, shape.faces.astype(np.int64))


def ring(views: int) -> Cameras:
    return Cameras(*ring_cameras(views, SIZE), SIZE)


def straight(distance: float = 3.0) -> Cameras:
    """One camera on the x axis that looks at the origin; a pixel is 1/20 wide there."""
    intrinsics = np.array([[[20 * distance, 0, 39.5], [0, 20 * distance, 29.5], [0, 0, 1]]])
    return Cameras(intrinsics, look_at(np.array([distance, 0.0, 0.0]))[None], SIZE)


def test_a_ball_is_seen_by_the_cameras_that_it_faces() -> None:
    mesh, cameras = ball(), ring(7)
    towards = cameras.centers[:, None] - mesh.vertices
    cosines = (towards / np.linalg.norm(towards, axis=2, keepdims=True) * mesh.vertices / 0.5).sum(axis=2)
    counts = count_views(mesh, Visibility(cameras))
    assert counts.dtype == np.uint16
    close_call = (np.abs(cosines - FACING) < 0.03).any(axis=0)
    expected = (cosines > FACING).sum(axis=0)
    assert expected.min() == 0
    assert close_call.mean() < 0.4
    np.testing.assert_array_equal(counts[~close_call], expected[~close_call])


def test_what_stands_before_a_surface_hides_it() -> None:
    far, near = ball(0.3, (-0.6, 0, 0)), ball(0.3, (0.6, 0, 0))
    both = Mesh(np.concatenate([far.vertices, near.vertices]), np.concatenate([far.faces, near.faces + 2562]))
    alone, counts = (count_views(mesh, Visibility(straight())) for mesh in (far, both))
    np.testing.assert_array_equal(counts[2562:], count_views(near, Visibility(straight())))
    assert alone.sum() > 900
    assert counts[:2562].sum() < 0.15 * alone.sum()  # a rim: the far ball looks smaller, but reaches out a little
    front = far.vertices[:, 0] > -0.4
    assert counts[:2562][front].sum() == 0


def test_nothing_beyond_the_camera_hides_a_surface() -> None:
    behind = ball(0.3, (5.0, 0, 0))
    both = Mesh(np.concatenate([ball().vertices, behind.vertices]), np.concatenate([ball().faces, behind.faces + 2562]))
    np.testing.assert_array_equal(
        count_views(both, Visibility(straight()))[:2562], count_views(ball(), Visibility(straight()))
    )


def masks(left: BoolArray | bool) -> BoolArray:
    shown = np.ones((1, *SIZE), dtype=np.bool_)
    shown[:, :, : SIZE[1] // 2] = left
    return shown


@pytest.mark.parametrize("way", ["outside the mask", "unknown"])
def test_a_pixel_that_does_not_show_the_target_does_not_count(way: str) -> None:
    """The picture's left half is y < 0 (the camera on +x looks to -x, z up)."""
    mesh, cameras = ball(), straight()
    if way == "unknown":
        visibility = Visibility.of(cameras, [0], masks(True), ~masks(False))
    else:
        visibility = Visibility.of(cameras, [0], masks(False))
    free, counts = count_views(mesh, Visibility(cameras)), count_views(mesh, visibility)
    y = mesh.vertices[:, 1]
    assert free[y < -0.1].sum() > 300
    assert counts[y < -0.1].sum() == 0
    np.testing.assert_array_equal(counts[y > 0.0], free[y > 0.0])


def test_a_vertex_outside_the_picture_is_not_seen() -> None:
    cameras = straight()
    shifted = cameras.intrinsics + np.array([[0, 0, 40], [0, 0, 0], [0, 0, 0]])  # the axis through the right border
    counts = count_views(ball(), Visibility(Cameras(shifted, cameras.cam_to_world, SIZE)))
    assert counts[ball().vertices[:, 1] > 0.03].sum() == 0
    assert counts[ball().vertices[:, 1] < -0.1].sum() > 300
    assert count_views(Mesh(np.zeros((2, 3)), np.zeros((0, 3), dtype=np.int64)), Visibility(cameras)).tolist() == [0, 0]


def test_only_the_chosen_views_count() -> None:
    cameras = ring(6)
    shown = np.random.default_rng(0).random((6, *SIZE)) > 0.3
    visibility = Visibility.of(cameras, (1, 4), shown, ~shown[::-1])
    assert visibility.shown is not None
    np.testing.assert_array_equal(visibility.shown, (shown & shown[::-1])[[1, 4]])
    np.testing.assert_array_equal(visibility.cameras.centers, cameras.centers[[1, 4]])
    with pytest.raises(ValueError, match=r"shown \[6, 60, 80\]"):
        Visibility(cameras, shown[:2])


@pytest.mark.parametrize("with_masks", [True, False])
def test_a_checkpoint_keeps_it(tmp_path: Path, with_masks: bool) -> None:
    shown = np.random.default_rng(0).random((5, *SIZE)) > 0.5 if with_masks else None
    visibility = Visibility(ring(5), shown)
    state = dict.fromkeys(("stage", "step", "model", "optimizer", "random", "config"), 0)
    save_checkpoint(tmp_path / "checkpoint.pt", {**state, "sight": visibility.state_dict()})
    again = Visibility.from_state(load_checkpoint(tmp_path / "checkpoint.pt")["sight"])
    assert again.cameras.size == SIZE
    np.testing.assert_array_equal(again.cameras.intrinsics, visibility.cameras.intrinsics)
    np.testing.assert_array_equal(again.cameras.cam_to_world, visibility.cameras.cam_to_world)
    assert (again.shown is None) == (shown is None)
    if shown is not None:
        assert again.shown is not None
        np.testing.assert_array_equal(again.shown, shown)
        blank = Visibility(ring(5), np.zeros_like(shown)).state_dict()["shown"]
        assert isinstance(blank, torch.Tensor)
        assert len(blank) < 100  # compressed


def test_a_view_that_shows_nothing_of_the_target_sees_nothing() -> None:
    """As where something hides all of it."""
    cameras, shown = ring(3), np.ones((3, *SIZE), dtype=bool)
    shown[1] = False
    others = Cameras(cameras.intrinsics[[0, 2]], cameras.cam_to_world[[0, 2]], SIZE)
    counts = count_views(ball(), Visibility(cameras, shown))
    assert counts.max() > 0
    np.testing.assert_array_equal(counts, count_views(ball(), Visibility(others)))
