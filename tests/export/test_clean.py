from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from nto3d.export.clean import clean_mesh, face_areas, face_components
from nto3d.types import Mesh


def spheres(*radii: float) -> Mesh:
    """Separate spheres side by side; the colours' red channel is the sphere's number."""
    vertices, faces, colors, count = [], [], [], 0
    for number, radius in enumerate(radii):
        ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
        vertices.append(ball.vertices + [10.0 * number, 0, 0])
        faces.append(ball.faces.astype(np.int64) + count)
        colors.append(np.tile(np.array([number, 7, 9], dtype=np.uint8), (len(ball.vertices), 1)))
        count += len(ball.vertices)
    return Mesh(np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors))


def test_counts_of_views_stay_with_their_vertices() -> None:
    mesh = spheres(1.0, 2.0, 0.5)
    assert mesh.colors is not None
    cleaned = clean_mesh(replace(mesh, seen=10 + mesh.colors[:, 0].astype(np.uint16)))
    assert cleaned.seen is not None
    assert cleaned.seen.tolist() == [11] * len(cleaned.vertices)


def test_largest_component_keeps_its_colors() -> None:
    mesh = clean_mesh(spheres(1.0, 2.0, 0.5))
    assert mesh.colors is not None
    assert set(mesh.colors[:, 0]) == {1}
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - [10, 0, 0], axis=1), 2.0)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_floaters_below_a_share_of_the_area_go() -> None:
    """Areas are as 100 : 25 : 1, shares 0.794, 0.198, 0.008."""
    mesh = clean_mesh(spheres(1.0, 0.5, 0.1), largest_only=False, min_area_share=0.01)
    assert mesh.colors is not None
    assert set(mesh.colors[:, 0]) == {0, 1}
    assert len(set(face_components(clean_mesh(spheres(1.0, 0.5, 0.1), largest_only=False, min_area_share=0.0)))) == 3


def test_bad_faces_and_unused_vertices_go() -> None:
    vertices = np.array([[0, 0, 0], [9, 9, 9], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    faces = np.array([[0, 2, 3], [2, 3, 0], [3, 2, 0], [0, 0, 4], [4, 2, 4], [0, 3, 4]])
    mesh = clean_mesh(Mesh(vertices, faces))
    np.testing.assert_array_equal(mesh.vertices, vertices[[0, 2, 3, 4]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


def test_a_mesh_of_bad_faces_only_becomes_empty() -> None:
    mesh = clean_mesh(Mesh(np.zeros((2, 3)), np.array([[0, 0, 1]])))
    assert len(mesh.faces) == len(mesh.vertices) == 0


def test_areas_by_hand() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 2]], dtype=float)
    assert face_areas(Mesh(vertices, np.array([[0, 1, 2], [0, 1, 3]]))) == pytest.approx([6.0, 3.0])
