"""Depth from a file that belongs to the picture: a depth map (PNG, NPY, NPZ) or a point for each pixel (OBJ, PLY)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from nto3d.depth.base import PointMap, back_project, picture_size
from nto3d.depth.readers import read_array, read_obj, read_ply, read_png
from nto3d.errors import InputError
from nto3d.geometry.cameras import PYTORCH3D_AXES
from nto3d.geometry.depth_codes import sentinels
from nto3d.types import BoolArray, ByteArray, FloatArray

log = logging.getLogger("nto3d")
DEPTH_READERS = {".png": read_png, ".npy": read_array, ".npz": read_array}
POINT_READERS = {".obj": read_obj, ".ply": read_ply}


class FileDepth:
    """Depth from a file of the picture's size, or of the size that it has on disk.

    - `.png`: grey of 8 or 16 bits, z along the optical axis in steps of `scale`.
    - `.npy`, `.npz` (key `depth`): floats [H, W], z along the optical axis.
    - `.obj`, `.ply`: H * W vertices in the order of the pixels, row by row, with the axes of PyTorch3D (x left, y up,
      z forward) as the demo of MCC writes them; the intrinsics are not used.

    A depth of 0, NaN or infinity is unknown; so is a code for that (see `geometry.depth_codes`), and a vertex that is
    not finite or has z <= 0.

    Args:
        path: the file.
        scale: units per stored unit (per step of a PNG).
        full: (H, W) of the picture on disk, before it was reduced. reduce: makes a depth map of that size (0: unknown)
            one of the picture's.

    Raises:
        InputError: there is no such file, its suffix is unknown, or the scale is not positive.
    """

    def __init__(
        self,
        path: Path,
        scale: float = 1.0,
        full: tuple[int, int] | None = None,
        reduce: Callable[[FloatArray], FloatArray] = lambda depth: depth,
    ) -> None:
        suffix, suffixes = path.suffix, (*DEPTH_READERS, *POINT_READERS)
        if suffix.lower() not in suffixes:
            raise InputError(f"{path}: expected a file of depth ({', '.join(suffixes)}), got {suffix or 'no suffix'}")
        if not path.is_file():
            raise InputError(f"{path}: expected a file of depth, there is no such file")
        if not 0 < scale < np.inf:
            raise InputError(f"{path}: expected a positive scale of its depth, got {scale}")
        self._path, self._scale = path, scale
        self._full, self._reduce = full, reduce

    def point_map(self, image: ByteArray, intrinsics: FloatArray) -> PointMap:
        """The points in the file, camera frame, OpenCV axes, in the file's unit times the scale.

        Args:
            image: uint8 [H, W, 3], the picture that the file belongs to. intrinsics: [3, 3], its pixels.

        Raises:
            InputError: the file is damaged, of another size than the picture, has negative depths, or nothing is
                known in it.
            ValueError: the picture or the intrinsics are of another shape or type.
        """
        size = picture_size(image)
        suffix = self._path.suffix.lower()
        if suffix in POINT_READERS:
            return self._from_vertices(POINT_READERS[suffix](self._path), size)
        depth = DEPTH_READERS[suffix](self._path, partial(self._check_size, size))
        return back_project(self._checked(depth, size), intrinsics)

    def _check_size(self, size: tuple[int, int], found: tuple[int, ...]) -> None:
        """Compares [H, W] of a depth map with the picture's, as it is and as it is on disk."""
        if found not in (size, self._full):
            (height, width), (rows, columns) = self._full or size, found
            turned = rows != columns and (rows, columns) == (width, height)
            raise InputError(
                f"{self._path}: expected a depth map of {width} x {height} pixels like the picture, "
                f"got {columns} x {rows}"
                + (" (turned by a quarter: scene=image takes a picture as its EXIF orientation says)" if turned else "")
            )

    def _checked(self, depth: FloatArray, size: tuple[int, int]) -> FloatArray:
        """A depth map [H, W] of the picture, scaled; 0 where it is unknown."""
        finite = np.isfinite(depth)
        codes = self._codes(depth)
        negative = int((finite & (depth < 0) & ~codes).sum())
        if negative:
            raise InputError(
                f"{self._path}: expected depths of 0 (unknown) and above, got {negative} of {depth.size} pixels below 0"
            )
        if not (finite & (depth > 0)).any():
            what = "0, NaN or infinity (unknown)" if finite.any() else "NaN or infinity"
            raise InputError(f"{self._path}: expected a depth above 0 at some pixels, got {what} everywhere")
        with np.errstate(over="ignore"):  # what is not finite is unknown
            known = np.where(finite & ~codes, depth, 0).astype(np.float64) * self._scale
        return known if depth.shape == size else self._reduce(known)

    def _codes(self, depth: FloatArray) -> BoolArray:
        """Where a depth map [H, W] holds codes for "unknown", which are told."""
        found, codes = sentinels(depth)
        if codes:
            numbers = " and ".join(f"{code:g}" for code in codes)
            log.info("%s: %d pixels are %s, which is taken for unknown", self._path, np.count_nonzero(found), numbers)
        elif self._path.suffix.lower() == ".png" and (most := np.count_nonzero(np.isnan(depth))):
            log.info("%s: %d pixels are the largest number there can be, taken for unknown", self._path, most)
        return found

    def _from_vertices(self, vertices: FloatArray, size: tuple[int, int]) -> PointMap:
        """Vertices [H * W, 3] float32 as a point map."""
        full = self._full or size
        height, width = size if len(vertices) == size[0] * size[1] else full
        if len(vertices) != height * width:
            raise InputError(
                f"{self._path}: expected {height * width} vertices, one for each of the picture's {width} x {height} "
                f"pixels, got {len(vertices)}"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is unknown
            factors = np.array(PYTORCH3D_AXES, dtype=np.float32) * np.float32(self._scale)
            points = vertices.reshape(height, width, 3) * factors
        valid = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
        if not valid.any():
            raise InputError(
                f"{self._path}: expected vertices before the camera (x left, y up, z forward), "
                f"got none of {len(vertices)} that is finite with z > 0"
            )
        points[~valid] = 0
        return PointMap(points, valid) if (height, width) == size else _reduced(points, size, self._reduce)


def _reduced(points: FloatArray, size: tuple[int, int], reduce: Callable[[FloatArray], FloatArray]) -> PointMap:
    """Points [H, W, 3] (0: none) as means over blocks, known where the reduced depth is."""
    depth = reduce(points[..., 2])
    rows, columns = size
    factor = points.shape[0] // rows
    blocks = points[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    count = np.count_nonzero(blocks[..., 2], axis=(1, 3))
    mean = blocks.sum(axis=(1, 3)) / np.maximum(count, 1)[..., None]
    mean[..., 2] = depth
    return PointMap(np.where(depth[..., None] > 0, mean, 0).astype(np.float32), depth > 0)
