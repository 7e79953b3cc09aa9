"""One picture as a scene of one view."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nto3d.data.images import read_image, read_levels, reduce_image, reduce_mask
from nto3d.errors import InputError
from nto3d.geometry.cameras import intrinsics_from_fov, scale_intrinsics
from nto3d.types import BoolArray, Cameras, Scene


def read_single(path: Path, mask: Path | None, fov_degrees: float, downscale: int, name: str) -> Scene:
    """A scene of one view whose camera stands in the origin; nothing is scaled: world and normalized frame are one.

    Args:
        path: PNG or JPEG. mask: a picture of the same size, or None; of 0 and 1, or bright on the target.
        fov_degrees: along the picture's longer side. downscale: whole factor by which both are reduced.

    Raises:
        InputError: a file is no picture or too small, or the mask has another size or shows nothing.
    """
    full = read_image(path)
    if downscale > min(full.shape[:2]):
        raise InputError(f"scene.downscale: expected at most {min(full.shape[:2])} for {path}, got {downscale}")
    image = reduce_image(full, downscale)
    masks = None
    if mask is not None:
        pixels = _read_mask(mask, full.shape[:2], path)
        masks = reduce_mask(pixels, downscale)[None]
        if not masks.any():
            raise InputError(f"{mask}: expected a mask of the target, no pixel is set")
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


def _read_mask(path: Path, size: tuple[int, ...], picture: Path) -> BoolArray:
    levels = read_levels(path)
    if levels.shape != size:
        raise InputError(
            f"{path}: expected a mask of {size[1]} x {size[0]} pixels like {picture.name}, got "
            f"{levels.shape[1]} x {levels.shape[0]}"
        )
    mask: BoolArray = levels > (0 if levels.max() <= 1 else 127)
    return mask
