"""Pictures of solids with a texture that runs through space, so that every view sees a point in the same grey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nto3d.types import ByteArray, Cameras, FloatArray
from tests.helpers import look_at

Depth = Callable[[FloatArray, FloatArray], FloatArray]  # camera centre [3], directions [..., 3] with z = 1 -> z [...]
DISTANCE = 3.0
SIZE = (80, 100)


def cameras_at(angles: list[float], size: tuple[int, int] = SIZE, density: float = 36.0) -> Cameras:
    """Cameras on a ring in the plane z = 0, at angles (degrees) from +x, that look at the origin.

    `density` is in pixels per unit at the origin.
    """
    towards = [np.array([np.cos(angle), np.sin(angle), 0.0]) for angle in np.radians(angles)]
    focal = density * DISTANCE
    intrinsics = np.array([[focal, 0.0, size[1] / 2 - 0.3], [0.0, 1.02 * focal, size[0] / 2 - 0.8], [0.0, 0.0, 1.0]])
    poses = np.stack([look_at(DISTANCE * direction) for direction in towards])
    return Cameras(np.repeat(intrinsics[None], len(angles), axis=0), poses, size)


def plane_at(x: float) -> Depth:
    """The plane of points with a given x."""
    return lambda center, directions: (x - center[0]) / directions[..., 0]


def ball_of(radius: float) -> Depth:
    """The sphere around the origin; z = 0 beside it."""

    def depth(center: FloatArray, directions: FloatArray) -> FloatArray:
        a, b = (directions**2).sum(-1), directions @ center
        under = b**2 - a * (center @ center - radius**2)
        return np.where(under > 0, (-b - np.sqrt(np.maximum(under, 0.0))) / a, 0.0)

    return depth


def true_depths(cameras: Cameras, depth: Depth) -> FloatArray:
    """z [V, H, W] along the optical axis, 0 = nothing."""
    return np.stack([depth(cameras.centers[view], _directions(cameras, view)) for view in range(len(cameras))])


def pictures(cameras: Cameras, depth: Depth, wave: tuple[float, float] = (0.15, 0.5)) -> ByteArray:
    """uint8 [V, H, W, 3]; the waves of the texture have lengths between two values, in normalized units."""
    rng = np.random.default_rng(7)
    direction = rng.normal(size=(24, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    waves = 2 * np.pi * direction / rng.uniform(*wave, size=(24, 1))
    phase = rng.uniform(0, 2 * np.pi, 24)
    out = []
    for view, z in enumerate(true_depths(cameras, depth)):
        points = cameras.centers[view] + z[..., None] * _directions(cameras, view)
        grey = 128 + 14 * np.sin(points @ waves.T + phase).sum(axis=-1)
        out.append(np.where(z > 0, grey, 20.0))
    grey = np.clip(np.stack(out), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def _directions(cameras: Cameras, view: int) -> FloatArray:
    """Of the rays through all pixels [H, W, 3], one unit long along the optical axis."""
    rows, columns = np.indices(cameras.size).astype(np.float64)
    local = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(cameras.intrinsics[view]).T
    return local @ cameras.cam_to_world[view, :, :3].T
