"""A tiny scene of two balls that stand apart: a red one, and a smaller blue one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from tests.helpers import ring_cameras, world_matrices

BALLS = {"red": ((-0.35, 0.0, 0.0), 0.36), "blue": ((0.42, 0.0, 0.05), 0.26)}  # centre and radius, normalized units
COLORS = {"red": (200.0, 60.0, 40.0), "blue": (50.0, 90.0, 210.0)}
SCALE, OFFSET = 10.0, (1.0, -2.0, 30.0)


def write_two_balls(path: Path, views: int = 12, size: tuple[int, int] = (48, 64)) -> dict[str, NDArray[np.bool_]]:
    """Write pictures, cameras and the truth of both balls, as of named objects; the masks [V, H, W] by name."""
    intrinsics, poses = ring_cameras(views, size)
    world_from_normalized = np.diag([SCALE, SCALE, SCALE, 1.0])
    world_from_normalized[:3, 3] = OFFSET
    masks = {name: np.zeros((views, *size), dtype=bool) for name in BALLS}
    (path / "image").mkdir(parents=True)
    for name in BALLS:
        (path / f"mask_{name}").mkdir()
    for view, (calibration, pose) in enumerate(zip(intrinsics, poses, strict=True)):
        picture, nearest = np.full((*size, 3), 40.0), np.full(size, np.inf)
        for name, (center, radius) in BALLS.items():
            depth, normals = _cast(calibration, pose, size, np.array(center), radius)
            first = depth < nearest
            picture[first] = np.array(COLORS[name]) * (0.75 + 0.25 * normals[first].sum(axis=1, keepdims=True))
            for other in masks.values():
                other[view] &= ~first
            masks[name][view] = first
            nearest = np.minimum(nearest, depth)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path / "image" / f"{view:03d}.png")
        for name, mask in masks.items():
            Image.fromarray(mask[view].astype(np.uint8) * 255).save(path / f"mask_{name}" / f"{view:03d}.png")
    np.savez(path / "cameras_sphere.npz", **world_matrices(intrinsics, poses, world_from_normalized))
    for name, (center, radius) in BALLS.items():
        ball = trimesh.creation.icosphere(subdivisions=3, radius=radius * SCALE)
        ball.apply_translation(np.array(center) * SCALE + OFFSET)
        ball.export(path / f"gt_mesh_{name}.ply")
    return masks


def _cast(
    calibration: NDArray[np.float64],
    pose: NDArray[np.float64],
    size: tuple[int, int],
    center: NDArray[np.float64],
    radius: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth [H, W] of a ball, infinite where it is missed, and its normals [H, W, 3] there."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    ways = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(calibration).T @ pose[:, :3].T
    start = pose[:, 3] - center
    a, b = (ways**2).sum(-1), ways @ start
    inside = b**2 - a * (start @ start - radius**2)
    depth = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
    normals = (start + np.where(np.isfinite(depth), depth, 0.0)[..., None] * ways) / radius
    return depth, normals
