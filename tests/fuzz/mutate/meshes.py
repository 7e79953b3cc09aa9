"""Damage of meshes and tensors: headers of PLY, lines of OBJ, the JSON of GLB and of safetensors with right lengths."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.mutate.raw import NUMBERS, damage
from tests.fuzz.mutate.trees import TEXTS, changed

_PLY_TYPES = (b"float", b"double", b"uchar", b"int", b"ushort", b"char", b"list", b"float64", b"int64", b"text", b"")
_PLY_NAMES = (b"x", b"y", b"z", b"red", b"seen", b"nx", b"s", b"vertex_indices", b"vertex_index", b"intensity", b"")
_PLY_LINES = (
    *(b"comment TextureFile a.png", b"obj_info 1", b"element vertex 3", b"element edge 2", b"element face 0"),
    *(b"property list uchar int vertex_indices", b"property list float float x", b"property float x", b"end_header"),
    *(
        b"format ascii 1.0",
        b"format binary_big_endian 1.0",
        b"element material 4",
        b"property",
        b"element",
        b"",
        b"\xff",
    ),
)
_OBJ_LINES = (
    *(b"v", b"v 1", b"v 1 2", b"v 1 2 3 4", b"v nan inf -inf", b"v 1e999 0 0", b"v a b c", b"v 1 2 3 4 5 6 7 8"),
    *(b"f 1 2 3", b"f 0 0 0", b"f -1 -2 -3", b"f 999999999 1 2", b"f 1/1/1 2/2/2 3/3/3", b"f 1//1 2//1 3//1", b"f"),
    *(b"f 1 2", b"f 1 2 3 4 5 6", b"f a b c", b"f 1/ 2/ 3/", b"f 99999999999999999999 1 2", b"f 1.5 2 3", b"\xff\xfe"),
    *(
        b"vt 0 0",
        b"vt x",
        b"vn 0 0 1",
        b"vn",
        b"o a",
        b"g",
        b"usemtl a",
        b"mtllib ../../a.mtl",
        b"mtllib a.obj",
        b"s off",
    ),
    *(
        b"l 1 2",
        b"v 1 2 3\\",
        b"# " + b"x" * 3000,
        b"\0" * 9,
        b"vertex 1 2 3",
        b"v\t1\t2\t3",
        b"v 1 2 3\r",
        b"v 0x1 1_0 1d5",
    ),
)


def ply(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A PLY with another header (counts, types, names, lines), or with damage in its body."""
    header, _, body = content.partition(b"end_header\n")
    lines = header.split(b"\n")[:-1]
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(lines))
        words = lines[place].split()
        kind = rng.randrange(8)
        if kind == 0 and words[:1] == [b"element"]:
            count = rng.choice(
                (
                    rng.choice(NUMBERS),
                    -1,
                    0,
                    int(words[2]) + rng.choice((-1, 1)) if words[2:] and words[2].isdigit() else 1,
                )
            )
            lines[place] = b" ".join([*words[:2], str(count).encode()])
        elif kind == 1 and words[:1] == [b"property"]:
            words[rng.randrange(1, len(words))] = rng.choice(_PLY_TYPES + _PLY_NAMES)
            lines[place] = b" ".join(words)
        elif kind == 2:
            lines.insert(place, rng.choice(_PLY_LINES))
        elif kind == 3 and len(lines) > 1:
            del lines[place]
        elif kind == 4:
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif kind == 5:
            lines[place] = damage(rng, lines[place], others)
        elif kind == 6:
            body = _text_body(rng, body, others)
        else:
            lines = [
                line.replace(b"binary_little_endian", rng.choice((b"ascii", b"binary_big_endian"))) for line in lines
            ]
    return b"\n".join([*lines, b"end_header", b""]) + body


def _text_body(rng: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    words = body.split(b" ")
    if len(words) < 8 or rng.random() < 0.5:
        return damage(rng, body, others)
    words[rng.randrange(len(words))] = rng.choice(
        (b"nan", b"-1", b"1e999", b"a", b"", b"99999999999", b"0.5", b"3 3 3")
    )
    return b" ".join(words)


def lines(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """An OBJ, or other text, with other lines."""
    found = content.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(found))
        kind = rng.randrange(4)
        if kind == 0:
            found[place] = rng.choice(_OBJ_LINES)
        elif kind == 1:
            found.insert(place, rng.choice(_OBJ_LINES))
        elif kind == 2:
            found[place] = damage(rng, found[place], others)
        else:
            found.insert(place, found[rng.randrange(len(found))])
    return b"\n".join(found)


def cells(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A CSV with other cells or rows."""
    rows = [line.split(b",") for line in content.split(b"\n")]
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows)
        kind = rng.randrange(5)
        if kind < 2:
            texts = [text.encode("utf-8", "surrogatepass") for text in TEXTS]
            row[rng.randrange(len(row))] = rng.choice(
                (*texts, *(str(value).encode() for value in NUMBERS), b"-1", b"nan")
            )
        elif kind == 2 and len(row) > 1:
            del row[rng.randrange(len(row))]
        elif kind == 3:
            row.append(rng.choice((b"", b"1", b'"', b'"a\n', b"x" * 200_000)))
        else:
            rows.append(list(row))
    return b"\n".join(b",".join(row) for row in rows) + rng.choice((b"\n", b""))


def glb(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A GLB with another tree or damaged buffers, and right lengths."""
    length = struct.unpack_from("<I", content, 12)[0]
    tree, rest = json.loads(content[20 : 20 + length]), content[20 + length :]
    if rng.random() < 0.8:
        tree = changed(rng, tree, _glb_value)
    else:
        rest = damage(rng, rest, others)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def _glb_value(rng: Random, old: Any) -> Any:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(
            ("SCALAR", "VEC2", "VEC3", "VEC4", "MAT4", "data:application/octet-stream;base64,AAAA", "a.bin")
        )
    if kind == 1:
        return rng.choice((5120, 5121, 5122, 5123, 5125, 5126, 34962, 34963, 0, 1, 4, 5, 6))
    if kind == 2:
        return rng.choice((0, 1, 2, 3, 255, -1, 1 << 20, 1 << 40, 1.5, None, "a", [], {}, [0, 0], [1.0] * 16, True))
    return (
        changed(rng, old) if isinstance(old, dict | list) and old else {"KHR_draco_mesh_compression": {"bufferView": 0}}
    )


def safetensors(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A safetensors file with another header of the right length, or with damaged tensors."""
    length = struct.unpack_from("<Q", content)[0]
    header, data = content[8 : 8 + length], content[8 + length :]
    kind = rng.randrange(4)
    if kind == 0:
        data = damage(rng, data, others)
    elif kind == 1:
        header = damage(rng, header, others)
    else:
        tree = json.loads(header)
        if kind == 2 and "__metadata__" in tree:
            tree["__metadata__"] = _metadata(rng, tree["__metadata__"])
        else:
            tree = changed(rng, tree)
        header = json.dumps(tree).encode()
    return struct.pack("<Q", len(header)) + header + data


def _metadata(rng: Random, old: dict[str, str]) -> Any:
    """The texts of the metadata, which hold JSON, with other trees in them."""
    if rng.random() < 0.2:
        return changed(rng, old)
    new = dict(old)
    name = rng.choice(list(new))
    try:
        tree = changed(rng, json.loads(new[name]))
    except ValueError:  # no JSON
        tree = rng.choice(TEXTS)
    new[name] = json.dumps(tree)
    if rng.random() < 0.2:
        new[name] = rng.choice(("[" * 50_000, "{}", "null", "[1]", "", *TEXTS))
    return new
