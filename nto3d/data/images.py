"""Read pictures and masks from files, and reduce them by whole factors.

A reduction by n averages n x n blocks; what does not fill a block at the right and lower border is cropped first, so
that `geometry.cameras.scale_intrinsics(K, 1 / n, 1 / n)` describes the result exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from nto3d.errors import InputError
from nto3d.geometry.depth_codes import saturated
from nto3d.parsers.archives import read_npy
from nto3d.parsers.pictures import MOST_PIXELS, open_picture
from nto3d.types import BoolArray, ByteArray, FloatArray

MASK_THRESHOLD = 127  # mask values above it are on the target
MIXED_DEPTH = 0.05  # a reduced depth pixel whose block spreads further than this share of its mean is unknown
READERS = 8  # pictures decoded at the same time, at most
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def _decode(path: Path, keep_grey: bool = False) -> ByteArray:
    """The picture as uint8 RGB [H, W, 3] (8-bit grey as [H, W] if kept); transparency is dropped, 16 bits become 8."""
    with open_picture(path) as picture:
        picture.load()  # Pillow refuses truncated files here, where OpenCV would fill the missing part with grey
        if picture.mode.startswith("I"):
            grey = np.asarray(picture).astype(np.float64)
            byte = np.clip(np.round(grey / 257), 0, 255).astype(np.uint8)
            return np.repeat(byte[:, :, None], 3, axis=2)
        return np.asarray(picture if keep_grey and picture.mode == "L" else picture.convert("RGB"))


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) in pixels from the file's header; the pixels are not decoded.

    Raises:
        InputError: the file is absent, empty or no picture.
    """
    with open_picture(path) as picture:
        return picture.height, picture.width


def read_image(path: Path) -> ByteArray:
    """A PNG or JPEG (grey, palette, RGB or RGBA; 8 or 16 bits) as uint8 RGB [H, W, 3]. Transparency is dropped.

    Raises:
        InputError: the file is absent, empty, no picture, damaged or truncated.
    """
    return _decode(path)


def read_mask(path: Path) -> BoolArray:
    """A mask picture as bool [H, W]: true where any colour channel exceeds 127 of 255.

    Raises:
        InputError: as `read_image`.
    """
    mask: BoolArray = read_levels(path) > MASK_THRESHOLD
    return mask


def read_levels(path: Path) -> ByteArray:
    """The brightest channel of a picture as uint8 [H, W].

    Raises:
        InputError: as `read_image`.
    """
    pixels = _decode(path, keep_grey=True)
    return pixels if pixels.ndim == 2 else pixels.max(axis=2)


def read_depth(path: Path, unit: float) -> FloatArray:
    """A depth map as float32 [H, W], 0 = unknown: floats from an npy file, or a 16-bit grey PNG (65535: unknown, too).

    Args:
        path: the file.
        unit: what one step of a PNG stands for.

    Raises:
        InputError: the file cannot be read, is of another kind, or holds negative values, NaN or infinity.
    """
    if path.suffix == ".npy":
        depth = read_npy(path, "a depth map as npy", 8 * MOST_PIXELS)
        if depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating):
            raise InputError(f"{path}: expected a depth map of floats [H, W], got {depth.dtype} {list(depth.shape)}")
        with np.errstate(over="ignore"):  # beyond float32 is as good as infinite
            depth = depth.astype(np.float32)
        if not np.isfinite(depth).all() or (depth < 0).any():
            raise InputError(f"{path}: expected depths of 0 (unknown) and above, got negative values, NaN or infinity")
        return depth
    with open_picture(path, "a depth picture") as picture:
        picture.load()
        if not picture.mode.startswith("I"):
            raise InputError(f"{path}: expected a depth picture of 16-bit grey, got mode {picture.mode}")
        steps = np.asarray(picture)
        return np.where(saturated(steps, 2**16 - 1), 0, steps).astype(np.float32) * np.float32(unit)


def reduced_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """(H, W) after a reduction by a whole factor.

    Raises:
        ValueError: the factor is below 1 or larger than the picture.
    """
    height, width = size
    if factor < 1 or factor > min(height, width):
        raise ValueError(f"expected a reduction factor from 1 to {min(height, width)}, got {factor}")
    return height // factor, width // factor


def _average_blocks(values: np.ndarray, factor: int) -> np.ndarray:
    height, width = reduced_size(values.shape[:2], factor)
    if factor == 1:
        return values
    cropped = values[: height * factor, : width * factor]
    averaged: np.ndarray = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
    return averaged


def reduce_image(image: ByteArray, factor: int) -> ByteArray:
    """A picture [H, W, 3] averaged over blocks of factor x factor pixels: [H // factor, W // factor, 3]."""
    return _average_blocks(image, factor)


def reduce_mask(mask: BoolArray, factor: int) -> BoolArray:
    """A mask [H, W] reduced by majority: true where at least half of the block is."""
    if factor == 1:
        return mask
    share = _average_blocks(mask.astype(np.float32), factor)
    reduced: BoolArray = share > 0.5 - 1e-4  # a half may come out a rounding error below 0.5
    return reduced


def reduce_depth(depth: FloatArray, factor: int) -> FloatArray:
    """A depth map [H, W] (0 = unknown) reduced: the mean of the known part of a block.

    A block is unknown where less than half of it is known, or where it spans a depth edge (the mean would lie on
    neither side).
    """
    if factor == 1:
        return depth
    height, width = reduced_size((depth.shape[0], depth.shape[1]), factor)
    cropped = depth[: height * factor, : width * factor].reshape(height, factor, width, factor)
    known = cropped > 0
    count = known.sum(axis=(1, 3))
    mean = np.where(known, cropped, 0).sum(axis=(1, 3)) / np.maximum(count, 1)
    nearest = np.where(known, cropped, np.inf).min(axis=(1, 3))
    spread = cropped.max(axis=(1, 3)) - nearest  # -inf where nothing is known
    valid = (2 * count >= factor * factor) & (spread <= MIXED_DEPTH * mean)
    return np.where(valid, mean, 0).astype(depth.dtype)


def common_size(paths: Sequence[Path]) -> tuple[int, int]:
    """(H, W) that all pictures share, from their headers.

    Raises:
        InputError: a picture has another size than the first, or cannot be read.
    """
    size = picture_size(paths[0])
    for path in paths[1:]:
        other = picture_size(path)
        if other != size:
            raise InputError(
                f"{path}: expected {size[1]} x {size[0]} pixels like {paths[0].name}, got {other[1]} x {other[0]}"
            )
    return size


def read_images(paths: Sequence[Path], factor: int) -> ByteArray:
    """Pictures of one size, reduced: uint8 [V, H // factor, W // factor, 3]; a few are held in full size at a time.

    Raises:
        InputError: a picture cannot be read or has another size than the first.
        ValueError: the factor does not fit the pictures.
    """
    images = np.empty((len(paths), *reduced_size(common_size(paths), factor), 3), dtype=np.uint8)

    def read(view: int) -> None:
        images[view] = reduce_image(read_image(paths[view]), factor)

    _for_each(read, len(paths))
    return images


def read_masks(paths: Sequence[Path], factor: int, size: tuple[int, int]) -> BoolArray:
    """Masks, reduced: bool [V, H // factor, W // factor].

    Args:
        paths: V mask pictures.
        factor: of the reduction.
        size: (H, W) of the pictures the masks belong to, before the reduction.

    Raises:
        InputError: a mask cannot be read or has another size.
    """
    masks = np.empty((len(paths), *reduced_size(size, factor)), dtype=np.bool_)

    def read(view: int) -> None:
        path = paths[view]
        mask = read_mask(path)
        if mask.shape != size:
            height, width = mask.shape
            raise InputError(
                f"{path}: expected {size[1]} x {size[0]} pixels like its picture, got a mask of {width} x {height}"
            )
        masks[view] = reduce_mask(mask, factor)

    _for_each(read, len(paths))
    return masks


def _for_each(work: Callable[[int], None], count: int) -> None:
    """Do `work` for 0 .. count - 1 in a few threads (decoders release the interpreter); the first error is raised."""
    with ThreadPoolExecutor(max_workers=min(READERS, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, index) for index in range(count)]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
