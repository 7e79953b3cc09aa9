"""The exception that means "the user can fix this" (a single line, exit code 2), and those that stop the work."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# What allocators say that raise a RuntimeError: torch on the CPU, Warp, OpenCV
_ALLOCATORS = re.compile(r"not enough memory|allocate memory|Failed to allocate|Insufficient memory")
_ASKED = re.compile(r"(?:[Aa]llocate|for) ([\d.]+) ?(bytes|[KMGT]i?B)")
_UNITS = {"b": 1.0, "k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40}
_HEAD, _TAIL = 900, 300  # characters of a message that stay where what came is too long to be shown


class InputError(ValueError):
    """Bad input: a file, a config value or a device that cannot be used as given.

    The message is one line that names the file or key, what was expected and what came; what came may be long, or
    hold characters that steer a terminal: it is cut in its middle, and they are written as escapes.
    `nto3d.cli` prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        line = line if line.isprintable() else "".join(map(_escaped, line))
        super().__init__(line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} ... {line[-_TAIL:]}")


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; a checkpoint was saved in `run_dir`, from which it can go on.

    A KeyboardInterrupt, not an Exception, so that nothing between the loop and `nto3d.cli` swallows it
    (a sweep would go on with its next job).
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(f"interrupted; a checkpoint is in {run_dir}")
        self.run_dir = run_dir


class CancelledError(Exception):
    """A callback asked the work to stop; nothing of it is left."""


def some_of(things: Sequence[object], most: int = 3) -> str:
    """The first few of what a message names, and how many more there are."""
    rest = len(things) - most
    return ", ".join(str(thing) for thing in things[:most]) + (f" and {rest} more" if rest > 0 else "")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's and numpy's, or an allocator's of torch, Warp or OpenCV."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return True
    return not isinstance(error, (InputError, OSError)) and _ALLOCATORS.search(str(error)) is not None


def asked_for(error: BaseException) -> str:
    """How much memory was asked for in the end, ", N GB at once", as far as the error tells."""
    found = _ASKED.search(str(error))
    return "" if found is None else f", {float(found[1]) * _UNITS[found[2][0].lower()] / 1e9:.3g} GB at once"


@contextlib.contextmanager
def memory_of(asked: str, remedy: str) -> Iterator[None]:
    """Names what asked for the memory where it runs out.

    Args:
        asked: the key with its value, and what it is the size of. remedy: what to lower or raise.

    Raises:
        InputError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise InputError(f"{asked}: there is not enough memory for it{asked_for(error)}; {remedy}") from error
