"""Read depth maps and point maps from files, as they are stored: no unit, no axes, no picture yet.

Letters: H, W height and width in pixels, P points.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nto3d.errors import InputError
from nto3d.geometry.depth_codes import saturated
from nto3d.parsers.archives import Archive, read_npy
from nto3d.parsers.guard import check_file, parsing
from nto3d.parsers.meshes import MOST_FILE as MOST_MESH
from nto3d.parsers.meshes import load_ply_vertices
from nto3d.parsers.pictures import MOST_FILE, MOST_PIXELS, open_picture
from nto3d.types import FloatArray

CheckSize = Callable[[tuple[int, ...]], None]  # gets [H, W] before a map is decoded, and may raise an InputError
NPZ_KEY = "depth"
PNG_GREY = 0  # the colour type of grey pictures without transparency (PNG specification, section 11.2.1)
OBJ_CHUNK = 1 << 25  # bytes of an OBJ that are parsed at a time
OBJ_COLUMNS = (3, 4, 6, 7)  # x y z, with w, with r g b, or both
_SENTINEL = 9e307  # stands for the letter v while numbers are parsed; no coordinate is that large


def read_png(path: Path, check: CheckSize = lambda _: None) -> FloatArray:
    """The values of a grey PNG of 8 or 16 bits, [H, W] float64; NaN where 255 or 65535 stand for "unknown".

    Raises:
        InputError: it cannot be read, is no PNG, holds colours, or has another number of bits.
    """
    check_file(path, "a whole PNG", MOST_FILE)
    with parsing(path, "a whole PNG"), path.open("rb") as file:
        header = file.read(26)
    bits = 16
    if header[:8] == b"\x89PNG\r\n\x1a\n" and len(header) == 26:
        bits, kind = header[24], header[25]
        if kind != PNG_GREY or bits not in (8, 16):
            colours = "grey" if kind == PNG_GREY else "colours or transparency"
            raise InputError(
                f"{path}: expected a depth picture in grey of 8 or 16 bits, got {colours} of {bits} bits a channel"
            )
    with open_picture(path, "a whole PNG", formats=("PNG",)) as picture:
        check((picture.height, picture.width))
        picture.load()
        steps = np.asarray(picture)
    return np.where(saturated(steps, 2**bits - 1), np.nan, steps.astype(np.float64))


def read_array(path: Path, check: CheckSize = lambda _: None) -> FloatArray:
    """The depth map in an NPY file, or under the key depth of an NPZ file: [H, W] of the file's float type.

    Raises:
        InputError: it cannot be read, the key is absent, or the array is no [H, W] of floats.
    """
    kind = path.suffix.lower()[1:]
    expected, limit = f"a depth map as {kind}", 8 * MOST_PIXELS

    def look(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if len(shape) != 2 or not np.issubdtype(dtype, np.floating):
            raise InputError(f"{path}: expected depths [H, W] as floats, got {list(shape)} of {dtype}")
        check(shape)

    if kind == "npz":
        array = Archive(path, expected, limit).read([NPZ_KEY], look)[0]
    else:
        array = read_npy(path, expected, limit, look)
    with np.errstate(over="ignore"):  # of more than 64 bits
        return array.astype(np.float64) if array.dtype.itemsize > 8 else array


def read_ply(path: Path) -> FloatArray:
    """The vertices of a PLY, text or binary, in the file's order: [P, 3] float32.

    Raises:
        InputError: it is damaged, cut short or no PLY.
    """
    with np.errstate(over="ignore"):  # beyond float32 is as good as infinite
        return load_ply_vertices(path, "a PLY with vertices").astype(np.float32)


def read_obj(path: Path) -> FloatArray:
    """The vertices of an OBJ in the file's order: [P, 3] float32. Other lines and colours of vertices are left out.

    Readers of meshes merge and reorder vertices and need minutes for the points of a large picture, hence this one.

    Raises:
        InputError: it cannot be read, or a line with a vertex is not made of numbers like the others.
    """
    parts: list[FloatArray] = []
    rest = b""
    check_file(path, "an OBJ with lines v x y z", MOST_MESH)
    with parsing(path, "an OBJ with lines v x y z"), path.open("rb") as file:
        while chunk := file.read(OBJ_CHUNK):
            whole, line_end, rest = (rest + chunk).rpartition(b"\n")
            parts.append(_obj_vertices(whole + line_end))
        parts.append(_obj_vertices(rest))
    return np.concatenate(parts)


def _obj_vertices(text: bytes) -> FloatArray:
    """The vertices [P, 3] float32 in whole lines of an OBJ.

    Raises:
        ValueError: the lines with vertices are not all made of the same count of numbers.
    """
    vertex_lines, count = _vertex_lines(text)
    if count == 0:
        return np.zeros((0, 3), dtype=np.float32)
    # Each v becomes a number, so that a line with a number too few or too many moves the next one out of its column.
    values = _numbers(vertex_lines.replace(b"v", str(_SENTINEL).encode()))
    columns, left_over = divmod(len(values), count)
    if left_over or columns - 1 not in OBJ_COLUMNS:
        raise ValueError(f"{count} vertices of {len(values) - count} numbers")
    rows = values.reshape(count, columns)
    if not (rows[:, 0] == _SENTINEL).all():
        raise ValueError("vertices of different counts of numbers")
    with np.errstate(over="ignore"):  # beyond float32 is as good as infinite
        return rows[:, 1:4].astype(np.float32)


def _vertex_lines(text: bytes) -> tuple[bytes, int]:
    """The lines that begin with the letter v and a blank, and their count."""
    codes = np.frombuffer(text, dtype=np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n")) + 1])
    ends = np.append(starts[1:], len(codes))
    blank = np.zeros(len(codes) + 2, dtype=np.bool_)
    blank[: len(codes)] = (codes == ord(" ")) | (codes == ord("\t"))
    letter = np.zeros(len(codes) + 1, dtype=np.bool_)
    letter[: len(codes)] = codes == ord("v")
    vertex = letter[starts] & blank[starts + 1]
    edges = np.flatnonzero(np.diff(vertex.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    runs = [text[starts[first] : ends[last - 1]] for first, last in edges]  # most files hold one
    return b"".join(runs), int(vertex.sum())


def _numbers(text: bytes) -> FloatArray:
    """All numbers of a text, float64.

    Raises:
        ValueError: there is something else.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # with which numpy says that it stopped before the end
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except DeprecationWarning as error:
            raise ValueError("something else than numbers") from error
