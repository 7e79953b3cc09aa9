"""Fuzz the readers: `python -m tests.fuzz.run inputs=20000 readers=[cameras,mask]`.

inputs=2000      for each reader; slow ones get fewer
first=0          number of the first; an input depends on the reader's name and its number alone
readers=[]       names; none: all
seconds=600      at most, for each reader
keep=            a folder (tests/fuzz/corpus) for small inputs that fail, one of a kind
"""

from __future__ import annotations

import faulthandler
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from nto3d.cli import guarded
from nto3d.config.io import parse_options
from nto3d.errors import InputError
from tests.fuzz.harness import Outcome, fuzz, keep
from tests.fuzz.readers.every import READERS


@dataclass
class Options:
    """See above."""

    inputs: int = 2000
    first: int = 0
    readers: list[str] = field(default_factory=list)
    seconds: float = 600.0
    keep: str | None = None


def main(argv: list[str]) -> int:
    """Fuzzes, prints a row a reader, and returns 1 where one did not stand it."""
    options = parse_options(Options, argv)
    names = options.readers or list(READERS)
    unknown = [name for name in names if name not in READERS]
    if unknown:
        raise InputError(f"readers: expected some of {', '.join(READERS)}, got {unknown[0]}")
    faulthandler.enable()
    print(HEADER)
    outcomes = {}
    for name in names:
        count = max(1, round(options.inputs * READERS[name].pace))
        faulthandler.dump_traceback_later(options.seconds + 300, exit=True)  # stuck in a library
        with tempfile.TemporaryDirectory(prefix="fuzz_", dir=_memory_folder()) as folder:
            numbers = range(options.first, options.first + count)
            outcomes[name] = fuzz(name, READERS[name], numbers, Path(folder), options.seconds)
        faulthandler.cancel_dump_traceback_later()
        _show(name, outcomes[name], options.keep)
    print(row("all", *total(list(outcomes.values()))))
    return int(any(outcome.failures for outcome in outcomes.values()))


COLUMNS = (
    ("inputs", 8),
    ("refused", 9),
    ("accepted", 9),
    ("failed", 7),
    ("printed", 8),
    ("slowest s", 10),
    ("most MB", 8),
)
HEADER = f"{'reader':<20}" + "".join(f"{name:>{width}}" for name, width in COLUMNS)


def row(
    name: str, inputs: int, refused: int, accepted: int, failed: int, printed: int, slowest: float, memory: float
) -> str:
    """A row of the table under HEADER."""
    return f"{name:<20}{inputs:>8}{refused:>9}{accepted:>9}{failed:>7}{printed:>8}{slowest:>10.2f}{memory:>8.0f}"


def total(outcomes: list[Outcome]) -> tuple[int, int, int, int, int, float, float]:
    """The figures of a row for several outcomes."""
    return (
        sum(outcome.inputs for outcome in outcomes),
        sum(outcome.refused for outcome in outcomes),
        sum(outcome.accepted for outcome in outcomes),
        sum(len(outcome.failures) for outcome in outcomes),
        sum(outcome.printed.total() for outcome in outcomes),
        max(outcome.slowest for outcome in outcomes),
        max(outcome.memory for outcome in outcomes),
    )


def _show(name: str, outcome: Outcome, folder: str | None) -> None:
    print(row(name, *total([outcome])), flush=True)
    seen: dict[tuple[str, str], int] = {}
    for failure in outcome.failures:
        kind = (failure.what.partition(":")[0], failure.where)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] == 1:
            path = keep(failure, name, Path(folder)) if folder else None
            kept = f"; kept as {path}" if path is not None else ""
            print(f"    input {failure.number}: {failure.what} ({failure.where}){kept}")
    for (what, where), count in seen.items():
        if count > 1:
            print(f"    {count} times {what} ({where})")
    for words, count in outcome.printed.most_common(5):
        print(f"    printed {count} times: {words}")


def _memory_folder() -> str | None:
    """A folder without a disk, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
