"""A PNG cut down to its pixels is the same picture; a damaged one is refused before a decoder sees it."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from nto3d.parsers.png import plain_png

START = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def made(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 4), (1, 1, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_pixels_stay(shape: tuple[int, ...], dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    noted = made(pixels)
    noted = noted[:33] + chunk(b"tEXt", b"Title\0x") + noted[33:]
    plain = plain_png(noted)
    assert b"tEXt" not in plain
    assert (cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED) == pixels).all()


def test_interlaced_pixels_stay() -> None:
    # Adam7 of 3 x 2 grey pixels: passes 1, 6 (columns 0 and 2 by 2), 7 hold them
    header = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 1)
    rows = bytes([0, 10]) + bytes([0, 30]) + bytes([0, 20]) + bytes([0, 40, 50, 60])
    plain = plain_png(START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    found = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.tolist() == [[10, 20, 30], [40, 50, 60]]


def broken(**changes: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    parts = {"header": header, "rows": bytes(2 * 13), "after": b""} | changes
    pixels = chunk(b"IDAT", zlib.compress(parts["rows"]))
    return START + chunk(b"IHDR", parts["header"]) + pixels + parts["after"] + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (broken(rows=bytes(25)), "expected 26 bytes unpacked, got 25"),
        (broken(rows=bytes(27)), "got more"),
        (broken(rows=b"\x09" + bytes(25)), "the filter 9"),
        (broken(header=struct.pack(">IIBBBBB", 2, 2, 16, 5, 0, 0, 0)), "unknown kind"),
        (broken(header=struct.pack(">IIBBBBB", 2, 0, 16, 2, 0, 0, 0)), "unknown kind"),
        (broken(header=b"short"), "without header"),
        (broken(after=b"\0\0\0\4abcd12345678"), "damaged chunk"),
        (b"", "without header"),
    ],
)
def test_what_a_decoder_would_complain_of_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plain_png(data)
