"""One picture as a scene of one view."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from nto3d.data.files.masks import check_extent, read_masks
from nto3d.data.images import read_image, reduce_image, used_bits
from nto3d.errors import InputError
from nto3d.geometry.cameras import intrinsics_from_fov, scale_intrinsics
from nto3d.parsers.pictures import open_picture, orientation
from nto3d.types import BoolArray, Cameras, Scene

log = logging.getLogger("nto3d")
MOST_BORDER = 0.9  # share of a picture's border that is target where a mask may be inverted


def read_single(path: Path, mask: Path | None, fov_degrees: float, downscale: int, name: str) -> Scene:
    """A scene of one view whose camera stands in the origin; nothing is scaled: world and normalized frame are one.

    Args:
        path: PNG or JPEG, turned as its EXIF orientation says. mask: a picture of the size that it then has, or None
            (see `files.masks`).
        fov_degrees: along the picture's longer side. downscale: whole factor by which both are reduced.

    Raises:
        InputError: a file is no picture or too small, or the mask has another size or shows nothing.
    """
    full = read_image(path, used_bits([path]), turned=True)
    _say_turned(path)
    if downscale > min(full.shape[:2]):
        raise InputError(f"scene.downscale: expected at most {min(full.shape[:2])} for {path}, got {downscale}")
    image = reduce_image(full, downscale)
    masks = None
    if mask is not None:
        masks = _read_mask(mask, downscale, (full.shape[0], full.shape[1]))
    height, width = image.shape[:2]
    intrinsics = intrinsics_from_fov((height, width), fov_degrees)
    if full.shape[:2] != (height * downscale, width * downscale):  # cropped first: it sees less than the angle
        whole = intrinsics_from_fov((full.shape[0], full.shape[1]), fov_degrees)
        intrinsics = scale_intrinsics(whole, 1 / downscale, 1 / downscale)
    return Scene(
        name=name,
        images=image[None],
        cameras=Cameras(intrinsics[None], np.eye(3, 4)[None], (height, width)),
        masks=masks,
        depths=None,
        names=(path.name,),
        train=(0,),
        test=(),
        world_from_normalized=np.eye(4),
    )


def _say_turned(path: Path) -> None:
    with open_picture(path) as picture:
        found = orientation(picture)
    if found != 1:
        log.info(
            "%s: shown as its EXIF orientation %d says; a mask, depth and clicks belong to this picture", path, found
        )


def _read_mask(path: Path, downscale: int, size: tuple[int, int]) -> BoolArray:
    """The mask [1, h, w] of a picture of size (H, W)."""
    masks = read_masks([path], downscale, size, turned=True)
    if not masks.any():
        raise InputError(f"{path}: expected a mask of the target, no pixel is set")
    check_extent(masks, path)
    edges = np.concatenate([masks[0, 0], masks[0, -1], masks[0, :, 0], masks[0, :, -1]])
    if edges.mean() > MOST_BORDER:
        log.warning("%s: %.0f %% of the picture's border is target; is the mask inverted?", path, 100 * edges.mean())
    return masks
