"""Remove from a mesh what is not the object: floaters, repeated and collapsed faces, unused vertices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nto3d.types import BoolArray, FloatArray, Mesh


def clean_mesh(mesh: Mesh, *, largest_only: bool = True, min_area_share: float = 0.01) -> Mesh:
    """The mesh without collapsed and repeated faces, small components and unused vertices; colours and `seen` are kept.

    Args:
        mesh: any mesh.
        largest_only: keep only the component of the largest area. Otherwise components below `min_area_share`.
        min_area_share: share of the whole area, 0..1, below which a component is a floater.
    """
    mesh = with_faces(mesh, _sound_faces(mesh))
    if len(mesh.faces) == 0:
        return mesh
    labels = face_components(mesh)
    areas = np.bincount(labels, weights=face_areas(mesh))
    kept = areas >= min_area_share * areas.sum()
    if largest_only:
        kept = np.arange(len(areas)) == areas.argmax()
    return with_faces(mesh, kept[labels])


def face_areas(mesh: Mesh) -> FloatArray:
    """Area [F] of every face, in the square of the mesh's unit."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    areas: FloatArray = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return areas


def face_components(mesh: Mesh) -> NDArray[np.int32]:
    """Label [F] of the connected component of every face (faces are connected by a shared vertex)."""
    count = len(mesh.vertices)
    start, end = mesh.faces[:, :2].reshape(-1), mesh.faces[:, 1:].reshape(-1)
    graph = coo_array((np.ones(len(start), dtype=np.bool_), (start, end)), shape=(count, count))
    _, vertex_labels = connected_components(graph, directed=False)
    _, labels = np.unique(vertex_labels[mesh.faces[:, 0]], return_inverse=True)
    return labels.astype(np.int32)


def _sound_faces(mesh: Mesh) -> BoolArray:
    """Faces [F] of three different vertices, the first of each set of faces with the same vertices.

    Slivers of (almost) no area but three vertices stay: without them the surface would have a hole.
    """
    corners = np.sort(mesh.faces, axis=1)
    sound: BoolArray = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])
    _, first = np.unique(corners, axis=0, return_index=True)
    unique = np.zeros(len(corners), dtype=np.bool_)
    unique[first] = True
    return sound & unique


def with_faces(mesh: Mesh, kept: BoolArray) -> Mesh:
    """The mesh of the kept faces [F], without vertices that none of them uses."""
    faces = mesh.faces[kept]
    used = np.zeros(len(mesh.vertices), dtype=np.bool_)
    used[faces] = True
    renumbered = np.cumsum(used) - 1
    colors = None if mesh.colors is None else mesh.colors[used]
    seen = None if mesh.seen is None else mesh.seen[used]
    return Mesh(mesh.vertices[used], renumbered[faces], colors, seen)
