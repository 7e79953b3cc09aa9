"""Pictures through Pillow: their size is bounded before they are unpacked."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nto3d.parsers.guard import bound, check_file, parsing
from nto3d.parsers.png import plain_png

MOST_PIXELS = 160_000_000  # the largest cameras have 150 million
MOST_FILE = 1 << 31
PICTURE = "a PNG or JPEG picture"
# Pixels that a byte can stand for: deflate packs 1,032 bytes into one (RFC 1951) and a PNG has up to 8 pixels a byte;
# in a JPEG a block of 64 takes a bit, and chroma may be a quarter
_DENSITY = {"PNG": 1032 * 8, "JPEG": 64 * 8 * 4, "MPO": 64 * 8 * 4}  # MPO: a JPEG with a second one
_SLACK = 1 << 16  # pixels of a picture too small for that to say anything
_SIGNATURE, _DEPTH_AT = b"\x89PNG\r\n\x1a\n", 24  # how a PNG begins, and where its header has the bits of a channel
_ORIENTATION = 0x0112  # of EXIF


@contextlib.contextmanager
def open_picture(
    path: Path, expected: str = PICTURE, formats: tuple[str, ...] = ("PNG", "JPEG")
) -> Iterator[Image.Image]:
    """A picture whose header is read and whose pixels are not; what the block does with it is guarded, too.

    Args:
        expected: of the file, in words. formats: of Pillow.

    Raises:
        InputError: it cannot be read, is no such picture, declares more pixels than `MOST_PIXELS` or than its bytes can
            hold, or is damaged where the block decodes it.
    """
    size = check_file(path, expected, MOST_FILE)
    with parsing(path, expected), warnings.catch_warnings():
        # Sizes are bounded here, and in one line; damaged notes do not matter. By module: threads share the filters
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with Image.open(path, formats=formats) as picture:
            pixels = picture.width * picture.height
            bound(path, f"its header ({picture.width} x {picture.height})", pixels, MOST_PIXELS, "pixels")
            if pixels > size * _DENSITY[picture.format or "PNG"] + _SLACK:
                raise ValueError(f"{picture.width} x {picture.height} pixels in {size} bytes")
            yield picture


def orientation(picture: Image.Image) -> int:
    """How a picture is to be shown, EXIF's 1 (as it is stored) to 8; 1 where nothing is said or it cannot be read."""
    try:
        found = int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged note is none; the pixels are what counts
        return 1
    return found if 1 <= found <= 8 else 1


def upright(pixels: NDArray[Any], found: int) -> NDArray[Any]:
    """Pixels [H, W, ...] turned as an orientation (1 to 8) says."""
    if found >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = found in (3, 4, 7, 8), found in (2, 3, 6, 7)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def is_deep(path: Path) -> bool:
    """Whether a file is a PNG of 16 bits a channel, from its header; not whether it is whole."""
    with parsing(path, PICTURE), path.open("rb") as file:
        start = file.read(_DEPTH_AT + 1)
    return start.startswith(_SIGNATURE) and start[_DEPTH_AT:] == bytes([16])


def read_deep(path: Path) -> NDArray[np.uint16]:
    """The values of a PNG of 16 bits a channel as they are stored, [H, W, C]: grey, RGB or RGBA (grey and alpha, too).

    Pillow, which keeps only the high byte of colours, is asked first: it refuses truncated files.

    Raises:
        InputError: as `open_picture`.
    """
    import cv2  # not needed for other pictures

    with open_picture(path) as picture:
        picture.load()
        if picture.mode.startswith("I"):
            grey: NDArray[Any] = np.asarray(picture).astype(np.uint16)
            return grey[:, :, None]
        found = cv2.imdecode(np.frombuffer(plain_png(path.read_bytes()), np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None or found.dtype != np.uint16 or found.shape[:2] != (picture.height, picture.width):
            raise ValueError("OpenCV reads something else than 16 bits a channel")
    colors: NDArray[Any] = found if found.ndim == 3 else found[:, :, None]
    return np.ascontiguousarray(colors[:, :, [2, 1, 0, 3][: colors.shape[2]]]) if colors.shape[2] > 2 else colors
