from __future__ import annotations

import numpy as np
import trimesh

from nto3d.geometry.normals import mesh_normals, unit
from nto3d.types import Mesh


def test_normals_of_a_roof_by_hand() -> None:
    """Two triangles that meet at a right angle; the second has three times the area."""
    vertices = np.array([[0, 0, 0], [0, 2, 0], [-1, 0, 0], [0, 0, -3], [9, 9, 9]], dtype=float)
    of_faces, of_vertices = mesh_normals(Mesh(vertices, np.array([[0, 1, 2], [0, 3, 1], [0, 0, 1]])))
    np.testing.assert_allclose(of_faces, [[0, 0, 1], [1, 0, 0], [0, 0, 0]], atol=1e-12)
    ridge = np.array([3.0, 0.0, 1.0]) / 10**0.5
    np.testing.assert_allclose(of_vertices, [ridge, ridge, [0, 0, 1], [1, 0, 0], [0, 0, 0]], atol=1e-12)


def test_normals_of_a_ball_point_outwards() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    _, normals = mesh_normals(Mesh(np.asarray(ball.vertices), ball.faces.astype(np.int64)))
    np.testing.assert_allclose(normals, ball.vertices, atol=0.02)


def test_unit_keeps_zero() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 0, 4], [0, 0, 0]])), [[0.6, 0, 0.8], [0, 0, 0]])
