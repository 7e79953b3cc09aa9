"""Rays and points against a mesh, by Warp's bounding volume hierarchy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from nto3d.kernels.launch import array, interleaved, launch_spans, start
from nto3d.types import FloatArray, Mesh


@wp.kernel
def _first_hit(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    directions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    face: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R]
    hit: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R] t, u, v
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = wp.tid()
    i = begin + item  # type: ignore[operator]
    while i < end:
        query = wp.mesh_query_ray(mesh, origins[i], directions[i], 1.0e6)
        if query.result:
            face[i] = query.face
            hit[i] = wp.vec3(query.t, query.u, query.v)
        i += stride


@wp.kernel
def _any_hit(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    ends: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    hit: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R]
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = wp.tid()
    i = begin + item  # type: ignore[operator]
    while i < end:
        way = ends[i] - origins[i]
        length = wp.length(way)
        if length > 0.0 and wp.mesh_query_ray_anyhit(mesh, origins[i], way / length, length):
            hit[i] = 1
        i += stride


@wp.kernel
def _nearest_point(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [P]
    face: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [P]
    place: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]  # [P] u, v
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = wp.tid()
    i = begin + item  # type: ignore[operator]
    while i < end:
        query = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e6)
        face[i] = query.face
        place[i] = wp.vec2(query.u, query.v)
        i += stride


@dataclass(frozen=True)
class Hits:
    """Where R rays meet a mesh.

    Attributes:
        face: [R] int32, -1 where nothing is hit.
        distance: [R] along the unit direction, in the mesh's unit; 0 where nothing is hit.
        weights: [R, 3] barycentric weights of the face's vertices.
    """

    face: NDArray[np.int32]
    distance: FloatArray
    weights: FloatArray


class MeshCaster:
    """Answers rays and points against one mesh.

    Works centred and scaled, so that large world coordinates lose nothing.
    """

    def __init__(self, mesh: Mesh) -> None:
        start()
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self._center, self._scale = (low + high) / 2, float((high - low).max()) or 1.0
        corners = ((mesh.vertices - self._center) / self._scale).astype(np.float32)
        self._mesh = wp.Mesh(
            points=wp.array(corners, dtype=wp.vec3, device="cpu"),
            indices=wp.array(mesh.faces.reshape(-1).astype(np.int32), device="cpu"),
        )

    def cast(self, origins: FloatArray, directions: FloatArray) -> Hits:
        """First hits of rays with origins [R, 3] and unit directions [R, 3] in the mesh's frame."""
        count, device = len(origins), torch.device("cpu")
        starts = self._inside(origins)
        ways = torch.from_numpy(np.ascontiguousarray(directions, dtype=np.float32))
        face = torch.full((count,), -1, dtype=torch.int32)
        hit = torch.zeros((count, 3))
        arguments = [self._mesh.id, array(starts, wp.vec3), array(ways, wp.vec3), array(face), array(hit, wp.vec3)]
        launch_spans(_first_hit, arguments, [(span,) for span in interleaved(count, count, device)], device)
        t, u, v = hit.numpy().astype(np.float64).T
        return Hits(face.numpy(), t * self._scale, np.stack([u, v, 1 - u - v], axis=1))

    def blocked(self, origins: FloatArray, ends: FloatArray) -> NDArray[np.bool_]:
        """Whether anything of the mesh lies between origins [R, 3] and ends [R, 3]; bool [R]."""
        count, device = len(origins), torch.device("cpu")
        starts, targets = self._inside(origins), self._inside(ends)
        hit = torch.zeros(count, dtype=torch.int32)
        arguments = [self._mesh.id, array(starts, wp.vec3), array(targets, wp.vec3), array(hit)]
        launch_spans(_any_hit, arguments, [(span,) for span in interleaved(count, count, device)], device)
        return hit.numpy() > 0

    def nearest(self, points: FloatArray) -> tuple[NDArray[np.int32], FloatArray]:
        """The faces [P] nearest to points [P, 3], and barycentric weights [P, 3] of the nearest point of each."""
        count, device = len(points), torch.device("cpu")
        positions = self._inside(points)
        face, place = torch.full((count,), -1, dtype=torch.int32), torch.zeros((count, 2))
        arguments = [self._mesh.id, array(positions, wp.vec3), array(face), array(place, wp.vec2)]
        launch_spans(_nearest_point, arguments, [(span,) for span in interleaved(count, count, device)], device)
        u, v = place.numpy().astype(np.float64).T
        return face.numpy(), np.stack([u, v, 1 - u - v], axis=1)

    def _inside(self, points: FloatArray) -> torch.Tensor:
        """Points [P, 3] in the frame of the hierarchy, float32."""
        return torch.from_numpy(((points - self._center) / self._scale).astype(np.float32))
