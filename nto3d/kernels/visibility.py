"""Which cameras see surface points, by signed distances on a grid and by masks.

Letters: R points, S cameras a point, V cameras, H W size of their pictures, G cells along an axis.
"""

# ruff: noqa: UP018, SIM102
# (Warp tells variables from constants by the call of float, int or bool, and evaluates both sides of an "and")
# mypy: disable-error-code="operator,misc"
# (inside kernels, where wp.tid() and wp.vec3 mean more than Warp's stubs say)
from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from nto3d.kernels.launch import array, launch_spans, runs

LIFT = 1.5  # cells along the normal by which a ray's start is off the surface, which the grid does not know exactly
DEEP = -0.35  # cells below the surface from which on a place hides what lies behind it
LEAST, MOST = 0.5, 12.0  # cells of a step


@dataclass(frozen=True)
class Watchers:
    """The cameras that may see something.

    Attributes:
        project: float32 [V, 3, 4] pixel (homogeneous) of a point, normalized frame. centers: float32 [V, 3].
        masks: uint8 [V, H, W], 0 where a camera sees something else than what is asked for; [V, 0, 0]: nowhere.
        facing: least cosine between a point's normal and the direction to a camera.
    """

    project: Tensor
    centers: Tensor
    masks: Tensor
    facing: float


@wp.func
def _distance(grid: wp.array(dtype=wp.float32, ndim=3), x: wp.vec3) -> float:  # type: ignore[valid-type]
    """Trilinear value at a place, in units of the corners' numbers."""
    last = grid.shape[0] - 2
    i = wp.clamp(int(x[0]), 0, last)
    j = wp.clamp(int(x[1]), 0, last)
    k = wp.clamp(int(x[2]), 0, last)
    fx = x[0] - float(i)
    fy = x[1] - float(j)
    fz = x[2] - float(k)
    a = wp.lerp(grid[i, j, k], grid[i, j, k + 1], fz)
    b = wp.lerp(grid[i, j + 1, k], grid[i, j + 1, k + 1], fz)
    c = wp.lerp(grid[i + 1, j, k], grid[i + 1, j, k + 1], fz)
    d = wp.lerp(grid[i + 1, j + 1, k], grid[i + 1, j + 1, k + 1], fz)
    return wp.lerp(wp.lerp(a, b, fy), wp.lerp(c, d, fy), fx)


@wp.func
def _within_sphere(origin: wp.vec3, to: wp.vec3) -> wp.vec2:
    """Where a line enters and leaves the sphere of interest, along its unit direction."""
    middle = -wp.dot(origin, to)
    nearest = origin + to * middle
    half = wp.sqrt(wp.max(1.0 - wp.dot(nearest, nearest), 0.0))
    return wp.vec2(middle - half, middle + half)


@wp.kernel(module="nto3d.visibility", enable_backward=False)
def _trace(
    grid: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [G + 1]^3
    origin: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    direction: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    hit: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    least: float,
    most: float,
    begin: int,
    end: int,
    stride: int,
) -> None:
    ray = begin + wp.tid()
    cells = float(grid.shape[0] - 1)
    size = 2.0 / cells
    while ray < end:
        x = (origin[ray] + wp.vec3(1.0, 1.0, 1.0)) / size
        to = direction[ray]
        within = _within_sphere(origin[ray], to)
        t = wp.max(within[0], 0.0) / size
        last = within[1] / size
        found = float(-1.0)
        before = float(1.0)
        step = float(0.0)
        while t < last and found < 0.0:
            d = _distance(grid, x + to * t) / size
            if d < 0.0:
                # A line through the last two distances; at the very start there is but one
                found = wp.max(t + step * d / (before - d), 0.0)
            before = wp.max(d, 0.0)
            step = wp.clamp(d, least, most)
            t += step
        hit[ray] = found * size
        ray += stride


@wp.func
def _shown(
    project: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [V, 3, 4]
    masks: wp.array(dtype=wp.uint8, ndim=3),  # type: ignore[valid-type]  # [V, H, W]
    view: int,
    x: wp.vec3,
) -> bool:
    """Whether a camera's mask has the pixel of a place."""
    if masks.shape[1] == 0:
        return True
    z = project[view, 2, 0] * x[0] + project[view, 2, 1] * x[1] + project[view, 2, 2] * x[2] + project[view, 2, 3]
    if z <= 0.0:
        return False
    u = (project[view, 0, 0] * x[0] + project[view, 0, 1] * x[1] + project[view, 0, 2] * x[2] + project[view, 0, 3]) / z
    v = (project[view, 1, 0] * x[0] + project[view, 1, 1] * x[1] + project[view, 1, 2] * x[2] + project[view, 1, 3]) / z
    column = int(wp.floor(u + 0.5))
    row = int(wp.floor(v + 0.5))
    if column < 0 or row < 0 or column >= masks.shape[2] or row >= masks.shape[1]:
        return False
    return masks[view, row, column] != wp.uint8(0)


@wp.kernel(module="nto3d.visibility", enable_backward=False)
def _look(
    grid: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [G + 1]^3
    point: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    normal: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    project: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [V, 3, 4]
    centers: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [V]
    masks: wp.array(dtype=wp.uint8, ndim=3),  # type: ignore[valid-type]  # [V, H, W]
    views: wp.array(dtype=wp.int32, ndim=2),  # type: ignore[valid-type]  # [R, S]
    clear: wp.array(dtype=wp.uint8, ndim=2),  # type: ignore[valid-type]  # [R, S]
    facing: float,
    lift: float,
    deep: float,
    least: float,
    most: float,
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = begin + wp.tid()
    one = wp.vec3(1.0, 1.0, 1.0)
    size = 2.0 / float(grid.shape[0] - 1)
    while item < end:
        # In cells from here on: a corner's number is its place
        x = (point[item] + normal[item] * (lift * size) + one) / size
        for s in range(views.shape[1]):
            view = views[item, s]
            free = bool(False)
            if view >= 0:
                if wp.dot(wp.normalize(centers[view] - point[item]), normal[item]) > facing:
                    free = _shown(project, masks, view, point[item])
            if free:
                to = wp.normalize((centers[view] + one) / size - x)
                # To the camera, or to where the line leaves the sphere of interest
                last = _within_sphere(x * size - one, to)[1] / size
                last = wp.min(last, wp.length((centers[view] + one) / size - x))
                t = float(0.0)
                while free and t < last:
                    d = _distance(grid, x + to * t) / size
                    if d < deep:
                        free = bool(False)
                    t += wp.clamp(d, least, most)
            if free:
                clear[item, s] = wp.uint8(1)
        item += stride


def first_hits(grid: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """Where rays enter the solid of a grid of signed distances, as exactly as the grid knows.

    Args:
        grid: [G + 1, G + 1, G + 1] float32, as in `unoccluded`. origins, directions: [R, 3] float32, unit directions.

    Returns:
        Distance [R] along the rays, within the unit sphere; negative where a ray meets nothing.
    """
    device, count = origins.device, len(origins)
    hit = torch.full((count,), -1.0, device=device)
    if count:
        places = [array(value.contiguous(), wp.vec3) for value in (origins, directions)]
        arguments = [array(grid), *places, array(hit), LEAST, MOST]
        launch_spans(_trace, arguments, [(span,) for span in runs(count, count * 32, device)], device)
    return hit


def unoccluded(grid: Tensor, point: Tensor, normal: Tensor, watchers: Watchers, views: Tensor) -> Tensor:
    """Which cameras see surface points: in their masks, from the front, and with nothing in between.

    Args:
        grid: [G + 1, G + 1, G + 1] float32 signed distance at the corners of G^3 cells over [-1, 1]^3, normalized
            units; it may be less than the true one in free space. Only what is thicker than about half a cell, within
            the unit sphere, hides anything.
        point, normal: [R, 3] float32, surface points and unit normals. watchers: the cameras.
        views: [R, S] int32 indices of cameras; -1: none.

    Returns:
        bool [R, S], false for no camera.
    """
    device, (count, width) = point.device, views.shape
    clear = torch.zeros(count, width, dtype=torch.uint8, device=device)
    if count:
        arguments = [
            array(grid),
            array(point.contiguous(), wp.vec3),
            array(normal.contiguous(), wp.vec3),
            array(watchers.project),
            array(watchers.centers, wp.vec3),
            array(watchers.masks),
            array(views),
            array(clear),
            *(watchers.facing, LIFT, DEEP, LEAST, MOST),
        ]
        launch_spans(_look, arguments, [(span,) for span in runs(count, count * width * 16, device)], device)
    return clear != 0
