"""A tiny scene of a ball of which one half is red and the other one blue: two objects that touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nto3d.export.mesh_io import write_mesh
from nto3d.export.regions import box, intersect
from nto3d.export.surface import extract_surface
from nto3d.types import BoolArray
from tests.helpers import SPHERE_RADIUS, render_sphere, ring_cameras, world_matrices

SIDES = {"red": -1.0, "blue": 1.0}  # of the plane x = 0
COLORS = {"red": (200, 60, 40), "blue": (50, 90, 210)}
SCALE, OFFSET = 10.0, (1.0, -2.0, 30.0)


def write_halves(path: Path, views: int, size: tuple[int, int]) -> dict[str, BoolArray]:
    """Write pictures, cameras and the truth of both halves, as of named objects; the masks [V, H, W] by name."""
    intrinsics, poses = ring_cameras(views, size)
    world_from_normalized = np.diag([SCALE, SCALE, SCALE, 1.0])
    world_from_normalized[:3, 3] = OFFSET
    masks = {name: np.zeros((views, *size), dtype=bool) for name in SIDES}
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    for view, (calibration, pose) in enumerate(zip(intrinsics, poses, strict=True)):
        picture, mask, z = render_sphere(calibration, pose, size)
        ways = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(calibration).T @ pose[:, :3].T
        places = pose[:, 3] + z[..., None] * ways
        for name, side in SIDES.items():
            masks[name][view] = mask & (places[..., 0] * side > 0)
            picture[masks[name][view]] = COLORS[name]
        _write(path / "image" / f"{view:03d}.png", picture)
        for name in SIDES:
            _write(path / f"mask_{name}" / f"{view:03d}.png", masks[name][view].astype(np.uint8) * 255)
    np.savez(path / "cameras_sphere.npz", **world_matrices(intrinsics, poses, world_from_normalized))
    for name, side in SIDES.items():
        half = intersect(
            lambda p: p.norm(dim=-1) - SPHERE_RADIUS, box([min(side, 0.0), -1, -1], [max(side, 0.0), 1, 1])
        )
        mesh = extract_surface(half, resolution=64, lower=[-0.6] * 3, upper=[0.6] * 3, device=torch.device("cpu"))
        write_mesh(mesh.transformed(world_from_normalized), path / f"gt_mesh_{name}.ply")
    return masks


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
