"""Endless objects: a ball that can be worked out by hand, and what holds for every seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nto3d.config.single import FIRST_HELD_OUT
from nto3d.data.object_views import ObjectViews
from nto3d.data.synthetic.endless import _sampled, random_object, render_views
from nto3d.data.synthetic.solids import shapes
from nto3d.data.synthetic.solids.families import FAMILIES
from nto3d.data.synthetic.solids.objects import Item
from nto3d.data.synthetic.solids.textures import Material, Pattern
from nto3d.geometry.cameras import project

SIZE = (48, 64)  # height, width
GREY = Material(Pattern.clouds, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 20.0, 0.0, 20.0, 0.0, 0.0)
BALL = Item("ball", shapes.ball((100.0, -50.0, 20.0), 30.0), (66.0, -84.0, -14.0), (134.0, -16.0, 54.0), GREY)


@pytest.fixture(scope="module")
def ball() -> ObjectViews:
    """In its own frame the unit sphere."""
    return render_views(BALL, 3, 2, SIZE, cells=40, points=5000)


@pytest.fixture(scope="module")
def jar() -> ObjectViews:
    return render_views(random_object(0), 0, 2, (96, 96))


def rays(views: ObjectViews, view: int) -> NDArray[np.float64]:
    """Directions [H, W, 3] through the pixels, object's frame, z in the camera's frame 1."""
    intrinsics, pose = views.cameras.intrinsics[view], views.cameras.cam_to_world[view]
    row, column = np.mgrid[: SIZE[0], : SIZE[1]]
    local = np.stack(
        [(column - intrinsics[0, 2]) / intrinsics[0, 0], (row - intrinsics[1, 2]) / intrinsics[1, 1], np.ones(SIZE)], -1
    )
    return local @ pose[:, :3].T


@pytest.mark.parametrize("view", [0, 1])
def test_mask_and_depth_are_where_rays_meet_the_ball(ball: ObjectViews, view: int) -> None:
    direction, origin = rays(ball, view), ball.cameras.centers[view]
    # |origin + t direction| = 1
    a, b, c = (direction**2).sum(-1), direction @ origin, origin @ origin - 1.0
    inside = b * b - a * c
    clear = np.abs(inside) > 0.1 * a  # the mesh's outline is not quite the ball's
    assert np.array_equal(ball.masks[view][clear], (inside > 0)[clear])
    met = clear & (inside > 0)
    assert met.sum() > 300
    expected = (-b[met] - np.sqrt(inside[met])) / a[met]
    assert np.abs(ball.depths[view][met] - expected).max() < 0.01
    assert not ball.depths[view][~ball.masks[view]].any()


def test_points_of_a_view_and_surface_share_the_cameras_frame(ball: ObjectViews) -> None:
    pose = ball.cameras.cam_to_world[1]
    seen = ball.points(1)[ball.masks[1]]
    middle = -pose[:, :3].T @ pose[:, 3]  # the ball's, seen by the camera
    assert np.abs(np.linalg.norm(seen - middle, axis=1) - 1.0).max() < 0.01
    assert np.abs(np.linalg.norm(ball.surface_in_camera(1) - middle, axis=1) - 1.0).max() < 0.01
    assert middle[2] > 2.0


def test_surface_points_are_spread_evenly(ball: ObjectViews) -> None:
    assert ball.surface.shape == (5000, 3)
    # the area between two heights of a sphere is their distance over the diameter (Archimedes)
    for axis in range(3):
        share, _ = np.histogram(ball.surface[:, axis], bins=[-1.01, -0.5, 0.0, 0.5, 1.01])
        assert (share / 5000).tolist() == pytest.approx([0.25] * 4, abs=0.015)
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert cKDTree(ball.surface).query(directions)[0].max() < 0.1


def test_colors_of_the_surface_are_those_of_the_pictures(jar: ObjectViews) -> None:
    for view in range(2):
        xy, z = project(jar.cameras.intrinsics[view], jar.cameras.cam_to_world[view], jar.surface.astype(np.float64))
        column, row = np.rint(xy).astype(int).T
        seen = jar.masks[view][row, column] & (np.abs(z - jar.depths[view][row, column]) < 0.02)
        assert seen.mean() > 0.2
        picture = jar.images[view][row, column].astype(float)[seen]
        assert np.median(np.abs(picture - jar.surface_rgb[seen])) < 6.0
        shuffled = np.random.default_rng(0).permutation(jar.surface_rgb[seen])
        assert np.median(np.abs(picture - shuffled)) > 12.0


def test_the_unseen_side_is_known(jar: ObjectViews) -> None:
    distance, _ = cKDTree(jar.points(0)[jar.masks[0]]).query(jar.surface_in_camera(0))
    assert (distance > 0.1).mean() > 0.2


@pytest.mark.parametrize("seed", range(len(FAMILIES)))
def test_objects_fill_their_frame_and_stay_in_the_pictures(seed: int) -> None:
    views = render_views(random_object(seed), seed, 3, SIZE, cells=40, points=8000)
    assert views.name == tuple(FAMILIES)[seed]
    middle = 0.5 * (views.surface.min(axis=0) + views.surface.max(axis=0))
    assert np.abs(middle).max() < 0.02
    assert np.linalg.norm(views.surface, axis=1).max() == pytest.approx(1.0, abs=0.02)
    for border in (views.masks[:, 0], views.masks[:, -1], views.masks[:, :, 0], views.masks[:, :, -1]):
        assert not border.any()
    assert (views.masks.sum(axis=(1, 2)) > 30).all()


def test_a_seed_is_one_object_and_other_seeds_are_others() -> None:
    seeds = (1, 1, 6, FIRST_HELD_OUT + 1)
    first, again, other, held_out = (
        render_views(random_object(seed), 7, 1, (24, 24), cells=24, points=500) for seed in seeds
    )
    for name in ("images", "depths", "surface", "surface_rgb"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert first.name == other.name == held_out.name == "furniture"
    for one, two in ((first, other), (first, held_out), (other, held_out)):
        assert cKDTree(one.surface).query(two.surface)[0].mean() > 0.05


def test_views_are_random_and_the_object_is_not(ball: ObjectViews) -> None:
    other = render_views(BALL, 4, 2, SIZE, cells=40, points=5000)
    assert np.abs(other.cameras.centers - ball.cameras.centers).max() > 0.5
    assert np.abs(np.linalg.norm(other.surface, axis=1) - 1.0).max() < 0.01


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one view"):
        render_views(BALL, 0, 0, SIZE)


def test_a_face_gets_points_by_its_area_and_evenly() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5]])
    slanted = np.array([[0.0, 0.6, 0.8]] * 3 + [[0.0, 0.0, 1.0]] * 3)
    solid = shapes.Solid(vertices, slanted, np.array([[0, 1, 2], [3, 4, 5]]))
    points, normals = _sampled(solid, 8000, np.random.default_rng(0))
    lower, upper = points[:, 2] < 1, points[:, 2] > 4
    assert (lower.sum(), upper.sum()) == (2000, 6000)  # areas 1/2 and 3/2
    # the centroid of a triangle is the mean of its corners; half as far to one side lies a quarter of the area
    assert points[upper].mean(axis=0) == pytest.approx([1.0, 1 / 3, 5.0], abs=0.02)
    for axis, side in ((0, 3.0), (1, 1.0)):
        assert (points[upper][:, axis] > 0.5 * side).mean() == pytest.approx(0.25, abs=0.02)
    assert np.allclose(normals[lower], [0.0, 0.6, 0.8])


def test_crumbs_and_cavities_are_left_out() -> None:
    hollow = shapes.subtract(shapes.ball((0, 0, 0), 30), shapes.ball((0, 0, 0), 12))
    item = Item("balls", shapes.union(hollow, shapes.ball((60, 0, 0), 8)), (-34, -34, -34), (72, 34, 34), GREY)
    views = render_views(item, 0, 1, (24, 24), cells=48, points=1000)
    assert np.abs(np.linalg.norm(views.surface, axis=1) - 1.0).max() < 0.02
