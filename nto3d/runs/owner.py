"""Whose the folder of a run is: one process's at a time. Imports no torch.

A lock of the kernel (flock) on RUN/.nto3d.lock, which ends with the process however that ends. The file says who holds
it, and is removed when the owner is done: one that is left without its lock is that of a run that was killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import platform
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nto3d.errors import InputError

LOCK_NAME = ".nto3d.lock"
_HEADER = "nto3d"  # the first line of the file; then the process, since when, its machine, its command
_LONGEST_COMMAND, _MOST_BYTES = 160, 20_000
_PATIENCE = 0.5  # seconds in which a new owner says who it is
_LOOK = 0.1  # seconds in which one who only looked has gone
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # network file systems


@dataclass
class Owner:
    """This process as the owner of a folder.

    Attributes:
        run_dir: the folder. killed: whether the owner before it ended without a word.
    """

    run_dir: Path
    killed: bool
    descriptor: int | None
    folder: tuple[int, int]  # device and number of the folder

    def check(self) -> None:
        """Nothing is written any more where the folder is not the one that was locked, or is somebody else's.

        Raises:
            InputError: it was removed, moved or replaced.
        """
        path = self.run_dir / LOCK_NAME
        taken = self.descriptor is not None and path.exists() and not _same_file(self.descriptor, path)
        if taken or _identity(self.run_dir) != self.folder:
            raise InputError(f"{self.run_dir}: the run's folder was removed or replaced while the run went on")


_owners: dict[str, Owner] = {}  # of this process, by absolute path


@contextlib.contextmanager
def owned(run_dir: Path, command: Sequence[str], key: str, make: bool = False) -> Iterator[Owner]:
    """The folder of a run is this process's.

    Args:
        command: of this process, which others are told. key: of the folder, for messages.
        make: make the folder where there is none, and remove it in the end where it is empty.

    Raises:
        InputError: another process has it, or it cannot be written.
    """
    owner = _lock(run_dir, key, make)
    name = _name(run_dir)
    _owners[name] = owner
    try:
        _say_who(owner, command)
        yield owner
    finally:
        _owners.pop(name, None)
        _release(owner, make)


def check_owner(run_dir: Path) -> None:
    """See `Owner.check`; a folder that this process has no lock on is not looked at."""
    owner = _owners.get(_name(run_dir))
    if owner is not None:
        owner.check()


def make_folder(run_dir: Path, name: str | Path) -> Path:
    """A folder in that of a run, made where absent.

    Raises:
        InputError: the run's folder was removed, or this one cannot be made.
    """
    check_owner(run_dir)
    folder = run_dir / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def refuse_taken(run_dir: Path, key: str) -> None:
    """Say at once that another process has a folder; changes nothing.

    Raises:
        InputError: it has.
    """
    try:
        descriptor = os.open(run_dir / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # nobody was there, or the lock itself will say what is wrong
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that only look do not meet
    except BlockingIOError:
        raise InputError(_taken(descriptor, run_dir, key)) from None
    except OSError:
        return
    finally:
        os.close(descriptor)


def _name(run_dir: Path) -> str:
    """Of a folder, also when it is there no more."""
    return str(Path.cwd() / run_dir)


def _lock(run_dir: Path, key: str, make: bool) -> Owner:
    path, until = run_dir / LOCK_NAME, time.monotonic() + _LOOK
    while True:  # another process may remove file and folder between any two of these lines
        if make:
            _make(run_dir, key)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError as error:
            if make:
                continue
            raise InputError(f"{key}: expected the folder of a run, there is none at {run_dir}") from error
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:  # somebody may only look, see `refuse_taken`
                os.close(descriptor)
                time.sleep(0.01)
                continue
            message = _taken(descriptor, run_dir, key)
            os.close(descriptor)
            raise InputError(message) from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                os.close(descriptor)
                raise InputError(f"cannot lock {path}: {error.strerror}") from error
            logging.getLogger("nto3d").warning(
                "%s: the file system has no locks, nothing keeps a second run out", run_dir
            )
        if _same_file(descriptor, path):
            return Owner(run_dir, os.fstat(descriptor).st_size > 0, descriptor, _identity(run_dir))
        os.close(descriptor)


def _make(run_dir: Path, key: str) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{key}: cannot make the folder {run_dir}: {error.strerror}") from error


def _say_who(owner: Owner, command: Sequence[str]) -> None:
    """Write into the lock who holds it; a file of the run tells it of a disk that is full."""
    assert owner.descriptor is not None
    since, shown = f"{datetime.now():%Y-%m-%d %H:%M:%S}", " ".join(shlex.join(command).split())
    lines = (_HEADER, str(os.getpid()), since, platform.node(), shown)
    with contextlib.suppress(OSError):
        size = os.pwrite(owner.descriptor, "\n".join([*lines, ""]).encode(errors="replace"), 0)
        os.ftruncate(owner.descriptor, size)  # after it: an empty file would say that nobody was killed


def _taken(descriptor: int, run_dir: Path, key: str) -> str:
    """What to tell who comes second."""
    until, lines = time.monotonic() + _PATIENCE, [""]
    while time.monotonic() < until:
        lines = os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace").split("\n")
        if len(lines) > 5 and lines[0] == _HEADER:
            break
        time.sleep(0.02)  # it has just come, too
    else:
        return f"{key}: {run_dir} is in use by another process"
    _, process, since, machine, command = lines[:5]
    where = "" if machine == platform.node() else f" on {machine}"
    if len(command) > _LONGEST_COMMAND:
        command = f"{command[:_LONGEST_COMMAND]}..."
    return f"{key}: {run_dir} is in use by process {process}{where} since {since}: {command}"


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    """Device and number of a folder; zeros where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _release(owner: Owner, remove_empty: bool) -> None:
    """The file goes before its lock does; who opened it meanwhile sees that it is no longer the folder's."""
    if owner.descriptor is None:  # a forked child
        return
    path = owner.run_dir / LOCK_NAME
    with contextlib.suppress(OSError):
        if _same_file(owner.descriptor, path):
            path.unlink()
            if remove_empty:
                owner.run_dir.rmdir()  # fails where it holds anything
    os.close(owner.descriptor)
    owner.descriptor = None


def _forget() -> None:
    """A forked child would keep the lock of a parent that was killed."""
    for owner in _owners.values():
        if owner.descriptor is not None:
            os.close(owner.descriptor)
            owner.descriptor = None
    _owners.clear()


os.register_at_fork(after_in_child=_forget)
