"""Writing files so that a crash, a full disk or a kill leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nto3d.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A name that nobody can have put a link at, and a file that is made new or not at all; the umask holds as usual
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\..{1,40}\.[0-9a-f]{16}\.tmp", re.DOTALL)


def write_atomic(path: Path, data: bytes | memoryview | str) -> None:
    """Writes `data` (text as UTF-8) to a temporary name in the same folder, flushes it to the disk and renames it.

    Raises:
        InputError: it cannot be written (no space, no permission, no folder); an older file at `path` is untouched.
    """
    temporary = _temporary_name(path)
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        _remove_quietly(temporary)


def open_temporary(path: Path) -> Path:
    """An empty file of an unpredictable name beside `path`, for a library that writes by name.

    Raises:
        InputError: it cannot be made.
    """
    temporary = _temporary_name(path)
    try:
        os.close(os.open(temporary, _NEW, 0o666))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return temporary


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left in a folder."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_quietly(path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays as a .npz file, likewise."""
    import numpy as np  # here, so that the command line answers without it

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getbuffer())


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}.{os.urandom(8).hex()}.tmp")


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk only with its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder is gone or closed to us: the error that led here says more
