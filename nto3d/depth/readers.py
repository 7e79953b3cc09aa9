"""Read depth maps and point maps from files, as they are stored: no unit, no axes, no picture yet.

Letters: H, W height and width in pixels, P points.
"""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from nto3d.errors import InputError
from nto3d.types import FloatArray

NPZ_KEY = "depth"
PNG_GREY = 0  # the colour type of grey pictures without transparency (PNG specification, section 11.2.1)
OBJ_CHUNK = 1 << 25  # bytes of an OBJ that are parsed at a time
OBJ_COLUMNS = (3, 4, 6, 7)  # x y z, with w, with r g b, or both
_SENTINEL = 9e307  # stands for the letter v while numbers are parsed; no coordinate is that large
# What PIL raises on files that are no pictures, are cut short or are damaged.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_png(path: Path) -> FloatArray:
    """The values of a grey PNG of 8 or 16 bits, [H, W] float64.

    Raises:
        InputError: it cannot be read, is no PNG, holds colours, or has another number of bits.
    """
    try:
        with path.open("rb") as file:
            header = file.read(26)
        if header[:8] == b"\x89PNG\r\n\x1a\n" and len(header) == 26:
            bits, kind = header[24], header[25]
            if kind != PNG_GREY or bits not in (8, 16):
                colours = "grey" if kind == PNG_GREY else "colours or transparency"
                raise InputError(
                    f"{path}: expected a depth picture in grey of 8 or 16 bits, got {colours} of {bits} bits a channel"
                )
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
            return np.asarray(picture).astype(np.float64)
    except InputError:
        raise
    except _DECODE_ERRORS as error:
        raise InputError(
            f"{path}: expected a whole PNG, it is damaged, cut short or no PNG ({_reason(error)})"
        ) from error


def read_array(path: Path) -> FloatArray:
    """The depth map in an NPY file, or under the key depth of an NPZ file: [H, W] of the file's float type.

    Raises:
        InputError: it cannot be read, the key is absent, or the array is no [H, W] of floats.
    """
    kind = path.suffix.lower()[1:]
    try:
        if zipfile.is_zipfile(path) != (kind == "npz"):
            raise ValueError("the content is of another kind than the suffix")
        stored = np.load(path, allow_pickle=False, mmap_mode="r")  # a false size in the header fails at once
        if isinstance(stored, np.ndarray):
            array = np.array(stored)
        else:
            with stored:
                if NPZ_KEY not in stored.files:
                    raise InputError(
                        f"{path}: expected an array named {NPZ_KEY}, got {', '.join(stored.files) or 'no array'}"
                    )
                array = stored[NPZ_KEY]
    except InputError:
        raise
    except Exception as error:  # the reader parses Python text and zip entries: damage breaks it in any way
        raise InputError(
            f"{path}: expected a depth map as {kind}, it is damaged, cut short or foreign ({_reason(error)})"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        what = f"{list(array.shape)} of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{path}: expected depths [H, W] as floats, got {what}")
    return array


def read_ply(path: Path) -> FloatArray:
    """The vertices of a PLY, text or binary, in the file's order: [P, 3] float32.

    Raises:
        InputError: it is damaged, cut short or no PLY.
    """
    from trimesh.exchange.ply import load_ply  # on first use: it takes a second

    try:
        with path.open("rb") as file:
            found = load_ply(file, fix_texture=False, skip_materials=True)
        return np.asarray(found.get("vertices", np.zeros((0, 3))), dtype=np.float32).reshape(-1, 3)
    except Exception as error:  # the reader does not check what it reads: a damaged file breaks it in any way
        raise InputError(
            f"{path}: expected a PLY with vertices, it is damaged, cut short or no PLY ({_reason(error)})"
        ) from error


def read_obj(path: Path) -> FloatArray:
    """The vertices of an OBJ in the file's order: [P, 3] float32. Other lines and colours of vertices are left out.

    Readers of meshes merge and reorder vertices and need minutes for the points of a large picture, hence this one.

    Raises:
        InputError: it cannot be read, or a line with a vertex is not made of numbers like the others.
    """
    parts: list[FloatArray] = []
    rest = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(OBJ_CHUNK):
                whole, line_end, rest = (rest + chunk).rpartition(b"\n")
                parts.append(_obj_vertices(whole + line_end))
            parts.append(_obj_vertices(rest))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected an OBJ with lines v x y z, it is damaged or foreign ({_reason(error)})"
        ) from error
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


def _reason(error: BaseException) -> str:
    """The first line of an error, short."""
    line = (str(error).splitlines() or [""])[0]
    return re.sub(r"\s+", " ", line)[:120] or type(error).__name__
