"""How close a mesh is to the true surface: distances between sampled surfaces and from check points to the mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from nto3d.errors import InputError
from nto3d.geometry.normals import mesh_normals
from nto3d.kernels.raycast import MeshCaster
from nto3d.parsers.archives import Archive
from nto3d.types import FloatArray, IntArray, Mesh

POINT_BYTES = 1 << 27  # of check points, 5 million of them
_CHUNK = 1 << 18  # points compared at a time
FAR = 100.0  # diagonals from the origin, beyond which a mesh's volume is summed about a corner of its box


def sample_surface(mesh: Mesh, count: int, seed: int) -> FloatArray:
    """Points [count, 3] drawn uniformly by area from a mesh's surface, in the mesh's unit."""
    return _sampled(mesh, count, seed)[0]


def _sampled(mesh: Mesh, count: int, seed: int) -> tuple[FloatArray, IntArray]:
    """Points [count, 3] as of `sample_surface`, and the face [count] that each lies on."""
    import trimesh

    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    points, face = trimesh.sample.sample_surface(shape, count, seed=seed)
    return np.asarray(points), np.asarray(face)


def chamfer(predicted: FloatArray, truth: FloatArray, threshold: float | None = None) -> dict[str, float]:
    """Distances between two point sets [P, 3] and [Q, 3].

    Args:
        predicted, truth: points on both surfaces, one unit.
        threshold: distance that counts as correct, same unit; None: no F-score.

    Returns:
        `accuracy` (mean distance from a predicted point to the truth), `completeness` (from the truth to the
        prediction), `chamfer` (the mean of both) and, with a threshold, `precision`, `recall` and `fscore`, their
        harmonic mean (Knapitsch et al. 2017, Tanks and Temples, section 5).
    """
    to_truth, _ = cKDTree(truth).query(predicted, workers=-1)
    to_predicted, _ = cKDTree(predicted).query(truth, workers=-1)
    accuracy, completeness = float(to_truth.mean()), float(to_predicted.mean())
    metrics = {"accuracy": accuracy, "completeness": completeness, "chamfer": (accuracy + completeness) / 2}
    if threshold is not None:
        precision, recall = float((to_truth < threshold).mean()), float((to_predicted < threshold).mean())
        both = precision + recall
        metrics |= {"precision": precision, "recall": recall, "fscore": 2 * precision * recall / both if both else 0.0}
    return metrics


def mesh_metrics(mesh: Mesh, truth: Mesh, *, samples: int, threshold_share: float, seed: int) -> dict[str, float]:
    """`chamfer` of two meshes in world units, `chamfer_relative` and `fscore`.

    Args:
        mesh, truth: in one frame.
        samples: points drawn from each surface. seed: of the drawing.
        threshold_share: the F-score's threshold as a share of the diagonal of the truth's bounding box.

    Returns:
        The keys of `chamfer`; `chamfer_relative`, the chamfer distance as a share of that diagonal; and
        `normal_error`, see there.
    """
    diagonal = float(np.linalg.norm(np.ptp(truth.vertices[truth.faces].reshape(-1, 3), axis=0)))
    points, face = _sampled(truth, samples, seed + 1)
    metrics = chamfer(sample_surface(mesh, samples, seed), points, threshold_share * diagonal)
    turned = normal_error(mesh, points, mesh_normals(truth)[0][face])
    return metrics | {"chamfer_relative": metrics["chamfer"] / diagonal, "normal_error": turned}


def normal_error(mesh: Mesh, points: FloatArray, normals: FloatArray) -> float:
    """Median angle, in degrees from 0 to 180, between true normals and those of a mesh.

    A point is compared with the nearest point of the mesh's triangles. There the mesh's normal is that of its
    vertices, interpolated: the faces of marching cubes are slivers whose own normals are noise that no shading shows.
    Orientation counts, a surface turned inside out is off by 180 degrees.

    Args:
        points: [P, 3] on the true surface, in the mesh's frame and unit, drawn by area.
        normals: [P, 3] of the true surface there, unit vectors, outwards.
    """
    face, weights = MeshCaster(mesh).nearest(points)
    found = (weights[..., None] * mesh_normals(mesh)[1][mesh.faces[face]]).sum(axis=1)
    # By the half angle's tangent: the arccosine of a product near 1 has half the digits
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    apart = np.linalg.norm(found - lengths * normals, axis=1)
    along = np.linalg.norm(found + lengths * normals, axis=1)
    return float(np.median(np.degrees(2 * np.arctan2(apart, along))))


def point_metrics(points: FloatArray, mesh: Mesh) -> dict[str, float]:
    """`points_mean` and `points_median`: distance of check points [P, 3] from a mesh, in its unit."""
    distances = points_to_mesh(points, mesh)
    return {"points_mean": float(distances.mean()), "points_median": float(np.median(distances))}


def load_points(path: Path) -> FloatArray:
    """Check points [P, 3], world units, from the key `xyz` of an npz file.

    Raises:
        InputError: the file is missing or damaged, or the key is absent, of another shape or not finite.
    """
    [xyz] = Archive(path, "an npz file of check points", POINT_BYTES).read(["xyz"])
    if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0 or not np.issubdtype(xyz.dtype, np.number):
        raise InputError(f"{path}: expected xyz [P, 3] numbers, got {xyz.dtype} {list(xyz.shape)}")
    if not np.isfinite(xyz).all():
        raise InputError(f"{path}: expected finite xyz, got NaN or infinity")
    return xyz.astype(np.float64)


def points_to_mesh(points: FloatArray, mesh: Mesh) -> FloatArray:
    """Distance [P] from points [P, 3] to the nearest point of a mesh's triangles, exact, in the mesh's unit.

    The nearest triangle is found by Warp's bounding volume hierarchy in float32 (centred and scaled, so that large
    world coordinates lose nothing), the distance to it is computed in float64.
    """
    face, _ = MeshCaster(mesh).nearest(points)
    parts = [slice(start, start + _CHUNK) for start in range(0, len(points), _CHUNK)]
    each = [point_triangle_distance(points[part], mesh.vertices[mesh.faces[face[part]]]) for part in parts]
    return np.concatenate(each) if each else np.zeros(0)


def points_to_mesh_reference(points: FloatArray, mesh: Mesh) -> FloatArray:
    """`points_to_mesh` by comparing every point with every triangle, for small meshes and tests."""
    triangles = mesh.vertices[mesh.faces]
    pairs = [point_triangle_distance(np.broadcast_to(point, (len(triangles), 3)), triangles) for point in points]
    return np.array([distances.min() for distances in pairs])


def point_triangle_distance(points: FloatArray, triangles: FloatArray) -> FloatArray:
    """Distance [P] of point p [P, 3] from triangle p [P, 3, 3]; a collapsed triangle is its edges.

    Inside the triangle's prism it is the distance to the plane, elsewhere to the nearest of the three edges.
    """
    edges = np.roll(triangles, -1, axis=1) - triangles  # [P, 3, 3]
    offsets = points[:, None] - triangles
    length = np.maximum((edges**2).sum(-1), np.finfo(np.float64).tiny)
    along = np.clip((offsets * edges).sum(-1) / length, 0.0, 1.0)
    to_edges = np.linalg.norm(offsets - along[..., None] * edges, axis=-1).min(axis=1)

    normal = np.cross(edges[:, 0], edges[:, 1])
    size = np.linalg.norm(normal, axis=-1)
    inside = (np.cross(edges, offsets) * normal[:, None]).sum(-1).min(axis=1) >= 0
    to_plane = np.abs((offsets[:, 0] * normal).sum(-1)) / np.maximum(size, np.finfo(np.float64).tiny)
    distance: FloatArray = np.where(inside & (size > 0), np.minimum(to_plane, to_edges), to_edges)
    return distance


def volume(mesh: Mesh) -> float:
    """What a closed mesh holds, in the cube of its unit (divergence theorem)."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    # Far from the origin the sum would be that of large numbers which cancel
    far = np.linalg.norm(low) > FAR * np.linalg.norm(high - low)
    vertices = mesh.vertices - low if far else mesh.vertices
    a, b, c = (vertices[mesh.faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)
