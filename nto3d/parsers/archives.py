"""Arrays in .npy and .npz files of NumPy. Nothing is unpickled, and no more is unpacked than is asked for.

An archive's directory declares how much each member unpacks to, and an array's header how large it is; both are
compared with a limit, and with each other, before a byte is unpacked.
"""

from __future__ import annotations

import contextlib
import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nto3d.errors import InputError
from nto3d.parsers.guard import bound, check_file, parsing

MOST_FILE = 1 << 34  # bytes of a file itself
MOST_DIRECTORY = 1 << 22  # bytes of a zip's directory, 50 to 100 a member
_END = 22  # bytes of its end (PKWARE's APPNOTE, section 4.3.16)
_HEADER = 1 << 16  # bytes of an array's header
Check = Callable[[tuple[int, ...], np.dtype[Any]], None]  # of an array's shape and type, before it is read


def read_npy(path: Path, expected: str, limit: int, check: Check | None = None) -> NDArray[Any]:
    """The array in a .npy file.

    Args:
        expected: of the file, in words. limit: bytes that the array may take. check: what the header says is shown to
            it first; it may raise an InputError.

    Raises:
        InputError: it cannot be read, is damaged, holds Python objects, or declares more than it has or may have.
    """
    size = check_file(path, expected, MOST_FILE)
    with parsing(path, expected), path.open("rb") as file:
        return _read_array(path, "its header", file, size, limit, check)


class Archive:
    """A .npz file whose arrays are read one by one.

    Args:
        expected: of the file, in words. limit: bytes that an array may take.

    Raises:
        InputError: the file cannot be read or is no archive.
    """

    def __init__(self, path: Path, expected: str, limit: int) -> None:
        self.path, self._expected, self._limit = path, expected, limit
        size = check_file(path, expected, MOST_FILE)
        with parsing(path, expected):
            check_directory(path, size)
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        self._members = {member.filename.removesuffix(".npy"): member for member in members}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays, in the file's order."""
        return tuple(self._members)

    def read(self, names: Sequence[str], check: Check | None = None) -> list[NDArray[Any]]:
        """The arrays of these names, opened once; `check` as `read_npy`.

        Raises:
            InputError: one is not there, is damaged, holds Python objects, or declares more than it may have.
        """
        arrays = []
        with parsing(self.path, self._expected), zipfile.ZipFile(self.path) as archive:
            for name in names:
                if name not in self._members:
                    some = ", ".join(self.names[:6]) or "none"
                    raise InputError(f"{self.path}: expected a key {name}, it is not there (keys: {some})")
                member = self._members[name]
                bound(self.path, name, member.file_size, self._limit + _HEADER)
                with archive.open(member) as stream:
                    arrays.append(_read_array(self.path, name, stream, member.file_size, self._limit, check))
                    if stream.read(1):  # reads on to the check sum, too
                        raise ValueError(f"{name} is longer than its header says")
        return arrays


def check_directory(path: Path, size: int) -> None:
    """Bounds a zip's directory before zipfile makes an object of each member.

    Raises:
        ValueError: it has no end. InputError: it is larger than `MOST_DIRECTORY`.
    """
    with path.open("rb") as file:
        file.seek(max(size - _END - (1 << 16), 0))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or end + _END > len(tail):
        raise ValueError("no end of a zip's directory")
    (length,) = struct.unpack_from("<I", tail, end + 12)
    wide = tail.rfind(b"PK\6\6", 0, end)
    if wide >= 0 and wide + 48 <= len(tail):
        length = max(length % 0xFFFFFFFF, struct.unpack_from("<Q", tail, wide + 40)[0])
    bound(path, "its directory", length, MOST_DIRECTORY)


def inflate(packed: bytes, size: int) -> bytes:
    """What zlib packed, which has to be `size` bytes.

    Raises:
        ValueError: it is not, or is damaged. No more than one byte too many is unpacked.
    """
    try:
        data = zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged: {error}") from error
    if len(data) != size:
        raise ValueError(f"expected {size} bytes unpacked, got {'more' if len(data) > size else len(data)}")
    return data


def _read_array(
    path: Path, what: str, stream: IO[bytes], size: int, limit: int, check: Check | None = None
) -> NDArray[Any]:
    """An array from a stream of `size` bytes, its header believed only as far as these go."""
    with _quietly():
        start = npy.read_magic(stream)
        if start == (1, 0):
            shape, _, dtype = npy.read_array_header_1_0(stream, max_header_size=_HEADER)
        elif start == (2, 0):
            shape, _, dtype = npy.read_array_header_2_0(stream, max_header_size=_HEADER)
        else:
            raise ValueError(f"version {start} of the npy format")
    if dtype.hasobject:
        raise ValueError(f"{what} holds Python objects")
    if any(side < 0 for side in shape):
        raise ValueError(f"{what} has the shape {shape}")
    needed = math.prod(int(side) for side in shape) * dtype.itemsize
    bound(path, what, needed, limit)
    if needed > size:
        raise ValueError(f"{what} declares {needed} bytes, there are {size}")
    if check is not None:
        check(shape, dtype)
    stream.seek(0)
    with _quietly():
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False, max_header_size=_HEADER)
    return array


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without NumPy's warnings of headers that Python 2 wrote."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Reading `.npy`")
        yield
