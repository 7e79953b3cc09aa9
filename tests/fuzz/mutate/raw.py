"""Damage that knows no format: bits, bytes, numbers, blocks and ends."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

Mutator = Callable[[Random, bytes, Sequence[bytes]], bytes]  # (generator, a seed, all seeds of the reader)
BYTES = (0x00, 0x01, 0x0A, 0x20, 0x22, 0x2D, 0x30, 0x7F, 0x80, 0xC3, 0xFE, 0xFF)
NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 100_000, 1 << 20),
    *((1 << 24) - 1, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 33, (1 << 63) - 1, (1 << 64) - 1),
)
MOST = 1 << 18  # bytes of an input; what is larger is found by other tests


def damage(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        content = rng.choice(_KINDS)(rng, content, others)[:MOST]
    return content


def number(rng: Random, size: int, order: str) -> bytes:
    """A number that is interesting as a length or count, of `size` bytes; order is < or >."""
    value = rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(8 * size)
    letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    return struct.pack(order + letter, value & ((1 << (8 * size)) - 1))


def spliced(content: bytes, start: int, end: int, inserted: bytes = b"") -> bytes:
    """The content with other bytes from start to end."""
    return content[:start] + inserted + content[end:]


def _place(rng: Random, content: bytes) -> int:
    """A place, often near the start, where headers are."""
    span = len(content) if rng.random() < 0.6 else min(len(content), 128)
    return rng.randrange(span) if span else 0


def _span(rng: Random, content: bytes) -> tuple[int, int]:
    start = _place(rng, content)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, rng.randint(1, 256), len(content))))


def _flip(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _byte(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    place = _place(rng, content)
    return spliced(content, place, place + 1, bytes([rng.choice(BYTES)]))


def _number(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    place, size = _place(rng, content), rng.choice((1, 2, 4, 8))
    return spliced(content, place, place + size, number(rng, size, rng.choice("<>")))


def _truncate(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: _place(rng, content)]


def _delete(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return spliced(content, *_span(rng, content))


def _duplicate(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, content)
    place = rng.choice((end, _place(rng, content)))
    return spliced(content, place, place, content[start:end] * rng.choice((1, 1, 2, 50)))


def _noise(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, content)
    end = min(end, start + 64)
    return spliced(content, start, rng.choice((start, end)), rng.randbytes(end - start))


def _repeat(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, content)
    return spliced(content, start, end, bytes([rng.choice(BYTES)]) * (end - start))


def _splice(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else content
    return content[: _place(rng, content)] + other[_place(rng, other) :]


_KINDS: tuple[Mutator, ...] = (*(_flip, _byte, _number, _truncate, _delete, _duplicate, _noise, _repeat, _splice),)
