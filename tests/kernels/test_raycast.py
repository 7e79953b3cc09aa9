"""Rays and points against meshes whose answers are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.kernels.raycast import MeshCaster
from nto3d.types import FloatArray, Mesh

TRIANGLE = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
FAR = np.array([600.0, -300.0, 900.0])


@pytest.fixture(params=[np.zeros(3), FAR], ids=["here", "far"])
def offset(request: pytest.FixtureRequest) -> FloatArray:
    """Large world coordinates must not matter."""
    value: FloatArray = request.param
    return value


def test_what_lies_between_two_points(offset: FloatArray) -> None:
    caster = MeshCaster(Mesh(TRIANGLE + offset, np.array([[0, 1, 2]])))
    starts = np.array([[1, 1, -1], [1, 1, -1], [1, 1, 2], [3, 3, -1], [1, 1, -1]], dtype=float)
    ends = np.array([[1, 1, 1], [1, 1, -0.01], [1, 1, 0.5], [3, 3, 1], [1, 1, -1]], dtype=float)
    expected = [True, False, False, False, False]  # through it; short of it; behind; beside; no way at all
    np.testing.assert_array_equal(caster.blocked(starts + offset, ends + offset), expected)
    np.testing.assert_array_equal(caster.blocked(ends + offset, starts + offset), expected)


def test_the_nearest_point_of_a_mesh(offset: FloatArray) -> None:
    vertices = np.concatenate([TRIANGLE, TRIANGLE + [0, 0, 5]]) + offset
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    points = np.array([[1, 1, 2], [1, 1, 3], [-2, -2, 0], [9, -1, 5], [2, 2, 0]], dtype=float)
    face, weights = MeshCaster(Mesh(vertices, faces)).nearest(points + offset)
    np.testing.assert_array_equal(face, [0, 1, 0, 1, 0])
    nearest = (weights[..., None] * vertices[faces[face]]).sum(axis=1) - offset
    expected = [[1, 1, 0], [1, 1, 5], [0, 0, 0], [4, 0, 5], [1.76, 1.68, 0]]
    np.testing.assert_allclose(nearest, expected, atol=1e-3)
