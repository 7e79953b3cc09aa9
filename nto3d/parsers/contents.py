"""What a file of the project's own may hold, as a description with which the values in it are compared.

A description is made of kinds: `Record({"stage": Text(), "step": Whole(0)})`. Its first contradiction is one line with
the key, what was expected and what came. Imports no torch; kinds of tensors are in `training.contents`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nto3d.errors import InputError

LARGEST = 1 << 53  # of whole numbers: beyond, a float64 does not tell neighbours apart
_SHOWN = 40  # characters of a value
Sizes = dict[str, int]  # of the axes that have a letter, as they were first met


class MismatchError(InputError):
    """A value is not what was expected; who knows the file puts its name before, see `contents_of`."""


class Kind(Protocol):
    """A description."""

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """Compare a value with it.

        Args:
            key: where it stands, dotted. sizes: of the axes met so far; gets new ones.

        Raises:
            MismatchError: they differ.
        """


def mismatch(key: str, expected: str, value: object) -> MismatchError:
    """The error of a value."""
    return MismatchError(f"{key}: expected {expected}, got {shown(value)}".removeprefix(": "))


def shown(value: object) -> str:
    """A value in a few words; never the whole of something large."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value[:_SHOWN] if isinstance(value, str | bytes) else value)
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


@contextlib.contextmanager
def contents_of(path: Path) -> Iterator[None]:
    """Puts a file's name before what is wrong with its contents.

    Raises:
        InputError: "FILE: KEY: expected ..., got ...".
    """
    try:
        yield
    except MismatchError as error:
        raise InputError(f"{path}: {error}") from error


def check_contents(kind: Kind, value: object, path: Path) -> None:
    """Compare all that a file holds with its description.

    Raises:
        InputError: the first value that differs.
    """
    with contents_of(path):
        kind.check(value, "", {})


@dataclass(frozen=True)
class Whole:
    """A whole number; no bool, no float."""

    least: int = 0
    most: int = LARGEST

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise mismatch(key, f"a whole number, {self.least} to {self.most}", value)


@dataclass(frozen=True)
class Real:
    """A number; NaN and infinity only where they are said to do.

    Attributes:
        besides: numbers outside of the range that will do. finite: whether it has to be.
    """

    least: float = -math.inf
    most: float = math.inf
    besides: tuple[float, ...] = ()
    finite: bool = True

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if number and not self.finite and isinstance(value, float) and not math.isfinite(value):
            return
        # A whole number too large for a float is no number; NaN fails every comparison
        fits = number and (isinstance(value, float) or abs(value) <= LARGEST)  # type: ignore[arg-type]
        if not fits or not (self.least <= value <= self.most or value in self.besides) or math.isinf(value):  # type: ignore[operator, arg-type]
            raise mismatch(key, self._words(), value)

    def _words(self) -> str:
        ends = {self.least, self.most} - {math.inf, -math.inf}
        if not ends:
            return "a finite number"
        return f"a number, {self.least:g} to {self.most:g}" if len(ends) > 1 else f"a finite number from {self.least:g}"


@dataclass(frozen=True)
class Text:
    """A string, one of some where there are choices."""

    choices: tuple[str, ...] = ()

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            raise mismatch(key, f"one of {', '.join(self.choices)}" if self.choices else "a string", value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise mismatch(key, "true or false", value)


@dataclass(frozen=True)
class Maybe:
    """None (null), or of a kind."""

    kind: Kind

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if value is not None:
            self.kind.check(value, key, sizes)


@dataclass(frozen=True)
class Items:
    """A list, or a tuple, of one kind."""

    kind: Kind
    least: int = 0
    most: int = LARGEST

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if not isinstance(value, list | tuple) or not self.least <= len(value) <= self.most:
            count = f" of {self.least}" if self.least == self.most else ""
            raise mismatch(key, f"a list{count}", value)
        for number, item in enumerate(value):
            self.kind.check(item, f"{key}[{number}]", sizes)


@dataclass(frozen=True)
class Table:
    """A dict with any strings for keys, and values of one kind."""

    kind: Kind

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        for name, item in named(value, key).items():
            self.kind.check(item, _joined(key, name), sizes)


@dataclass(frozen=True)
class Record:
    """A dict with these keys, and with others that do not matter.

    Attributes:
        keys: that have to be there. optional: that may be there.
    """

    keys: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        items = named(value, key)
        for name in self.keys:
            if name not in items:
                some = ", ".join(self.keys)
                raise MismatchError(f"{key or 'the file'}: expected the keys {some}; {name} is missing")
        for name, kind in {**self.keys, **self.optional}.items():
            if name in items:
                kind.check(items[name], _joined(key, name), sizes)


@dataclass(frozen=True)
class Anything:
    """Any value."""

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""


@dataclass(frozen=True)
class Plain:
    """Numbers, strings, true, false and None, in any lists and dicts."""

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `Kind`."""
        if isinstance(value, list | tuple):
            Items(self).check(value, key, sizes)
        elif isinstance(value, dict):
            Table(self).check(value, key, sizes)
        elif isinstance(value, int) and abs(value) >> 64:
            raise mismatch(key, "a number of 64 bits", value)
        elif value is not None and not isinstance(value, bool | int | float | str):
            raise mismatch(key, "a number, a string, a list or a dict", value)


def named(value: object, key: str) -> dict[str, Any]:
    """A dict whose keys are strings.

    Raises:
        MismatchError: it is none.
    """
    if not isinstance(value, dict):
        raise mismatch(key or "the file", "a dict", value)
    for name in value:
        if not isinstance(name, str):
            raise mismatch(key or "the file", "a dict with strings for keys", name)
    return value


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
