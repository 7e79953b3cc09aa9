"""Coordinates in mesh files: where float32 is too coarse for them, PLY holds doubles, and GLB a node that is moved.

Float32 tells 8 million values apart between a power of two and the next: metres of a UTM grid, 5.4e6 from its origin,
come in steps of half a metre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.types import ByteArray, FloatArray, IntArray

COARSE = 1e-5  # largest step of float32 that is accepted, as a share of the diagonal of what is written
OBJ_DIGITS, OBJ_STEP = 8, 1e-6  # decimals in an OBJ file, and the coarsest step as above; small things get more


def float32_step(points: FloatArray) -> float:
    """From the coordinate farthest from 0 of points [M, 3] to the next number that float32 has."""
    farthest = np.abs(points).max()
    return float(np.spacing(np.float32(farthest))) if farthest < np.finfo(np.float32).max else math.inf


def is_coarse(points: FloatArray) -> bool:
    """Whether float32 is too coarse for points [M, 3]: their places would show in steps."""
    return len(points) > 0 and float32_step(points) > COARSE * max(_diagonal(points), 1e-300)


def near_origin(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A round place [3] in the middle of points [M, 3], and the points relative to it."""
    low, high = points.min(axis=0), points.max(axis=0)
    diagonal = _diagonal(points)
    step = 10.0 ** math.floor(math.log10(diagonal)) if diagonal > 0.0 else 0.0
    middle: FloatArray = low + (high - low) / 2
    place: FloatArray = np.rint(middle / step) * step if step > 0.0 and np.isfinite(middle / step).all() else middle
    return place, points - place


def obj_digits(points: FloatArray) -> int:
    """Decimals in an OBJ file that tell points [M, 3] apart."""
    diagonal = _diagonal(points)
    return OBJ_DIGITS if diagonal <= 0.0 else max(OBJ_DIGITS, math.ceil(-math.log10(OBJ_STEP * diagonal)))


def double_ply(
    points: FloatArray,
    faces: IntArray | None,
    colors: ByteArray | None,
    counts: Mapping[str, IntArray | NDArray[np.uint16]] | None = None,
) -> bytes:
    """A binary PLY file whose coordinates are doubles.

    Args:
        points: [M, 3]. faces: [F, 3]; None: a cloud. colors: uint8 [M, 3].
        counts: further integers [M] by name, written as ushort.
    """
    named = counts or {}
    fields: list[tuple[str, str, str, Any]] = [
        (f"double {axis}", axis, "<f8", points[:, i]) for i, axis in enumerate("xyz")
    ]
    if colors is not None:
        channels = ("red", "green", "blue")
        fields += [(f"uchar {channel}", channel, "u1", colors[:, i]) for i, channel in enumerate(channels)]
    fields += [(f"ushort {name}", name, "<u2", values) for name, values in named.items()]
    vertices = np.empty(len(points), dtype=[(name, kind) for _, name, kind, _ in fields])
    for _, name, _, values in fields:
        vertices[name] = values
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property {declared}" for declared, *_ in fields]
    content = vertices.tobytes()
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        rows = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
        rows["count"], rows["index"] = 3, faces
        content += rows.tobytes()
    return "\n".join([*header, "end_header", ""]).encode("ascii") + content


def only_moved(tree: dict[str, Any]) -> None:
    """Let the nodes of a glTF tree, which are only moved, say so by `translation`: some viewers round a `matrix`."""
    for node in tree.get("nodes", ()):
        if "matrix" in node:
            node["translation"] = node.pop("matrix")[12:15]


def _diagonal(points: FloatArray) -> float:
    """Of the bounding box of points [M, 3]."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))
