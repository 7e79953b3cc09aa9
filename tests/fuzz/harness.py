"""Gives a reader mutated inputs and watches what leaves it, how long it takes, what it holds, what is printed."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from nto3d.errors import InputError
from tests.fuzz.mutate.raw import Mutator, damage

SECONDS, MEGABYTES = 2.0, 300.0  # that an input may take
LONGEST_LINE = 2000  # characters of a message
SMALL = 10_000  # bytes of an input that the corpus keeps
CORPUS = Path(__file__).with_name("corpus")
MOST_ADDRESSES = 3 << 30  # bytes that may be asked for in addition
_LINUX = Path("/proc/self/statm").is_file()
_PAGE_MB = resource.getpagesize() / 1e6


@dataclass(frozen=True)
class Case:
    """A reader made ready in a folder.

    Attributes:
        path: where an input is written. seeds: valid inputs. read: reads what lies there, as the program does.
    """

    path: Path
    seeds: Sequence[bytes]
    read: Callable[[], object]


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        prepare: makes the case in an empty folder. mutators: along the format; blind damage comes by itself.
        quick: inputs of the short test. pace: share of a long run's inputs, for what is slow.
    """

    prepare: Callable[[Path], Case]
    mutators: tuple[Mutator, ...] = ()
    quick: int = 300
    pace: float = 1.0


@dataclass(frozen=True)
class Failure:
    """An input that a reader did not stand: its number, what happened and where, and its bytes."""

    number: int | str
    what: str
    where: str
    content: bytes


@dataclass
class Outcome:
    """What became of the inputs of a reader: counts, the slowest (seconds), the most memory (MB), what was printed."""

    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0
    memory: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    printed: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        """How many were given."""
        return self.refused + self.accepted + len(self.failures)


def mutated(reader: Reader, seeds: Sequence[bytes], name: str, number: int) -> bytes:
    """Input `number` of a reader; the same for the same name and number."""
    rng = Random(f"{name}/{number}")
    content = rng.choice(seeds)
    if reader.mutators and rng.random() < 0.7:
        with contextlib.suppress(Exception):  # a mutator may find nothing of its format in a seed
            return rng.choice(reader.mutators)(rng, content, seeds)
    return damage(rng, content, seeds)


class Attempts:
    """Inputs given to a case one after the other.

    Attributes:
        outcome: of those so far.
    """

    def __init__(self, case: Case) -> None:
        self._case, self.outcome = case, Outcome()
        for seed in case.seeds:  # what is imported and kept at first is nobody's memory
            case.path.write_bytes(seed)
            case.read()
        gc.collect()
        _forget_peak()
        self._start = _resident()
        self._peak = max(_peak(), self._start)

    def give(self, number: int | str, content: bytes) -> None:
        """Has the case read an input, and notes what comes of it."""
        self._case.path.write_bytes(content)
        outcome, found = self.outcome, ""
        where = ""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            self._case.read()
            refused = False
        except InputError as error:
            refused = True
            if len(str(error)) > LONGEST_LINE:
                found, where = f"a message of {len(str(error))} characters: {str(error)[:80]}", "message"
        except Exception as error:
            found, where = f"{type(error).__name__}: {str(error)[:200]}", _place(error)
        seconds = min(time.perf_counter() - wall, time.process_time() - cpu)  # others may have the processor meanwhile
        peak = _peak()
        grown = max(peak - self._start if peak > self._peak else 0.0, _resident() - self._start)
        self._peak = max(peak, self._peak)
        outcome.slowest, outcome.memory = max(outcome.slowest, seconds), max(outcome.memory, grown)
        if grown > MEGABYTES:
            found, where = found or f"{grown:.0f} MB", where or "memory"
            _forget_peak()
            self._start, self._peak = _resident(), _peak()
        if seconds > SECONDS:
            found, where = found or f"{seconds:.1f} s", where or "time"
        if found:
            outcome.failures.append(Failure(number, found, where, content))
        elif refused:
            outcome.refused += 1
        else:
            outcome.accepted += 1


def fuzz(name: str, reader: Reader, numbers: Sequence[int], folder: Path, seconds: float = float("inf")) -> Outcome:
    """Gives a reader the inputs of these numbers, or as many as there is time for.

    Args:
        folder: empty, for its files.
    """
    case = reader.prepare(folder)
    with watched() as printed, bounded_memory():
        attempts, ends = Attempts(case), time.monotonic() + seconds
        printed()
        for number in numbers:
            content = mutated(reader, case.seeds, name, number)
            printed()  # zipfile warns of what is written here
            attempts.give(number, content)
            if words := printed():
                attempts.outcome.printed[words] += 1
            if time.monotonic() > ends:
                break
    return attempts.outcome


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], str]]:
    """Sends what is printed to stderr, by C libraries too, to a file; gives a function that tells the start of it."""
    log, before, descriptor = logging.getLogger("nto3d"), sys.stderr, os.dup(2)
    propagates, log.propagate = log.propagate, False
    handlers, log.handlers = log.handlers, [logging.NullHandler()]  # a run before may have left some
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", buffering=1) as file:

        def printed() -> str:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return ""
            text = os.pread(file.fileno(), 300, 0).decode("utf-8", "replace")
            file.seek(0)
            file.truncate()
            return " ".join(text.split())[:160]

        os.dup2(file.fileno(), 2)
        sys.stderr = file
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                    warnings.simplefilter("ignore", kind)  # as Python does by itself
                warnings.showwarning = lambda message, category, *rest: file.write(f"{category.__name__}: {message}\n")
                yield printed
        finally:
            sys.stderr = before
            os.dup2(descriptor, 2)
            os.close(descriptor)
            log.handlers = handlers
            log.propagate = propagates


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """What eats memory without bound fails before the machine does."""
    size = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize() if _LINUX else 0
    before = resource.getrlimit(resource.RLIMIT_AS)
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size + MOST_ADDRESSES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def keep(failure: Failure, name: str, folder: Path = CORPUS) -> Path | None:
    """Writes a small input that failed into the corpus; None where it is too large."""
    if len(failure.content) > SMALL:
        return None
    kind = "".join(letter if letter.isalnum() else "_" for letter in failure.what.partition(":")[0])[:40]
    path = folder / name / f"{kind}_{hashlib.sha256(failure.content).hexdigest()[:8]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(failure.content)
    return path


def _place(error: BaseException) -> str:
    """Where an error comes from: its innermost line, and the innermost of nto3d."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "nto3d/" in frame.filename and "site-packages" not in frame.filename]
    some = [frames[-1], *own[-1:]]
    return " <- ".join(dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in some))


def _resident() -> float:
    """MB that the process holds now."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE_MB if _LINUX else _peak()


def _peak() -> float:
    """Most MB that the process held since `_forget_peak`."""
    if _LINUX:  # getrusage counts what the process was before it became Python, too
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # no Linux, or not allowed: then only new peaks count
        Path("/proc/self/clear_refs").write_text("5")
