"""Masks that are white where the target is not are refused, if cameras and masks agree that they are.

Most of the border being target says little: an object may be cut off by its pictures all around. So something else has
to contradict. Either much of the target lies outside of the unit sphere, which holds what is to be reconstructed, and
nothing of the rest does; or no solid can look as the masks say, and one can look as the rest does: the visual hull of
all views covers little of the one, and nearly all of the other.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nto3d.errors import InputError
from nto3d.geometry.cameras import project, scale_intrinsics
from nto3d.geometry.hull import cell_centers, visual_hull
from nto3d.types import BoolArray, Cameras, FloatArray

BORDER = 0.5  # share of a picture's border that is target where it may be inverted, in at least half of the views
OUTSIDE, INSIDE = 0.25, 0.01  # shares outside of the unit sphere: least of the masks, most of the rest
MISSING, WHOLE = 0.6, 0.95  # shares that a hull covers: most of the masks, least of the rest
SIDE, CELLS = 320, 40  # pixels of a picture's longer side that are looked at, cells of a hull's
DISSENT = 0.05  # share of the views whose masks may be wrong


def check_sides(masks: BoolArray, cameras: Cameras, where: Path) -> None:
    """Refuses inverted masks [V, H, W].

    Args:
        cameras: of the V views, normalized frame. where: the folder that they come from.

    Raises:
        InputError: they are; the message says what was seen.
    """
    edges = [masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]]
    many = np.concatenate(edges, axis=1).mean(axis=1) > BORDER
    if 2 * many.sum() < len(masks):
        return
    step = -(-max(cameras.size) // SIDE)
    masks = np.ascontiguousarray(masks[:, step // 2 :: step, step // 2 :: step])
    cameras = Cameras(
        scale_intrinsics(cameras.intrinsics, 1 / step, 1 / step), cameras.cam_to_world, (masks.shape[1], masks.shape[2])
    )
    spheres = np.stack([_sphere(cameras, view) for view in range(len(masks))])
    outside, rest = _share(masks & ~spheres, masks), _share(~masks & ~spheres, ~masks)
    seen = f"in {many.sum()} of {len(masks)} views most of the picture's border is white, and"
    if outside > OUTSIDE and rest < INSIDE:
        seen += f" {outside:.0%} of what is white lies outside of the unit sphere of scale_mat"
    else:
        if (covered := _covered(masks, spheres, cameras, DISSENT)) > MISSING:
            return
        if _covered(~masks, spheres, cameras, 0.0) < WHOLE:
            return
        seen += f" what is black is one solid seen from all sides, what is white is none ({covered:.0%} fits)"
    raise InputError(f"{where}: expected masks that are white on the target, they look inverted: {seen}")


def _sphere(cameras: Cameras, view: int) -> BoolArray:
    """Pixels [H, W] whose rays meet the unit sphere."""
    height, width = cameras.size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    pose = cameras.cam_to_world[view]
    local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(cameras.intrinsics[view]).T
    directions = local @ pose[:, :3].T
    along = -(directions @ pose[:, 3]) / (directions * directions).sum(axis=-1)
    nearest = pose[:, 3] + np.maximum(along, 0.0)[..., None] * directions
    met: BoolArray = (nearest * nearest).sum(axis=-1) < 1.0
    return met


def _covered(masks: BoolArray, spheres: BoolArray, cameras: Cameras, dissent: float) -> float:
    """The share of masks [V, H, W], in the unit sphere, that the cells of their visual hull cover."""
    views = [view for view in range(len(masks)) if masks[view].any()]
    hull = cell_centers(CELLS)[visual_hull(cameras, views, CELLS, masks, dissent=dissent)].astype(np.float64)
    wanted, found = 0, 0
    for view in views:
        aim = masks[view] & spheres[view]
        wanted += int(aim.sum())
        found += int((aim & _drawn(cameras, view, hull)).sum())
    return found / max(wanted, 1)


def _drawn(cameras: Cameras, view: int, places: FloatArray) -> BoolArray:
    """Pixels [H, W] that cells with their middles at places [P, 3] cover, generously."""
    xy, z = project(cameras.intrinsics[view], cameras.cam_to_world[view], places)
    xy, z = xy[z > 1e-6], z[z > 1e-6]
    height, width = cameras.size
    focal = float(np.abs(cameras.intrinsics[view, [0, 1], [0, 1]]).max())
    radius = int(np.ceil(focal * 3**0.5 / CELLS / np.median(z))) if len(z) else 0
    # A margin keeps cells whose middle the picture does not hold
    pixels = np.rint(np.clip(xy, -radius, [width + radius, height + radius])).astype(int) + radius
    drawn = np.zeros((height + 2 * radius + 1, width + 2 * radius + 1), dtype=np.uint8)
    drawn[pixels[:, 1], pixels[:, 0]] = 1
    grown = cv2.dilate(drawn, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
    covered: BoolArray = grown[radius : radius + height, radius : radius + width]
    return covered


def _share(part: BoolArray, whole: BoolArray) -> float:
    return float(part.sum() / max(whole.sum(), 1))
