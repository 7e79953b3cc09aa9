"""Where the cameras stand (normalized frame, OpenCV axes, integer pixel coordinates are pixel centres)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One pinhole camera.

    Attributes:
        intrinsics: [3, 3] pixels. rotation: [3, 3] normalized -> camera. center: [3] normalized. size: (H, W).
    """

    intrinsics: Floats
    rotation: Floats
    center: Floats
    size: tuple[int, int]

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixel coordinates [P, 2] and depths along the optical axis [P] of points [P, 3], normalized frame."""
        camera = (points - self.center) @ self.rotation.T
        pixel = camera @ self.intrinsics.T
        return pixel[:, :2] / pixel[:, 2:], camera[:, 2]

    def inside(self, points: Floats) -> NDArray[np.bool_]:
        """Which points [P, 3] lie in front of the camera and inside the picture."""
        xy, depth = self.project(points)
        height, width = self.size
        return (depth > 0) & (xy > -0.5).all(axis=1) & (xy[:, 0] < width - 0.5) & (xy[:, 1] < height - 0.5)


@dataclass(frozen=True)
class Rings:
    """A plan of cameras on rings of constant elevation around the target.

    Attributes:
        elevations: degrees above the horizon, one a ring; view k is on ring k modulo their number.
        distance: of the camera from the sphere's centre, sphere radii. fill: radius of the projected unit sphere as a
            share of the shorter picture side. jitter: how far the aim wanders from the centre, sphere radii.
        cut_every: every so many views are aimed aside, so that the picture's border cuts the target; 0: none.
        cut: lowest and highest share of the target's surface outside the picture in such a view.
    """

    elevations: tuple[float, ...]
    distance: float
    fill: float
    jitter: float
    cut_every: int = 0
    cut: tuple[float, float] = (0.0, 0.0)


def ring_views(plan: Rings, count: int, size: tuple[int, int], surface: Floats, rng: np.random.Generator) -> list[View]:
    """Place `count` cameras by the plan.

    Args:
        size: (H, W). surface: points [P, 3] spread evenly over the target, to measure what a picture cuts off.
    """
    rings = len(plan.elevations)
    turn = rng.uniform(-80.0, -50.0)  # the first view sees the target's front and right at an angle
    views = []
    for k in range(count):
        ring, place = k % rings, k // rings
        on_ring = len(range(ring, count, rings))
        azimuth = np.radians(turn + 360.0 * (place + ring * 0.38) / on_ring + rng.uniform(-4.0, 4.0))
        elevation = np.radians(plan.elevations[ring] + rng.uniform(-1.0, 1.0))
        direction = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        center = direction * plan.distance * rng.uniform(0.97, 1.03)
        aim = rng.uniform(-plan.jitter, plan.jitter, size=3)
        if plan.cut_every and k % plan.cut_every == plan.cut_every - 1:
            views.append(_cut_view(plan, center * 0.85, size, surface, rng))
        else:
            views.append(look_at(center, aim, plan.fill, size))
    return views


def look_at(center: Floats, aim: Floats, fill: float, size: tuple[int, int]) -> View:
    """A camera at `center` [3] that looks at `aim` [3], z up in the picture; `fill` as in `Rings`."""
    height, width = size
    forward = (aim - center) / np.linalg.norm(aim - center)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    distance = float(np.linalg.norm(center))
    focal = fill * min(height, width) * np.sqrt(distance**2 - 1.0)
    # off-centre by about one percent, so that swapping or dropping the principal point shows
    principal = ((width - 1) / 2 + 0.008 * width, (height - 1) / 2 - 0.006 * height)
    intrinsics = np.array([[focal, 0.0, principal[0]], [0.0, focal, principal[1]], [0.0, 0.0, 1.0]])
    return View(intrinsics, rotation, center, size)


def _cut_view(plan: Rings, center: Floats, size: tuple[int, int], surface: Floats, rng: np.random.Generator) -> View:
    """A closer camera aimed so far aside that a drawn share of the surface is out of the picture."""
    share = rng.uniform(*plan.cut)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    level = look_at(center, np.zeros(3), plan.fill, size)
    aside = np.cos(angle) * level.rotation[0] + np.sin(angle) * level.rotation[1]
    near, far = 0.0, 2.0
    for _ in range(30):
        middle = 0.5 * (near + far)
        view = look_at(center, middle * aside, plan.fill, size)
        if 1.0 - view.inside(surface).mean() < share:
            near = middle
        else:
            far = middle
    return look_at(center, far * aside, plan.fill, size)
