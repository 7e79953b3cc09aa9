"""Cameras from which nothing can be reconstructed, or something else than they mean, are refused.

Of V views that are used, the numbers are those of their keys world_mat_i and scale_mat_i in the file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nto3d.errors import InputError
from nto3d.geometry.hull import visual_hull
from nto3d.geometry.poses import is_mirrored, pixel_error
from nto3d.types import BoolArray, Cameras, FloatArray

log = logging.getLogger("nto3d")
HULL, DISSENT, MORE = 32, 0.1, 1.1  # cells of the masks' hull; see `visual_hull`; how much larger it has to be
MOST_ERROR = 0.5  # pixels by which rounding may move the middle of the scene


def check_same_frame(file: Path, numbers: Sequence[int], scale_mats: Sequence[FloatArray]) -> None:
    """Refuse files whose views do not have one normalized frame (world from normalized [4, 4], as stored)."""
    first = scale_mats[0].astype(np.float64)
    size = float(np.abs(first[:3, :3]).max())
    kind = scale_mats[0].dtype
    rounding = float(np.finfo(kind).eps) * float(np.abs(first[:3, 3]).max()) if kind.kind == "f" else 0.0
    for number, scale_mat in zip(numbers, scale_mats, strict=True):
        if not np.abs(scale_mat[:3] - first[:3]).max() <= 1e-4 * size + rounding:
            raise InputError(
                f"{file}: expected the same scale_mat for all views, scale_mat_{number} differs from "
                f"scale_mat_{numbers[0]}"
            )


def check_stored(
    file: Path, numbers: Sequence[int], world_mats: Sequence[FloatArray], world_from_normalized: FloatArray
) -> None:
    """Refuse matrices [4, 4] that were stored as numbers too coarse for where the scene lies."""
    middle = world_from_normalized[:3, 3]
    for number, stored in zip(numbers, world_mats, strict=True):
        wrong = pixel_error(stored.astype(np.float64), stored.dtype, middle)
        if wrong > MOST_ERROR and stored.dtype != np.float64:
            raise InputError(
                f"{file}: world_mat_{number}: expected float64 for a scene this far from the world's origin, got "
                f"{stored.dtype}, whose rounding moves it by {wrong:.2g} pixels"
            )


def check_viewpoints(
    file: Path, numbers: Sequence[int], world_mats: Sequence[FloatArray], cam_to_world: FloatArray
) -> None:
    """Refuse cameras at one place, mirrored ones, and those that all look away.

    Args:
        world_mats: V matrices [4, 4]. cam_to_world: [V, 3, 4], normalized frame.
    """
    centers = cam_to_world[:, :, 3]
    if len(centers) > 1 and np.abs(centers - centers[0]).max() < 1e-6:
        raise InputError(f"{file}: expected cameras at different places, all {len(centers)} stand at the same point")
    behind = _behind(cam_to_world)
    mirrored = [view for view in np.flatnonzero(behind).tolist() if is_mirrored(world_mats[view])]
    if mirrored:
        raise InputError(
            f"{file}: world_mat_{numbers[mirrored[0]]}: expected K [R | t] with a rotation R (right-handed, x right, y "
            "down, z forward), got a mirrored camera: one axis of the picture, the camera or the world is flipped"
        )
    if behind.all():
        raise InputError(
            f"{file}: expected cameras that look at the unit sphere of scale_mat, it lies behind all of them "
            "(are y and z flipped, as in OpenGL?)"
        )


def check_masks_in_front(file: Path, numbers: Sequence[int], cameras: Cameras, masks: BoolArray) -> None:
    """Refuse cameras that have the unit sphere behind them though their masks [V, H, W] show the target."""
    for view in np.flatnonzero(_behind(cameras.cam_to_world)).tolist():
        if masks[view].any():
            raise InputError(
                f"{file}: world_mat_{numbers[view]}: expected a camera that sees the target, as its mask does, got one "
                "that has the unit sphere of scale_mat behind it (are its axes flipped?)"
            )


def check_hands(
    file: Path, numbers: Sequence[int], cameras: Cameras, opposite: BoolArray, masks: BoolArray | None
) -> None:
    """Refuse cameras mirrored along their optical axis, which are taken for others, turned by half a circle about it.

    As projections the two are one, and a matrix of the other sign is as good: only masks tell them apart. What they
    have in common is larger for the cameras that are meant. Without masks the log says what is assumed.

    Args:
        opposite: [V], whose matrices have the sign of a mirror, see `is_mirrored`. masks: bool [V, H, W], or None.
    """
    if not opposite.any():
        return
    first = numbers[int(np.argmax(opposite))]
    if masks is None:
        log.warning("%s: world_mat_%d has the sign of a mirror: taken for one times a negative number", file, first)
        return
    turned = cameras.cam_to_world.copy()
    turned[opposite, :, :2] *= -1.0
    found = [
        visual_hull(some, range(len(masks)), HULL, masks, margin=0.0, dissent=DISSENT).sum()
        for some in (cameras, replace(cameras, cam_to_world=turned))
    ]
    if found[1] > MORE * found[0]:
        raise InputError(
            f"{file}: world_mat_{first}: expected K [R | t] with a rotation R (right-handed, x "
            "right, y down, z forward), got a mirrored camera by what the masks have in common: the z axis is flipped"
        )


def _behind(cam_to_world: FloatArray) -> BoolArray:
    """Whether the unit sphere lies behind each camera [V, 3, 4]."""
    behind: BoolArray = -(cam_to_world[:, :, 2] * cam_to_world[:, :, 3]).sum(axis=1) <= -1
    return behind
