"""Whatever a parser raises is one line that names the file; the cause is kept."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from nto3d.errors import InputError
from nto3d.parsers.guard import bound, check_file, parsing

FILE = Path("a.bin")


@pytest.mark.parametrize(
    "error",
    [
        *(NotImplementedError("compression 99"), RuntimeError("is encrypted"), OverflowError("too large")),
        *(UnboundLocalError("x"), RecursionError("deep"), zlib.error("Error -3"), KeyError("k"), AssertionError()),
        *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), SyntaxError("token"), OSError("not a picture")),
        *(ValueError("two\nlines"), StopIteration()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_is_one_line_with_its_cause(error: Exception) -> None:
    with pytest.raises(InputError) as caught, parsing(FILE, "numbers"):
        raise error
    assert str(caught.value).startswith("a.bin: expected numbers, it is damaged, cut short or foreign (")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert caught.value.__cause__ is error


def test_what_is_said_already_and_what_stops_the_program_passes() -> None:
    with pytest.raises(InputError, match="mine"), parsing(FILE, "numbers"):
        raise InputError("mine")
    with pytest.raises(KeyboardInterrupt), parsing(FILE, "numbers"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "error", [MemoryError("8 GB"), RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried")]
)
def test_memory_is_named(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"^a\.bin: expected numbers, it does not fit into the memory"),
        parsing(FILE, "numbers"),
    ):
        raise error


def test_the_systems_words_are_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it cannot be read \(No such file"), parsing(FILE, "numbers"):
        (tmp_path / "gone").read_bytes()


def test_files_are_bounded_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(InputError, match="there is no such file"):
        check_file(path, "numbers", 10)
    path.touch()
    with pytest.raises(InputError, match="the file is empty"):
        check_file(path, "numbers", 10)
    path.write_bytes(bytes(11))
    with pytest.raises(InputError, match="at most 10 bytes, the file declares 11"):
        check_file(path, "numbers", 10)
    assert check_file(path, "numbers", 11) == 11
    with pytest.raises(InputError, match="it is no plain file"):
        check_file(tmp_path, "numbers", 10)
    with pytest.raises(InputError, match="declares -1"):
        bound(path, "its header", -1, 10)
