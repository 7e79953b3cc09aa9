"""Damage of pictures: chunks of PNG with right check sums, segments of JPEG with right lengths."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate.raw import damage, number, spliced

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"tEXt", b"zTXt", b"iTXt"),
    *(b"pHYs", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"bKGD", b"sBIT", b"abcD", b"ABCD", b"\xff\x00\x01\x02"),
)
_SIDES = (0, 1, 2, 6, 7, 8, 9, 255, 4096, 30_000, 65_536, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 8 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A PNG whose chunks are changed, with their check sums.

    Raises:
        ValueError: it is no PNG.
    """
    if not content.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    chunks = _chunks(content)
    for _ in range(rng.choice((1, 1, 2))):
        _change(rng, chunks, others)
    written = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return _SIGNATURE + b"".join(written)


def _change(rng: Random, chunks: list[tuple[bytes, bytes]], others: Sequence[bytes]) -> None:
    place = rng.randrange(len(chunks))
    kind, data = chunks[place]
    what = rng.randrange(8)
    if what == 0:
        chunks[0] = (b"IHDR", _header(rng, chunks[0][1]))
    elif what == 1:
        chunks[place] = (kind, damage(rng, data, others))
    elif what == 2 and kind == b"IDAT":
        rows = zlib.decompress(data) if rng.random() < 0.9 else bytes(100_000)
        chunks[place] = (kind, zlib.compress(damage(rng, rows, others)))
    elif what == 3:
        chunks.insert(rng.randrange(len(chunks) + 1), (rng.choice(_KINDS), _payload(rng)))
    elif what == 4 and len(chunks) > 1:
        del chunks[place]
    elif what == 5:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[place])
    elif what == 6:
        chunks[place] = (rng.choice(_KINDS), data)
    else:
        rng.shuffle(chunks)


def _header(rng: Random, old: bytes) -> bytes:
    """Another IHDR: width, height, bits, colour type, compression, filter, interlace."""
    width, height, *rest = struct.unpack(">IIBBBBB", old) if len(old) == 13 else (8, 6, 8, 2, 0, 0, 0)
    kind = rng.randrange(4)
    if kind == 0:
        width = rng.choice(_SIDES)
    elif kind == 1:
        height = rng.choice(_SIDES)
    elif kind == 2:
        rest = [rng.choice((1, 2, 4, 8, 16)), rng.choice((0, 2, 3, 4, 6)), 0, 0, rng.choice((0, 1))]
    else:
        rest[rng.randrange(5)] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 255))
    return struct.pack(">IIBBBBB", width, height, *rest)


def _payload(rng: Random) -> bytes:
    """What a chunk may hold: text, packed text, a profile, EXIF, a frame of an animation."""
    kind = rng.randrange(8)
    if kind == 0:
        return b"Title\0" + rng.randbytes(rng.choice((0, 5, 2000)))
    if kind == 1:
        return b"Comment\0\0" + zlib.compress(bytes(rng.choice((10, 1 << 16, 1 << 21))))
    if kind == 2:
        return b"a\0\x01\0en\0a\0" + zlib.compress(bytes(rng.choice((10, 1 << 21))))
    if kind == 3:
        return exif(rng)
    if kind == 4:
        return number(rng, 4, ">") + number(rng, 4, ">")
    if kind == 5:
        return struct.pack(
            ">IIIIIHHBB", *(rng.choice(_SIDES) for _ in range(5)), 1, rng.choice((0, 1)), rng.randrange(4), 1
        )
    return rng.randbytes(rng.choice((0, 1, 3, 4, 9, 13, 26, 768)))


def exif(rng: Random) -> bytes:
    """A small EXIF with an orientation and other entries, of any types and counts."""
    order = rng.choice("<>")
    entries = [struct.pack(order + "HHIHH", 0x0112, 3, 1, rng.choice((0, 1, 3, 6, 8, 9, 65535)), 0)]
    for _ in range(rng.randrange(3)):
        tag = rng.choice((0x0112, 0x8769, 0x8825, 0x010F, rng.randrange(65536)))
        entries.append(
            struct.pack(order + "HH", tag, rng.randrange(14)) + number(rng, 4, order) + number(rng, 4, order)
        )
    start = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    return (
        start
        + struct.pack(order + "H", len(entries))
        + b"".join(entries)
        + rng.choice((bytes(4), number(rng, 4, order)))
    )


def jpeg(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A JPEG whose segments are changed, with their lengths.

    Raises:
        ValueError: it is no JPEG.
    """
    if not content.startswith(b"\xff\xd8"):
        raise ValueError("no JPEG")
    segments, place = [], 2
    while content[place : place + 1] == b"\xff" and content[place + 1] != 0xDA:
        length = struct.unpack_from(">H", content, place + 2)[0]
        segments.append((content[place + 1], content[place + 4 : place + 2 + length]))
        place += 2 + length
    scan = content[place:]
    which = rng.randrange(len(segments))
    code, data = segments[which]
    kind = rng.randrange(8)
    if kind < 2:
        segments[which] = (code, damage(rng, data, others))
    elif kind == 2 and code in (0xC0, 0xC2):
        side = number(rng, 2, ">")
        segments[which] = (code, spliced(data, *rng.choice(((1, 3), (3, 5))), side))
    elif kind == 3:
        segments.insert(rng.randrange(len(segments) + 1), (0xE1, b"Exif\0\0" + exif(rng)))
    elif kind == 4:
        segments.insert(
            rng.randrange(len(segments) + 1),
            (rng.choice((0xE0, 0xE2, 0xEE, 0xDD, 0xFE, 0xC1, 0xC9)), rng.randbytes(14)),
        )
    elif kind == 5:
        del segments[which]
    elif kind == 6:
        segments.append(segments[which])
    else:
        scan = damage(rng, scan, others)
    written = [
        b"\xff" + bytes([code]) + struct.pack(">H", len(data[:65533]) + 2) + data[:65533] for code, data in segments
    ]
    return b"\xff\xd8" + b"".join(written) + scan
