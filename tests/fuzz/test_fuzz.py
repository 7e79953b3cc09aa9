"""No mutated file or argument makes a reader raise anything but InputError, hang, eat memory, or print."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nto3d.errors import InputError
from tests.fuzz import harness
from tests.fuzz.harness import CORPUS, Attempts, Case, Reader, bounded_memory, fuzz, keep, mutated, watched
from tests.fuzz.known import KNOWN
from tests.fuzz.readers.every import READERS

INPUTS = int(os.environ.get("NTO3D_FUZZ_INPUTS", "0"))  # for each reader, instead of a few or of ten minutes
LONG_SECONDS = 600.0


def complaints(name: str, reader: Reader, numbers: range, folder: Path, seconds: float) -> list[str]:
    """What to say of a reader; prints its counts."""
    outcome = fuzz(name, reader, numbers, folder, seconds)
    print(
        f"{name}: {outcome.inputs} inputs, {outcome.refused} refused, {outcome.accepted} accepted, slowest "
        f"{outcome.slowest:.2f} s, most memory {outcome.memory:.0f} MB"
    )
    for failure in outcome.failures:
        print(f"input {failure.number}: {failure.what} ({failure.where}), kept as {keep(failure, name, folder)}")
    return [failure.what for failure in outcome.failures] + list(outcome.printed)


@pytest.mark.parametrize("name", READERS)
def test_mutated_inputs(name: str, tmp_path: Path) -> None:
    count = INPUTS or READERS[name].quick
    assert complaints(name, READERS[name], range(count), tmp_path, LONG_SECONDS) == []


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG_SECONDS)
@pytest.mark.parametrize("name", READERS)
def test_mutated_inputs_for_long(name: str, tmp_path: Path) -> None:
    first = READERS[name].quick
    assert complaints(name, READERS[name], range(first, first + (INPUTS or 10**9)), tmp_path, LONG_SECONDS) == []


@pytest.mark.parametrize("name", [name for name in READERS if name in KNOWN or (CORPUS / name).is_dir()])
def test_what_readers_once_did_not_stand(name: str, tmp_path: Path) -> None:
    case = READERS[name].prepare(tmp_path)
    with watched() as printed, bounded_memory():
        attempts = Attempts(case)
        printed()
        for what, made in KNOWN.get(name, {}).items():
            attempts.give(what, made(case.seeds[0]))
        for path in sorted((CORPUS / name).glob("*")):
            attempts.give(path.name, path.read_bytes())
        said = printed()
    assert [(failure.number, failure.what) for failure in attempts.outcome.failures] == []
    assert said == ""
    assert attempts.outcome.inputs >= 1


def _nothing(path: Path) -> object:
    return None


def _refuses(path: Path) -> object:
    raise InputError("no")


def _raises(path: Path) -> object:
    return {}[path.read_bytes()]


def _says_too_much(path: Path) -> object:
    raise InputError("x" * 1000 + "\x1b[31m" * 1000)


def _computes(path: Path) -> object:
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return None


def _keeps(path: Path) -> object:
    return np.ones(45_000_000).sum()  # 360 MB, gone when it returns


def _prints(path: Path) -> object:
    warnings.warn("a warning", stacklevel=1)
    return os.write(2, b" by C ") and print("and Python", file=sys.stderr)


@pytest.mark.parametrize(
    ("read", "failed", "printed"),
    [
        *((_nothing, "", ""), (_refuses, "", ""), (_raises, "KeyError", ""), (_says_too_much, "", "")),
        *((_computes, "0.2 s", ""), (_keeps, "MB", ""), (_prints, "", "UserWarning: a warning by C and Python")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_harness_sees_what_readers_do(
    read: Callable[[Path], object], failed: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "SECONDS", 0.15)
    path, seeds = tmp_path / "a", [b"seed"]

    def judged() -> object:
        return None if path.read_bytes() in seeds else read(path)

    outcome = fuzz("a", Reader(lambda folder: Case(path, seeds, judged)), range(5), tmp_path)
    assert outcome.inputs == 5
    assert all(failed in failure.what for failure in outcome.failures)
    assert bool(outcome.failures) == bool(failed)
    assert bool(outcome.printed) == bool(printed)
    assert all(printed in words for words in outcome.printed)
    assert (outcome.refused > 0) == (read in (_refuses, _says_too_much))


def test_inputs_depend_on_name_and_number_alone() -> None:
    reader = READERS["mesh_obj"]
    seeds = [b"v 1 2 3\nv 2 3 4\n", b"v 0 0 0\n"]
    found = [mutated(reader, seeds, "mesh_obj", number) for number in range(200)]
    assert found == [mutated(reader, seeds, "mesh_obj", number) for number in range(200)]
    assert len(set(found)) > 150
    assert found != [mutated(reader, seeds, "another", number) for number in range(200)]


@pytest.mark.parametrize("name", READERS)
def test_mutators_find_their_format_in_the_seeds(name: str, tmp_path: Path) -> None:
    from random import Random

    seeds = READERS[name].prepare(tmp_path).seeds
    for mutator in READERS[name].mutators:
        found = set()
        for number in range(40):
            seed = seeds[number % len(seeds)]
            try:
                found.add(mutator(Random(number), seed, seeds))
            except Exception:  # of another format than this mutator's, or changed beyond what can be written
                continue
        assert len(found) > 5, mutator.__name__
