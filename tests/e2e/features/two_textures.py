"""A ball with two textures, partly hidden behind others in some views: what cameras see of it is known by hand.

Letters: V views, H W picture. The half with x < 0 (normalized frame) has dots, the other one stripes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers import SPHERE_RADIUS, FloatArray, ring_cameras, world_matrices

VIEWS, SIZE, DISTANCE = 12, (96, 128), 3.0
CLOSER = 1.4  # the ball fills the pictures better than the unit sphere would
HIDING, HELD_OUT = (3, 7, 9), (1, 9)  # views that have an occluder before the ball; views not trained on
OCCLUDER_RADIUS, OCCLUDER_AT, SIDEWAYS = 0.16, 1.3, 0.05  # normalized units; its distance and offset from the middle
FINER = 3  # rays a pixel, along each axis


@dataclass(frozen=True)
class TwoTextures:
    """What was written.

    Attributes:
        path: the scene's folder.
        images, clean: uint8 [V, H, W, 3], as written, and as they were without occluders.
        visible, whole: bool [V, H, W], where the target is seen, and where it is, hidden or not.
        dotted: bool [V, H, W], where the target's surface has x < 0, hidden or not.
    """

    path: Path
    images: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    dotted: NDArray[np.bool_]

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Where an occluder stands before the target, [V, H, W]."""
        return self.whole & ~self.visible


def albedo(points: FloatArray) -> FloatArray:
    """Colours [..., 3] in 0..1 of points [..., 3] of the ball."""
    longitude, latitude = np.arctan2(points[..., 1], points[..., 0]), np.arcsin(np.clip(points[..., 2] / 0.5, -1, 1))
    across, along = longitude * 24 / np.pi, latitude * 24 / np.pi  # periods of the pattern: 7.5 degrees, 4 or 5 pixels
    dots = (np.cos(2 * np.pi * across) + np.cos(2 * np.pi * along) > 0.6)[..., None]
    stripes = (np.sin(2 * np.pi * along) > 0.2)[..., None]
    dotted = np.where(dots, [0.95, 0.8, 0.2], [0.65, 0.15, 0.1])
    striped = np.where(stripes, [0.85, 0.9, 0.95], [0.1, 0.2, 0.6])
    return np.where(points[..., :1] < 0, dotted, striped)


def hit_ball(origin: FloatArray, directions: FloatArray, center: FloatArray, radius: float) -> FloatArray:
    """Distance [...] along unit directions [..., 3] to a ball, infinite where it is missed."""
    b = directions @ (origin - center)
    square = b**2 - ((origin - center) @ (origin - center) - radius**2)
    return np.where(square > 0, -b - np.sqrt(np.maximum(square, 0)), np.inf)


def occluder(cam_to_world: FloatArray) -> FloatArray:
    """Centre [3] of what stands before the ball for a camera, a little to the side."""
    return cam_to_world[:, 3] / DISTANCE * OCCLUDER_AT + cam_to_world[:, 0] * SIDEWAYS


def trace(
    intrinsics: FloatArray, cam_to_world: FloatArray, xy: FloatArray, occluders: list[FloatArray]
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Along rays through pixels [..., 2]: colours with and without occluders [..., 3], visible and whole target."""
    local = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) @ np.linalg.inv(intrinsics).T
    directions = local @ cam_to_world[:, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origin = cam_to_world[:, 3]
    far = hit_ball(origin, directions, np.zeros(3), SPHERE_RADIUS)
    whole = np.isfinite(far)
    points = origin + np.where(whole, far, 0.0)[..., None] * directions
    light = 0.75 + 0.25 * points[..., 2:] / SPHERE_RADIUS
    behind = 0.45 + 0.1 * directions  # a soft, greyish background
    clean = np.where(whole[..., None], albedo(points) * light, behind)
    near = np.min([hit_ball(origin, directions, center, OCCLUDER_RADIUS) for center in occluders], axis=0)
    hides = near < far
    return np.where(hides[..., None], [0.2, 0.5, 0.25], clean), clean, whole & ~hides, whole


def write_two_textures(path: Path) -> TwoTextures:
    """Write the scene in the DTU layout and tell what is in it."""
    intrinsics, cam_to_world = ring_cameras(VIEWS, SIZE, DISTANCE)
    intrinsics[:, :2, :2] *= CLOSER
    occluders = [occluder(cam_to_world[view]) for view in HIDING]
    height, width = SIZE
    y, x = np.mgrid[:height, :width].astype(float)
    centers = np.stack([x, y], axis=-1)
    steps = (np.arange(FINER) + 0.5) / FINER - 0.5
    parts: dict[str, list[NDArray]] = {name: [] for name in ("images", "clean", "visible", "whole", "dotted")}
    for calibration, pose in zip(intrinsics, cam_to_world, strict=True):
        shades = [trace(calibration, pose, centers + [dx, dy], occluders)[:2] for dx in steps for dy in steps]
        for name, shade in zip(("images", "clean"), np.mean(shades, axis=0), strict=True):
            parts[name].append((shade.clip(0, 1) * 255).round().astype(np.uint8))
        _, _, visible, whole = trace(calibration, pose, centers, occluders)
        parts["visible"].append(visible)
        parts["whole"].append(whole)
        parts["dotted"].append(whole & (surface_x(calibration, pose, centers) < 0))
    for folder, pictures in (("image", parts["images"]), ("mask", [np.uint8(255) * mask for mask in parts["visible"]])):
        (path / folder).mkdir(parents=True)
        for view, picture in enumerate(pictures):
            Image.fromarray(picture).save(path / folder / f"{view:03d}.png")
    np.savez(path / "cameras_sphere.npz", **world_matrices(intrinsics, cam_to_world, np.diag([10.0, 10.0, 10.0, 1.0])))
    return TwoTextures(path, **{name: np.stack(values) for name, values in parts.items()})


def surface_x(intrinsics: FloatArray, cam_to_world: FloatArray, xy: FloatArray) -> FloatArray:
    """x [...] of the ball's surface at pixels [..., 2], NaN where the ball is missed."""
    local = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) @ np.linalg.inv(intrinsics).T
    directions = local @ cam_to_world[:, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    far = hit_ball(cam_to_world[:, 3], directions, np.zeros(3), SPHERE_RADIUS)
    return cam_to_world[0, 3] + np.where(np.isfinite(far), far, np.nan) * directions[..., 0]
