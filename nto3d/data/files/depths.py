"""Depth maps of a scene's views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nto3d.data.images import quarter_turn, read_depth, reduce_depth, reduced_size
from nto3d.errors import InputError
from nto3d.parsers.contents import LARGEST, shown
from nto3d.parsers.text import read_json_object
from nto3d.types import FloatArray


def read_depths(
    files: Sequence[Path | None], note: Path, downscale: int, full_size: tuple[int, int], scale: float
) -> FloatArray:
    """z-depths [V, H, W] float32 in normalized units, 0 = unknown.

    Args:
        files: V depth maps, None where nothing is known. note: JSON with the unit of those that are pictures.
        downscale: whole factor of the reduction. full_size: (H, W) of the pictures before it.
        scale: world units per normalized unit.

    Raises:
        InputError: a file cannot be used or has another size than the pictures.
    """
    pictures = any(file is not None and file.suffix == ".png" for file in files)
    unit = _depth_unit(note) if pictures else 1.0
    depths = np.zeros((len(files), *reduced_size(full_size, downscale)), dtype=np.float32)
    for view, file in enumerate(files):
        if file is None:
            continue
        depth = read_depth(file, unit, partial(_check_size, file, full_size))
        depths[view] = reduce_depth(depth, downscale) / scale
    return depths


def _check_size(file: Path, size: tuple[int, int], found: tuple[int, ...]) -> None:
    """Compares (H, W) of a depth map with its picture's."""
    if found != size:
        raise InputError(
            f"{file}: expected [H, W] = {list(size)} like its picture, got {list(found)}{quarter_turn(size, found)}"
        )


def _depth_unit(file: Path) -> float:
    """World units per step of the depth pictures."""
    what = "JSON with depth.scale, the world units per step of the pictures in depth/"
    try:
        unit = read_json_object(file, what)["depth"]["scale"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: expected {what}, it is not there") from error
    if isinstance(unit, bool) or not isinstance(unit, int | float) or not 0 < unit < LARGEST:
        raise InputError(f"{file}: expected a positive number for depth.scale, got {shown(unit)}")
    return float(unit)
