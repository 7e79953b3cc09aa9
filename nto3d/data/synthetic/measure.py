"""What makes a scene fit for a test: how much of the target is seen, and how far its visual hull lies from it."""

from __future__ import annotations

import mcubes
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from nto3d.data.synthetic.recipes import SyntheticScene, surface_points
from nto3d.data.synthetic.solids.shapes import Solid
from nto3d.data.synthetic.viewpoints import View

Floats = NDArray[np.float64]


def visible_fraction(scene: SyntheticScene, samples: int = 20_000) -> float:
    """Share of the ground-truth surface's area that a camera sees, occluders and picture borders respected."""
    points, normals = surface_points(scene.target, samples)
    seen = np.zeros(len(points), dtype=np.bool_)
    for view in scene.views:
        seen |= visible_points(scene, view, points, normals)
    return float(seen.mean())


def visible_points(scene: SyntheticScene, view: View, points: Floats, normals: Floats) -> NDArray[np.bool_]:
    """Which surface points [P, 3] (normalized, with unit normals) one camera sees."""
    rays = points - view.center
    facing = view.inside(points) & (np.einsum("pk,pk->p", rays, normals) < 0)
    t, _ = scene.rays.cast(np.broadcast_to(view.center, points.shape), rays)
    # t is 1 at the point; what is hit 0.4 % of the distance before it is something else
    return facing & (t > 0.996)


def visual_hull(scene: SyntheticScene, cells: int = 160) -> tuple[Floats, NDArray[np.int64]]:
    """Mesh of the silhouettes' visual hull in the unit sphere: vertices [M, 3] (normalized) and faces [F, 3].

    A picture that does not show a point says nothing about it.
    """
    axis = np.linspace(-1.02, 1.02, cells + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = np.linalg.norm(grid, axis=1) <= 1.0
    for view in scene.views:
        mask = scene.rays.render(view).object == 0
        inside = view.inside(grid[kept])
        xy = np.rint(view.project(grid[kept])[0]).astype(np.int64)
        empty = np.zeros(len(inside), dtype=np.bool_)
        empty[inside] = ~mask[xy[inside, 1], xy[inside, 0]]
        kept[np.flatnonzero(kept)[empty]] = False
    occupied = kept.reshape(cells + 1, cells + 1, cells + 1).astype(np.float32)
    vertices, faces = mcubes.marching_cubes(
        gaussian_filter(occupied, 0.7), 0.5
    )  # the filter rounds off the voxels' steps
    return vertices * (axis[1] - axis[0]) + axis[0], faces.astype(np.int64)


def hull_distance(scene: SyntheticScene, cells: int = 160, samples: int = 100_000) -> float:
    """Chamfer distance of visual hull and ground truth (mean of both directions), over the target's diagonal."""
    vertices, faces = visual_hull(scene, cells)
    hull = surface_points(Solid(vertices, np.zeros_like(vertices), faces), samples, seed=1)[0]
    truth = surface_points(scene.target, samples)[0]
    there, back = cKDTree(truth).query(hull)[0].mean(), cKDTree(hull).query(truth)[0].mean()
    diagonal = np.linalg.norm(np.ptp(scene.target.vertices, axis=0))
    return float(0.5 * (there + back) / diagonal)
