"""Damage of archives: zip members and their directory, headers of npy, pickles of torch; with right check sums."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate.raw import NUMBERS, damage, number, spliced

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# Fields of the central directory and of a local header (APPNOTE.TXT, 4.3.7 and 4.3.12): place, bytes
_CENTRAL = ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4))
_LOCAL = ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_SHAPES = (
    *("()", "(0,)", "(1,)", "(4,)", "(4, 4)", "(-1,)", "(4, -4)", "(2.0, 3)", "(True, 4)", "('a',)", "((4, 4),)", "4"),
    *("(10**30,)", "(1" + "0" * 30 + ",)", "(4294967296, 4294967296)", "(65536,)", "(2147483647, 2)", "(0, 10**9)"),
    *("(1" + "0" * 12 + ", 0)", "(" + "1, " * 40 + ")", "(" + "1, " * 300 + ")", "[4, 4]", "None", "(4, 4", "{}"),
)
_TYPES = (
    *("<f8", "<f4", "<f2", ">f8", "<i8", "<u1", "|b1", "|O", "<U4", "|S8", "|V16", "<M8[s]", "<c16", "<f16", "|V0"),
    *("<U0", "<U99999999", "|S999999999", "x", "", "<f", "99999f8", "(2,2)f8", "f8,f8", "O,i4"),
)
_DESCRS = ("[('a', '<f8'), ('b', '|O')]", "[('a', '<f8', (9, 9))]", "[]", "None", "3", "('a', 'b')", "['<f8']")


def npy(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """An .npy with another header of the right length, or with damage in its header or data."""
    length = struct.unpack_from("<H", content, 8)[0]
    header, data = content[10 : 10 + length].decode("latin-1"), content[10 + length :]
    kind = rng.randrange(6)
    if kind == 0:
        header = damage(rng, header.encode("latin-1"), others).decode("latin-1")
    elif kind == 1:
        data = damage(rng, data, others)
    elif kind == 2:
        data = data * rng.choice((0, 2, 3))
    elif kind == 3:
        extra = rng.choice(
            ("", "'x': 1", "'shape': (1,)", "**{}", "lambda: 0", "(" * 200, "-" * 3000, "\\", "\0", "9" * 6000)
        )
        header = header.replace("}", extra + "}")
    else:
        descr = rng.choice(_DESCRS) if rng.random() < 0.3 else repr(rng.choice(_TYPES))
        shape, order = rng.choice(_SHAPES), rng.choice(("False", "True", "True", "0", "None", "'a'"))
        header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    version = rng.choice((b"\x01\x00",) * 6 + (b"\x02\x00", b"\x03\x00", b"\x00\x00", b"\xff\xff"))
    code = "<H" if version[0] < 2 else "<I"
    raw = header.encode("latin-1", "replace")[:65535]
    return content[:6] + version + struct.pack(code, len(raw)) + raw + data


def members(content: bytes) -> list[tuple[str, bytes]]:
    """The names and contents in a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(member.filename, archive.read(member)) for member in archive.infolist()]


def packed(members: Sequence[tuple[str, bytes]], methods: Sequence[int]) -> bytes:
    """A zip of these members, each packed by its method."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for (name, data), method in zip(members, methods, strict=True):
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


def directory(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A zip with another value in a header of a member, or in the record at the end."""
    magic, fields = rng.choice(
        (
            (b"PK\x01\x02", _CENTRAL),
            (b"PK\x03\x04", _LOCAL),
            (b"PK\x05\x06", ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4))),
        )
    )
    places, place = [], content.find(magic)
    while place >= 0:
        places.append(place)
        place = content.find(magic, place + 4)
    start = rng.choice(places)
    for _ in range(rng.choice((1, 1, 2))):
        offset, size = rng.choice(fields)
        value = number(rng, size, "<")
        if rng.random() < 0.3:
            value = struct.pack("<H" if size == 2 else "<I", rng.choice((1, 8, 12, 14, 93, 95, 99, 0x2000, 0x800)))
        content = spliced(content, start + offset, start + offset + size, value)
    return content


def npz(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """An .npz whose members are changed, renamed, removed, doubled, or packed in another way."""
    if rng.random() < 0.25:
        return directory(rng, content, others)
    found = members(content)
    methods = [rng.choice(_METHODS if rng.random() < 0.1 else _METHODS[:2])] * len(found)
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(found))
        name, data = found[place]
        kind = rng.randrange(10)
        if kind < 5:
            found[place] = (name, npy(rng, data, others))
        elif kind < 7:
            found[place] = (name, damage(rng, data, [other for _, other in found]))
        elif kind == 7 and len(found) > 1:
            del found[place], methods[place]
        elif kind == 8:
            found.append((name, found[rng.randrange(len(found))][1]))
            methods.append(methods[0])
        else:
            renamed = rng.choice(
                (name.upper(), "../" + name, name + ".npy", "", "a" * 300, name.replace("0", "٠"), "\udcff")
            )
            found[place] = (renamed.encode("utf-8", "replace").decode(), data)
    written = packed(found, methods)
    return directory(rng, written, others) if rng.random() < 0.05 else written


def torch_zip(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """What torch saved with a damaged pickle or damaged tensors, and right check sums."""
    if rng.random() < 0.2:
        return directory(rng, content, others)
    found = members(content)
    pickles = [place for place, (name, _) in enumerate(found) if name.endswith(".pkl")]
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice(pickles) if rng.random() < 0.7 else rng.randrange(len(found))
        name, data = found[place]
        if name.endswith(".pkl") and rng.random() < 0.5:
            found[place] = (name, _pickle(rng, data))
        elif rng.random() < 0.1:
            found[place] = (rng.choice(("archive/x", name + "0", found[0][0])), data)
        else:
            found[place] = (name, damage(rng, data, others))
    return packed(found, [rng.choice((0,) * 9 + (8,))] * len(found))


def _pickle(rng: Random, data: bytes) -> bytes:
    """A pickle with another number, opcode or name."""
    place = rng.randrange(max(1, len(data)))
    kind = rng.randrange(4)
    if kind == 0:
        return spliced(
            data, place, place + 1, bytes([rng.choice(b"].()}tauseqQKMJGhjRcX0b2l\x85\x86\x87\x88\x89\x8a\x8b\x94")])
        )
    if kind == 1:
        value = struct.pack("<I", rng.choice(NUMBERS) & 0xFFFFFFFF)
        return spliced(
            data, place, place, rng.choice((b"J" + value, b"X" + value, b"\x8b" + value, b"\x8a\xff", b"j" + value))
        )
    if kind == 2:
        old = rng.choice((b"FloatStorage", b"_rebuild_tensor_v2", b"OrderedDict", b"storage", b"cpu", b"torch"))
        return data.replace(
            old, rng.choice((b"os\nsystem", b"x", b"LongStorage", b"BoolStorage", b"cuda", b"meta", b"")), 1
        )
    return spliced(data, place, place, rng.choice((b"]", b"}", b"(", b"N", b"0", b"2")) * rng.choice((1, 3, 3000)))
