"""Tiny scenes for tests: a shaded sphere seen by cameras on a ring, written in the DTU layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]  # of the repository
SAMPLE = ROOT / "datasets" / "sample"  # the bundled scene
FloatArray = NDArray[np.float64]
SPHERE_RADIUS = 0.5  # normalized units


@dataclass(frozen=True)
class WrittenScene:
    """What `write_dtu_scene` wrote.

    Attributes:
        path: the scene's folder.
        intrinsics: [V, 3, 3] pixels. cam_to_world: [V, 3, 4], normalized frame.
        world_from_normalized: [4, 4].
        images: uint8 [V, H, W, 3]. masks: bool [V, H, W]. depths: float32 [V, H, W], z in world units, 0 = nothing.
    """

    path: Path
    intrinsics: FloatArray
    cam_to_world: FloatArray
    world_from_normalized: FloatArray
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    depths: NDArray[np.float32]


def look_at(center: FloatArray, target: FloatArray | None = None) -> FloatArray:
    """Camera to world [3, 4] (OpenCV axes) of a camera at `center` that looks at `target` (default: the origin)."""
    forward = (np.zeros(3) if target is None else target) - center
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    return np.column_stack([right, down, forward, center])


def ring_cameras(views: int, size: tuple[int, int], distance: float = 3.0) -> tuple[FloatArray, FloatArray]:
    """Intrinsics [V, 3, 3] and camera to world [V, 3, 4] of cameras on a ring around the unit sphere."""
    height, width = size
    focal = 1.1 * min(size) * distance / 2
    intrinsics = np.array([[focal, 0.0, width / 2 - 0.3], [0.0, 1.02 * focal, height / 2 - 0.8], [0.0, 0.0, 1.0]])
    angles = 2 * np.pi * np.arange(views) / max(views, 1)
    heights = np.where(np.arange(views) % 2 == 0, 0.3, 0.6)
    ring = np.stack([np.cos(angles) * np.cos(heights), np.sin(angles) * np.cos(heights), np.sin(heights)], axis=1)
    poses = [look_at(distance * center) for center in ring]
    return np.repeat(intrinsics[None], views, axis=0), np.array(poses).reshape(views, 3, 4)


def render_sphere(
    intrinsics: FloatArray, cam_to_world: FloatArray, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], FloatArray]:
    """Picture [H, W, 3], mask [H, W] and z-depth [H, W] (normalized units, 0 = nothing) of the sphere."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(float)
    local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T  # z = 1
    rotation, center = cam_to_world[:, :3], cam_to_world[:, 3]
    directions = local @ rotation.T
    a, b = (directions**2).sum(-1), directions @ center
    discriminant = b**2 - a * (center @ center - SPHERE_RADIUS**2)
    mask = discriminant > 0
    z = np.where(mask, (-b - np.sqrt(np.maximum(discriminant, 0))) / a, 0.0)
    normals = (center + z[..., None] * directions) / SPHERE_RADIUS
    image = np.where(mask[..., None], 128 + 100 * normals, 40)
    return np.clip(image, 0, 255).astype(np.uint8), mask, z


def world_matrices(
    intrinsics: FloatArray, cam_to_world: FloatArray, world_from_normalized: FloatArray
) -> dict[str, NDArray[np.float32]]:
    """The entries world_mat_i and scale_mat_i of `cameras_sphere.npz`."""
    entries: dict[str, NDArray[np.float32]] = {}
    normalized_from_world = np.linalg.inv(world_from_normalized)
    for view, (calibration, pose) in enumerate(zip(intrinsics, cam_to_world, strict=True)):
        rotation = pose[:, :3].T
        projection = np.eye(4)
        projection[:3] = calibration @ np.column_stack([rotation, -rotation @ pose[:, 3]])
        entries[f"world_mat_{view}"] = (projection @ normalized_from_world).astype(np.float32)
        entries[f"scale_mat_{view}"] = world_from_normalized.astype(np.float32)
    return entries


def write_dtu_scene(
    path: Path,
    views: int = 6,
    size: tuple[int, int] = (24, 32),
    *,
    masks: bool = True,
    depths: bool = False,
    mesh: bool = False,
    digits: int = 3,
    suffix: str = ".png",
    image_folder: str = "image",
    mask_folder: str = "mask",
    cameras_file: str = "cameras_sphere.npz",
    scale: float = 10.0,
    offset: tuple[float, float, float] = (1.0, -2.0, 30.0),
    edit_cameras: Callable[[dict[str, NDArray]], dict[str, NDArray]] | None = None,
) -> WrittenScene:
    """Write a scene in the DTU layout under `path` (made where absent) and tell what was written.

    A test breaks one thing afterwards (deletes, truncates or replaces a file); `edit_cameras` receives the entries of
    the camera file and returns those to write. `depths` writes depth/NNN.npy (z, world units), `mesh` gt_mesh.ply.
    """
    intrinsics, cam_to_world = ring_cameras(views, size)
    world_from_normalized = np.diag([scale, scale, scale, 1.0])
    world_from_normalized[:3, 3] = offset
    rendered = [render_sphere(k, pose, size) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    written = WrittenScene(
        path=path,
        intrinsics=intrinsics,
        cam_to_world=cam_to_world,
        world_from_normalized=world_from_normalized,
        images=np.stack([image for image, _, _ in rendered]),
        masks=np.stack([mask for _, mask, _ in rendered]),
        depths=np.stack([(z * scale).astype(np.float32) for _, _, z in rendered]),
    )
    stems = [f"{view:0{digits}d}" for view in range(views)]
    write_pictures(path / image_folder, [stem + suffix for stem in stems], written.images)
    if masks:
        write_pictures(path / mask_folder, [f"{stem}.png" for stem in stems], written.masks.astype(np.uint8) * 255)
    if depths:
        (path / "depth").mkdir(exist_ok=True)
        for stem, depth in zip(stems, written.depths, strict=True):
            np.save(path / "depth" / f"{stem}.npy", depth)
    if mesh:
        write_sphere(path / "gt_mesh.ply", SPHERE_RADIUS * scale, offset)
    entries: dict[str, NDArray] = dict(world_matrices(intrinsics, cam_to_world, world_from_normalized))
    np.savez(path / cameras_file, **(entries if edit_cameras is None else edit_cameras(entries)))
    return written


def write_pictures(folder: Path, names: list[str], pictures: NDArray[np.uint8]) -> None:
    """Write pictures [V, H, W, ...] into a folder, which is made where absent."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)


def write_sphere(file: Path, radius: float, center: tuple[float, float, float]) -> None:
    """Write a closed mesh of a sphere."""
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    sphere.apply_translation(center)
    sphere.export(file)


def truncate(file: Path, share: float = 0.6) -> None:
    """Cut a file to a share of its bytes."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def write_to_full_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is written for a file of this name lands on /dev/full."""
    open_file = os.open

    def opened(path: str | Path, flags: int, *rest: int) -> int:
        if Path(path).name.startswith(f".{name}."):
            return open_file("/dev/full", os.O_WRONLY)
        return open_file(path, flags, *rest)

    monkeypatch.setattr(os, "open", opened)
