"""A PNG cut down to what its pixels need, and checked, so that a decoder finds nothing in it to complain of.

OpenCV alone reads colours of 16 bits whole, and what libpng has to say of a damaged file goes to the terminal.
"""

from __future__ import annotations

import struct
import zlib

from nto3d.parsers.archives import inflate

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type (PNG specification, section 11.2.1)
_FILTERS = 4  # the largest number of one (section 9.2)
# Adam7 (section 8.2): the first row and column of a pass, and how far apart its rows and columns are
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def plain_png(data: bytes) -> bytes:
    """The same pixels with no chunk but the header, the pixels and the end, for 8 and 16 bits a channel.

    Raises:
        ValueError: a chunk is damaged, the pixels are not as many as the header says, or a row has no known filter.
    """
    chunks = _chunks(data)
    header = next((content for kind, content in chunks if kind == b"IHDR"), b"")
    if len(header) != 13:
        raise ValueError("a PNG without header")
    width, height, bits, color, compression, filters, interlaced = struct.unpack(">IIBBBBB", header)
    if bits not in (8, 16) or color not in _CHANNELS or compression or filters or interlaced > 1 or not width * height:
        raise ValueError("a PNG of an unknown kind")
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    pixel, strides = _CHANNELS[color] * bits // 8, []
    for row, column, down, right in passes:
        rows, columns = -(-(height - row) // down), -(-(width - column) // right)
        strides += [columns * pixel + 1] * rows if rows > 0 and columns > 0 else []
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    raw, place = inflate(packed, sum(strides)), 0
    for stride in strides:
        if raw[place] > _FILTERS:
            raise ValueError(f"a row with the filter {raw[place]}")
        place += stride
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 0)), (b"IEND", b""))  # packed anew: nothing lies behind it
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    place = len(_SIGNATURE)
    while place + 12 <= len(data) and (not found or found[-1][0] != b"IEND"):
        length, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        end = place + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(kind + content)):
            raise ValueError(f"a damaged chunk {kind!r}")
        found.append((kind, content))
        place = end + 4
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
