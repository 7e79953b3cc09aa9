"""Normals of a mesh's faces and vertices."""

from __future__ import annotations

import numpy as np

from nto3d.types import FloatArray, Mesh


def mesh_normals(mesh: Mesh) -> tuple[FloatArray, FloatArray]:
    """Unit normals of a mesh, outwards: of its faces [F, 3], and of its vertices [M, 3].

    A vertex has the mean of its faces' normals, weighted by their areas. Collapsed faces and unused vertices have 0.
    """
    corners = mesh.vertices[mesh.faces]
    weighted: FloatArray = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # twice the area
    used, count = mesh.faces.reshape(-1), len(mesh.vertices)
    columns = np.repeat(weighted, 3, axis=0).T
    sums: FloatArray = np.stack([np.bincount(used, column, count) for column in columns], axis=1)
    return unit(weighted), unit(sums)


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors [..., 3] of length 1 along the given ones; 0 stays 0."""
    directions: FloatArray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
    return directions
