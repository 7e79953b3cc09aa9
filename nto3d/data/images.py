"""Read pictures and masks from files, and reduce them by whole factors.

A reduction by n averages n x n blocks; what does not fill a block at the right and lower border is cropped first, so
that `geometry.cameras.scale_intrinsics(K, 1 / n, 1 / n)` describes the result exactly.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nto3d.data.files.bits import DEEP, Brightness
from nto3d.errors import InputError
from nto3d.geometry.depth_codes import saturated
from nto3d.parsers.archives import read_npy
from nto3d.parsers.pictures import MOST_PIXELS, is_deep, open_picture, orientation, read_deep, upright
from nto3d.types import BoolArray, ByteArray, FloatArray

log = logging.getLogger("nto3d")
MASK_THRESHOLD = 127  # mask values above it are on the target
MIXED_DEPTH = 0.05  # a reduced depth pixel whose block spreads further than this share of its mean is unknown
READERS = 8  # pictures decoded at the same time, at most
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def _decode(path: Path, keep_grey: bool = False, bits: int = DEEP, turned: bool = False) -> ByteArray:
    """The picture as uint8 RGB [H, W, 3] (8-bit grey as [H, W] if kept); transparency is dropped, 16 bits become 8.

    Args:
        bits: of 16 that are used. turned: as the EXIF orientation says.
    """
    with open_picture(path) as picture:
        picture.load()  # Pillow refuses truncated files here, where OpenCV would fill the missing part with grey
        found = orientation(picture) if turned else 1
        if bits < DEEP and is_deep(path):
            return upright(_stretched(path, bits), found)
        if picture.mode.startswith("I"):
            grey = np.asarray(picture).astype(np.float64)
            byte = np.clip(np.round(grey / 257), 0, 255).astype(np.uint8)
            return upright(np.repeat(byte[:, :, None], 3, axis=2), found)
        return upright(np.asarray(picture if keep_grey and picture.mode == "L" else picture.convert("RGB")), found)


def _stretched(path: Path, bits: int) -> ByteArray:
    """A picture of 16 bits a channel of which some are used, RGB [H, W, 3]."""
    values = read_deep(path)[:, :, :3]
    colors = values if values.shape[2] == 3 else np.repeat(values[:, :, :1], 3, axis=2)
    return np.rint(np.minimum(colors, 2**bits - 1) * (255.0 / (2**bits - 1))).astype(np.uint8)


def used_bits(paths: Sequence[Path]) -> int:
    """How many bits the pictures of 16 bits a channel among these use, 8, 10, 12, 14 or 16; said in the log if fewer.

    One answer for all of them, from their largest value that is no hot pixel, so that their brightness stays
    comparable.

    Raises:
        InputError: one of them cannot be read.
    """
    deep = [path for path in paths if is_deep(path)]
    if not deep:
        return DEEP
    found = Brightness(sum(math.prod(picture_size(path)) for path in deep))

    def look(index: int) -> None:
        if not found.decided:
            found.add(read_deep(deep[index])[:, :, :3].max(axis=2))

    for_each(look, len(deep))
    bits, hot = found.used()
    if hot:
        line = "%s: pictures of 16 bits use %d of them, which are stretched; %d hot pixels (up to %d) are clipped"
        log.info(line, deep[0].parent, bits, hot, found.top)
    elif bits < DEEP:
        log.info(
            "%s: pictures of 16 bits use %d of them (values up to %d), which are stretched",
            deep[0].parent,
            bits,
            found.top,
        )
    elif found.dark:
        line = "%s: 99.9 %% of the pixels are below an eighth of 16 bits, the brightest is %d: taken as they are, dark"
        log.warning(line, deep[0].parent, found.top)
    return bits


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) in pixels from the file's header; the pixels are not decoded.

    Raises:
        InputError: the file is absent, empty or no picture.
    """
    with open_picture(path) as picture:
        return picture.height, picture.width


def read_image(path: Path, bits: int = DEEP, turned: bool = False) -> ByteArray:
    """A PNG or JPEG (grey, palette, RGB or RGBA; 8 or 16 bits) as uint8 RGB [H, W, 3]. Transparency is dropped.

    Args:
        bits: of 16 that are used, see `used_bits`. turned: as its EXIF orientation says, else as it is stored.

    Raises:
        InputError: the file is absent, empty, no picture, damaged or truncated.
    """
    return _decode(path, bits=bits, turned=turned)


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


def read_depth(path: Path, unit: float, check: Callable[[tuple[int, ...]], None] | None = None) -> FloatArray:
    """A depth map as float32 [H, W], 0 = unknown: floats from an npy file, or a 16-bit grey PNG (65535: unknown, too).

    Args:
        path: the file.
        unit: what one step of a PNG stands for.
        check: gets (H, W) from the header before the pixels are decoded, and may raise an InputError.

    Raises:
        InputError: the file cannot be read, is of another kind, or holds negative values, NaN or infinity.
    """
    if path.suffix == ".npy":

        def look(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
            if len(shape) != 2 or not np.issubdtype(dtype, np.floating):
                raise InputError(f"{path}: expected a depth map of floats [H, W], got {dtype} {list(shape)}")
            if check is not None:
                check(shape)

        depth = read_npy(path, "a depth map as npy", 8 * MOST_PIXELS, look)
        with np.errstate(over="ignore"):  # beyond float32 is as good as infinite
            depth = depth.astype(np.float32)
        if not np.isfinite(depth).all() or (depth < 0).any():
            raise InputError(f"{path}: expected depths of 0 (unknown) and above, got negative values, NaN or infinity")
        return depth
    with open_picture(path, "a depth picture") as picture:
        if not picture.mode.startswith("I"):
            raise InputError(f"{path}: expected a depth picture of 16-bit grey, got mode {picture.mode}")
        if check is not None:
            check((picture.height, picture.width))
        picture.load()
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
        InputError: a picture has another size than most, or cannot be read.
    """
    sizes = [picture_size(path) for path in paths]
    size = Counter(sizes).most_common(1)[0][0]
    for path, other in zip(paths, sizes, strict=True):
        if other != size:
            like = paths[sizes.index(size)].name
            raise InputError(
                f"{path}: expected {size[1]} x {size[0]} pixels like {like}, got {other[1]} x {other[0]}"
                f"{quarter_turn(size, other)}"
            )
    return size


def quarter_turn(size: tuple[int, ...], other: tuple[int, ...]) -> str:
    """What a message on sizes (H, W) of a scene of several pictures adds where they differ by a quarter turn."""
    if size == other or size != other[::-1]:
        return ""
    return " (turned by a quarter: EXIF orientation is not applied here, cameras belong to the pixels as stored)"


def read_images(paths: Sequence[Path], factor: int) -> ByteArray:
    """Pictures of one size, reduced: uint8 [V, H // factor, W // factor, 3]; a few are held in full size at a time.

    Raises:
        InputError: a picture cannot be read or has another size than the first.
        ValueError: the factor does not fit the pictures.
    """
    images = np.empty((len(paths), *reduced_size(common_size(paths), factor), 3), dtype=np.uint8)
    bits = used_bits(paths)

    def read(view: int) -> None:
        images[view] = reduce_image(read_image(paths[view], bits), factor)

    for_each(read, len(paths))
    return images


def for_each(work: Callable[[int], None], count: int) -> None:
    """Do `work` for 0 .. count - 1 in a few threads (decoders release the interpreter); the first error is raised."""
    with ThreadPoolExecutor(max_workers=min(READERS, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, index) for index in range(count)]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
