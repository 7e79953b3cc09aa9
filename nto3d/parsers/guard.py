"""What parsers raise on a damaged file becomes one line, and what a file declares is bounded.

A parser of a foreign format may raise anything on a damaged file (KeyError, RecursionError, zlib.error, ...), so the
guard does not list what it catches. The cause stays chained and is shown with NTO3D_DEBUG=1.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from nto3d.errors import InputError, out_of_memory

_SHOWN = 120  # characters of a parser's own words


@contextlib.contextmanager
def parsing(file: Path, expected: str) -> Iterator[None]:
    """Turns any exception of a parser into an InputError of one line; an InputError passes as it is.

    Args:
        file: what is parsed. expected: in words, "an npz archive of cameras".

    Raises:
        InputError: "FILE: expected EXPECTED, it is damaged, cut short or foreign (REASON)", or that it cannot be read
            or does not fit into memory.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # not the system's: Pillow's and numpy's words on what they cannot read
            raise _damaged(file, expected, error) from error
        raise InputError(f"{file}: expected {expected}, it cannot be read ({error.strerror})") from error
    except Exception as error:
        if out_of_memory(error):
            raise InputError(
                f"{file}: expected {expected}, it does not fit into the memory ({reason(error)})"
            ) from error
        raise _damaged(file, expected, error) from error


def _damaged(file: Path, expected: str, error: Exception) -> InputError:
    return InputError(f"{file}: expected {expected}, it is damaged, cut short or foreign ({reason(error)})")


def reason(error: BaseException) -> str:
    """The first line of an error, short."""
    if type(error).__name__ == "UnpicklingError":  # torch explains at length how to run what is in the file
        return "it holds something else than tensors and plain values"
    line = (str(error).strip().splitlines() or [""])[0]
    text = re.sub(r"\s+", " ", line)[:_SHOWN]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def check_file(file: Path, expected: str, limit: int) -> int:
    """The size of a file in bytes, before anything of it is read.

    Raises:
        InputError: there is no such file, it is no plain file, it is empty, or it has more than `limit` bytes.
    """
    with parsing(file, expected):
        if not file.is_file():
            what = "it is no plain file" if os.path.lexists(file) else "there is no such file"
            raise InputError(f"{file}: expected {expected}, {what}")
        size = file.stat().st_size
    if size == 0:
        raise InputError(f"{file}: expected {expected}, the file is empty")
    bound(file, "the file", size, limit)
    return size


def bound(file: Path, what: str, declared: int, limit: int, unit: str = "bytes") -> None:
    """Refuses a size that a file declares, before anything is unpacked or allocated for it.

    Raises:
        InputError: it is negative or above the limit; the message has both.
    """
    if not 0 <= declared <= limit:
        raise InputError(f"{file}: expected at most {limit:,} {unit}, {what} declares {declared:,}")
