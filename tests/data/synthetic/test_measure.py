"""What a recipe promises of its scene: seen on all sides, hidden or cut in some views, far from its hull."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.data.synthetic import build_scene, hull_distance, visible_fraction
from nto3d.data.synthetic.recipes import surface_points


def test_sample_is_fit_for_a_complete_chamfer() -> None:
    scene = build_scene("sample", 0)
    assert visible_fraction(scene) >= 0.97
    points, normals = surface_points(scene.target, 4000)
    hidden = []
    for view in scene.views:
        assert view.inside(scene.target.vertices).all()
        rays = points - view.center
        facing = (rays * normals).sum(axis=1) < 0
        t, owner = scene.rays.cast(np.broadcast_to(view.center, points.shape), rays)
        hidden.append(float((facing & (owner > 0) & (t < 0.99)).sum() / facing.sum()))
    assert sum(share > 0.04 for share in hidden) >= 3  # others stand in front of it in some views
    assert max(hidden) < 0.6
    assert len(scene.names) >= 5


def test_concave_scene_is_cut_and_its_table_lies_outside_the_sphere() -> None:
    scene = build_scene("concave", 0, size=(120, 90))
    assert visible_fraction(scene, 8000) >= 0.97
    points = surface_points(scene.target, 4000)[0]
    outside = np.array([1.0 - view.inside(points).mean() for view in scene.views])
    cut = outside > 0.02
    assert cut.mean() == pytest.approx(0.25)
    assert ((outside[cut] > 0.05) & (outside[cut] < 0.25)).all()
    assert (outside[~cut] == 0).all()
    elevation = [np.degrees(np.arcsin(view.center[2] / np.linalg.norm(view.center))) for view in scene.views]
    assert min(elevation) < -17
    assert max(elevation) > 55
    # a ray straight down from outside the sphere meets the table below it
    t, owner = scene.rays.cast(np.array([[0.0, 1.05, 0.0]]), np.array([[0.0, 0.0, -1.0]]))
    assert scene.names[int(owner[0])] == "table"
    assert t[0] > 1.1
    assert np.linalg.norm(scene.target.vertices, axis=1).max() < 1.001


@pytest.mark.slow
def test_hull_of_the_concave_scene_is_far_from_its_surface() -> None:
    scene = build_scene("concave", 0)
    assert hull_distance(scene) >= 0.03
