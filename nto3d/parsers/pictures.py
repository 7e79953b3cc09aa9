"""Pictures through Pillow: their size is bounded before they are unpacked."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from nto3d.parsers.guard import bound, check_file, parsing

MOST_PIXELS = 160_000_000  # the largest cameras have 150 million
MOST_FILE = 1 << 31
PICTURE = "a PNG or JPEG picture"
# Pixels that a byte can stand for: deflate packs 1,032 bytes into one (RFC 1951) and a PNG has up to 8 pixels a byte;
# in a JPEG a block of 64 takes a bit, and chroma may be a quarter
_DENSITY = {"PNG": 1032 * 8, "JPEG": 64 * 8 * 4, "MPO": 64 * 8 * 4}  # MPO: a JPEG with a second one
_SLACK = 1 << 16  # pixels of a picture too small for that to say anything


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
        # Sizes are bounded here, and in one line; damaged EXIF does not matter
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with Image.open(path, formats=formats) as picture:
            pixels = picture.width * picture.height
            bound(path, f"its header ({picture.width} x {picture.height})", pixels, MOST_PIXELS, "pixels")
            if pixels > size * _DENSITY[picture.format or "PNG"] + _SLACK:
                raise ValueError(f"{picture.width} x {picture.height} pixels in {size} bytes")
            yield picture
