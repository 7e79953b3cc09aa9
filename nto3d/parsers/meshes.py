"""Meshes and points through trimesh: what a file declares is compared with its size before trimesh allocates for it."""

from __future__ import annotations

import io
import json
import logging
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from nto3d.parsers.guard import bound, check_file, parsing
from nto3d.types import FloatArray

MOST_FILE = 1 << 32
MOST_JSON = 1 << 22  # bytes, of a GLB
_PLY_HEADER = 1 << 16  # bytes
_PLY_SIZES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("double", "float64", "int64", "uint64"), 8),
}
_GLB_SIZES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}  # of component types (glTF 2.0, section 3.6.2.2)
# trimesh logs what it cannot read at length, textures among it, which are not asked for
logging.getLogger("trimesh").addHandler(logging.NullHandler())
_GLB_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def load_mesh(path: Path, expected: str) -> Any:
    """One `trimesh.Trimesh` of all that is in a .ply, .obj or .glb file, its vertices in the file's order.

    Raises:
        InputError: it cannot be read, is damaged or foreign, or declares more than its bytes can hold.
    """
    import trimesh  # on first use: it takes a second

    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of coordinates that are no numbers, which `Mesh` refuses
        content = path.read_bytes()
        kind = path.suffix.lower()[1:]
        content = _check(path, kind, content)
        loaded = trimesh.load(
            io.BytesIO(content), file_type=kind, process=False, force="mesh", maintain_order=True, allow_remote=False
        )
        if not isinstance(loaded, trimesh.Trimesh):
            raise ValueError("it holds no triangles")
        return loaded


def load_ply_vertices(path: Path, expected: str) -> FloatArray:
    """The vertices of a PLY, text or binary, in the file's order: [P, 3] float64.

    Raises:
        InputError: as `load_mesh`.
    """
    from trimesh.exchange.ply import load_ply

    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), np.errstate(all="ignore"):
        content = path.read_bytes()
        _check(path, "ply", content)
        found = load_ply(io.BytesIO(content), fix_texture=False, skip_materials=True)
        return np.asarray(found.get("vertices", np.zeros((0, 3))), dtype=np.float64).reshape(-1, 3)


def _check(path: Path, kind: str, content: bytes) -> bytes:
    """The content, of a GLB without its pictures."""
    if kind == "glb":
        return _checked_glb(path, content)
    if kind == "ply":
        _check_ply(path, content)
    return content


def _check_ply(path: Path, content: bytes) -> None:
    """Compares the counts in a PLY's header with its bytes; a list takes at least its own count, text two a value."""
    header, found, _ = content[:_PLY_HEADER].partition(b"end_header")
    if not found:
        raise ValueError("no end of the header")
    lines = [line.split() for line in header.decode("ascii", errors="replace").splitlines()]
    text = any(words[:2] == ["format", "ascii"] for words in lines)
    needed, count = 0, 0
    for words in lines:
        if words[:1] == ["element"]:
            count = int(words[2])
            if count < 0:
                raise ValueError(f"{count} of {words[1]}")
        elif words[:1] == ["property"]:
            width = _PLY_SIZES[words[2]] if words[1] == "list" else _PLY_SIZES[words[1]]
            needed += count * (2 if text else width)
    bound(path, "its header", needed, len(content) + 2)


def _checked_glb(path: Path, content: bytes) -> bytes:
    """A GLB without its materials and their pictures, which nobody here looks at and trimesh would unpack.

    Its accessors are compared with its bytes, and how often its meshes are placed with their size.
    """
    magic, version, _, length, kind = struct.unpack_from("<4sIII4s", content)
    if magic != b"glTF" or version != 2 or kind != b"JSON":
        raise ValueError("no glTF 2.0")
    bound(path, "its JSON", length, min(len(content) - 20, MOST_JSON))
    tree = json.loads(content[20 : 20 + length])
    rows = 0
    for accessor in tree.get("accessors", []):
        if "sparse" in accessor or "bufferView" not in accessor:
            raise ValueError("sparse accessors are not read")
        size = accessor["count"] * _GLB_SIZES[accessor["componentType"]] * _GLB_COUNTS[accessor["type"]]
        bound(path, "an accessor", size, len(content))
        rows += accessor["count"]
    placed = sum("mesh" in node for node in tree.get("nodes", []))
    bound(path, "its scene", placed * rows, max(len(content), 1 << 20), "rows")
    for key in ("images", "textures", "samplers", "materials"):
        tree.pop(key, None)
    for mesh in tree.get("meshes", []):
        for primitive in mesh["primitives"]:
            primitive.pop("material", None)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    return struct.pack("<4sIII4s", magic, version, 20 + len(text) + len(rest), len(text), kind) + text + rest
