"""Solid shapes as signed distance functions (negative inside) and their meshes.

An `Sdf` maps points [N, 3] to [N] signed values, both in the scene's length unit. Unions and subtractions are smooth
(the polynomial smooth minimum of I. Quilez), so values are distances near the surface only; the surface itself is one
closed sheet without inner faces, which is what a ground-truth mesh needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import fast_simplification  # type: ignore[import-untyped]
import mcubes
import numpy as np
import trimesh
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sdf = Callable[[Floats], Floats]
Vec3 = tuple[float, float, float]


@dataclass(frozen=True)
class Solid:
    """A closed triangle mesh with smooth shading normals.

    Attributes:
        vertices: [M, 3] float64. normals: [M, 3] unit, pointing outwards.
        faces: [F, 3] int64, counter-clockwise from outside.
    """

    vertices: Floats
    normals: Floats
    faces: NDArray[np.int64]


def ball(center: Vec3, radius: float) -> Sdf:
    """A sphere."""
    return lambda p: np.linalg.norm(p - np.asarray(center), axis=1) - radius


def ellipsoid(center: Vec3, radii: Vec3) -> Sdf:
    """An axis-aligned ellipsoid (first-order distance)."""

    def sdf(p: Floats) -> Floats:
        q = (p - np.asarray(center)) / np.asarray(radii)
        k0 = np.linalg.norm(q, axis=1)
        k1 = np.linalg.norm(q / np.asarray(radii), axis=1)
        return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)

    return sdf


def box(center: Vec3, half: Vec3, rounding: float = 0.0) -> Sdf:
    """An axis-aligned box with half sides `half` and rounded edges."""

    def sdf(p: Floats) -> Floats:
        q = np.abs(p - np.asarray(center)) - (np.asarray(half) - rounding)
        outside = np.linalg.norm(np.maximum(q, 0.0), axis=1)
        return outside + np.minimum(q.max(axis=1), 0.0) - rounding

    return sdf


def cylinder(center: Vec3, radius: float, half_height: float, rounding: float = 0.0) -> Sdf:
    """An upright cylinder with rounded edges."""

    def sdf(p: Floats) -> Floats:
        q = p - np.asarray(center)
        radial = np.hypot(q[:, 0], q[:, 1]) - (radius - rounding)
        axial = np.abs(q[:, 2]) - (half_height - rounding)
        outside = np.hypot(np.maximum(radial, 0.0), np.maximum(axial, 0.0))
        return outside + np.minimum(np.maximum(radial, axial), 0.0) - rounding

    return sdf


def torus(center: Vec3, radius: float, thickness: float) -> Sdf:
    """A torus lying flat: `radius` of the ring, `thickness` radius of the tube."""

    def sdf(p: Floats) -> Floats:
        q = p - np.asarray(center)
        return np.hypot(np.hypot(q[:, 0], q[:, 1]) - radius, q[:, 2]) - thickness

    return sdf


def capsule(start: Vec3, end: Vec3, radius: float, end_radius: float | None = None) -> Sdf:
    """A segment with a radius that changes linearly from one end to the other."""
    a, ab = np.asarray(start), np.asarray(end) - np.asarray(start)
    change = (radius if end_radius is None else end_radius) - radius

    def sdf(p: Floats) -> Floats:
        along = np.clip((p - a) @ ab / (ab @ ab), 0.0, 1.0)
        return np.linalg.norm(p - a - along[:, None] * ab, axis=1) - (radius + change * along)

    return sdf


def tube(points: Floats, radius: float) -> Sdf:
    """A tube of constant radius along a polyline [K, 3]."""
    parts = [capsule(tuple(a), tuple(b), radius) for a, b in itertools.pairwise(points)]
    return union(*parts)


def below(height: float) -> Sdf:
    """The half space z < height."""
    return lambda p: p[:, 2] - height


def above_cone(apex: float, slope: float) -> Sdf:
    """What lies above a cone about the z axis that rises by `slope` from z = apex."""
    return lambda p: (apex + slope * np.hypot(p[:, 0], p[:, 1]) - p[:, 2]) / np.hypot(1.0, slope)


def union(*parts: Sdf, smooth: float = 0.0) -> Sdf:
    """What lies in any part, with fillets about `smooth` wide."""

    def sdf(p: Floats) -> Floats:
        value = parts[0](p)
        for part in parts[1:]:
            value = _smooth_min(value, part(p), smooth)
        return value

    return sdf


def subtract(body: Sdf, *tools: Sdf, smooth: float = 0.0) -> Sdf:
    """The body without the tools, with edges rounded over about `smooth`."""

    def sdf(p: Floats) -> Floats:
        value = body(p)
        for tool in tools:
            value = -_smooth_min(-value, tool(p), smooth)
        return value

    return sdf


def intersect(*parts: Sdf, smooth: float = 0.0) -> Sdf:
    """What lies in all parts."""

    def sdf(p: Floats) -> Floats:
        value = -parts[0](p)
        for part in parts[1:]:
            value = _smooth_min(value, -part(p), smooth)
        return -value

    return sdf


def placed(sdf: Sdf, offset: Vec3, yaw: float = 0.0, scale: float = 1.0) -> Sdf:
    """The shape scaled, turned about z by `yaw` (radians, counter-clockwise) and moved by `offset`."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    to_local = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return lambda p: sdf((p - np.asarray(offset)) @ to_local.T / scale) * scale


def _smooth_min(a: Floats, b: Floats, width: float) -> Floats:
    if width <= 0.0:
        return np.minimum(a, b)
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - h * h * width * 0.25


def mesh_sdf(sdf: Sdf, low: Vec3, high: Vec3, cells: int) -> Solid:
    """Mesh the zero level of an SDF by marching cubes.

    Args:
        low, high: a box that holds the whole surface. cells: grid cells along its longest side.

    Raises:
        ValueError: the surface touches the box, or the mesh is not closed.
    """
    corner, extent = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64) - np.asarray(low)
    cell = extent.max() / cells
    counts = np.ceil(extent / cell).astype(int) + 1
    # an irrational shift keeps flat faces of the model off the grid planes, where marching cubes makes slivers
    corner = corner - 0.3819 * cell
    axes = [corner[k] + cell * np.arange(counts[k] + 1) for k in range(3)]
    volume = np.empty([len(axis) for axis in axes])
    for i, x in enumerate(axes[0]):  # slice by slice: bounded memory
        y, z = np.meshgrid(axes[1], axes[2], indexing="ij")
        points = np.stack([np.full(y.size, x), y.ravel(), z.ravel()], axis=1)
        volume[i] = sdf(points).reshape(y.shape)
    border = min(float(np.take(volume, side, axis=axis).min()) for axis in range(3) for side in (0, -1))
    if border <= 0.0:
        raise ValueError(f"expected a surface inside the box {low} .. {high}, got one that touches it")
    vertices, faces = mcubes.marching_cubes(volume, 0.0)
    vertices, faces = vertices * cell + corner, faces.astype(np.int64)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if not mesh.is_watertight:
        raise ValueError("expected a closed mesh, got one with holes: use another number of cells")
    if mesh.volume < 0.0:
        faces = faces[:, ::-1].copy()
    return Solid(vertices, sdf_normals(sdf, vertices, 0.25 * cell), faces)


def sdf_normals(sdf: Sdf, points: Floats, step: float) -> Floats:
    """Unit gradients [N, 3] of an SDF at points [N, 3], by central differences."""
    offsets = step * np.eye(3)
    gradient = np.stack([sdf(points + o) - sdf(points - o) for o in offsets], axis=1)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)


def thinned(solid: Solid, sdf: Sdf, max_faces: int) -> Solid:
    """The solid with at most about `max_faces` faces (quadric decimation; it stays closed).

    Raises:
        ValueError: the decimation opened the mesh.
    """
    if len(solid.faces) <= max_faces:
        return solid
    vertices, faces = fast_simplification.simplify(solid.vertices, solid.faces.astype(np.int32), target_count=max_faces)
    mesh = trimesh.Trimesh(vertices.astype(np.float64), faces.astype(np.int64), process=False)
    if not mesh.is_watertight:
        raise ValueError("expected a closed mesh after decimation, got one with holes: allow more faces")
    step = 1e-3 * float(np.ptp(solid.vertices, axis=0).max())
    return Solid(np.asarray(mesh.vertices), sdf_normals(sdf, np.asarray(mesh.vertices), step), np.asarray(mesh.faces))


def disc(radius: float, top: float, thickness: float, segments: int = 128) -> Solid:
    """A round table top with its upper side at z = top."""
    # each ring of the profile: radius, height, normal's radial and vertical part; edges are doubled to stay sharp
    profile = [
        (radius, top, 0.0, 1.0),
        (radius, top, 1.0, 0.0),
        (radius, top - thickness, 1.0, 0.0),
        (radius, top - thickness, 0.0, -1.0),
    ]
    angle = 2.0 * np.pi * np.arange(segments) / segments
    cos, sin = np.cos(angle), np.sin(angle)
    vertices = [np.stack([r * cos, r * sin, np.full(segments, z)], axis=1) for r, z, _, _ in profile]
    normals = [np.stack([nr * cos, nr * sin, np.full(segments, nz)], axis=1) for _, _, nr, nz in profile]
    vertices.append(np.array([[0.0, 0.0, top], [0.0, 0.0, top - thickness]]))
    normals.append(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    here, after = np.arange(segments), np.roll(np.arange(segments), -1)
    upper, lower = 4 * segments, 4 * segments + 1
    side, under = here + segments, here + 2 * segments
    side_after, under_after = after + segments, after + 2 * segments
    faces = [
        np.stack([np.full(segments, upper), here, after], axis=1),
        np.stack([side, under, side_after], axis=1),
        np.stack([side_after, under, under_after], axis=1),
        np.stack([np.full(segments, lower), after + 3 * segments, here + 3 * segments], axis=1),
    ]
    return Solid(np.concatenate(vertices), np.concatenate(normals), np.concatenate(faces).astype(np.int64))
