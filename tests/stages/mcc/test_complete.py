"""Colours of a completed mesh: the picture's where it was seen, the network's elsewhere."""

from __future__ import annotations

import numpy as np

from nto3d.stages.mcc.complete import SEEN, UNSEEN, seen_colors
from nto3d.types import Mesh

RED, BLUE, GREEN = (200, 0, 0), (0, 0, 200), (0, 200, 0)


def test_seen_vertices_have_the_pictures_colours() -> None:
    away = np.array([0.0, 0.9 * SEEN, 0.5 * (SEEN + UNSEEN), 1.01 * UNSEEN, 5.0])
    mesh = Mesh(np.stack([0 * away, 0 * away, away], axis=1), np.array([[0, 1, 2]]), np.tile(np.uint8(GREEN), (5, 1)))
    seen = np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    colors = seen_colors(mesh, seen, np.array([RED, BLUE], dtype=np.uint8)).colors
    assert colors is not None
    assert colors.tolist() == [list(RED), list(RED), [100, 100, 0], list(GREEN), list(GREEN)]


def test_a_vertex_between_seen_points_has_a_mean() -> None:
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.tile(np.uint8(GREEN), (3, 1)))
    seen = np.array([[0.05, 0.0, 0.0], [-0.05, 0.0, 0.0]])
    colors = seen_colors(mesh, seen, np.array([RED, BLUE], dtype=np.uint8)).colors
    assert colors is not None
    assert colors[0].tolist() == [100, 0, 100]
