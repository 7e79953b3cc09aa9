"""What a run says while it trains: a progress bar or plain lines, scalars.csv, TensorBoard, log.txt."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.parsers.contents import Whole
from nto3d.parsers.text import read_csv

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from torch.utils.tensorboard import SummaryWriter

    from nto3d.types import ByteArray

LOG_NAME, SCALARS_NAME, TENSORBOARD_NAME = "log.txt", "scalars.csv", "tensorboard"  # in a run's folder
METRICS_NAME = "metrics.json"  # there, written last
_HEADER = ("step", "name", "value")
History = dict[str, tuple[list[int], list[float]]]


class _StderrHandler(logging.Handler):
    """Looks `sys.stderr` up at every line: rich replaces it while a bar is shown, so that lines land above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class _RunFileHandler(logging.FileHandler):
    """A full disk ends the run with one line that names the file, not with the logging module's traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, logging's name
        error = sys.exc_info()[1]
        raise InputError(f"cannot write {self.baseFilename}: {getattr(error, 'strerror', None) or error}")


def set_up_logging(run_dir: Path | None) -> logging.Logger:
    """Sends the logger "nto3d" as lines `HH:MM:SS message` to stderr and, where there is a run, to RUN/log.txt.

    Raises:
        InputError: log.txt cannot be opened.
    """
    logger = logging.getLogger("nto3d")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # on a full disk; the line that could not be written has said so
            handler.close()
    handlers: list[logging.Handler] = [_StderrHandler()]
    if run_dir is not None:
        try:
            handlers.append(_RunFileHandler(run_dir / LOG_NAME, encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot write {run_dir / LOG_NAME}: {error.strerror}") from error
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


class _QuietThreads:
    """In place of `threading.excepthook`: what TensorBoard's thread cannot write, the next call raises in one line.

    Args:
        report: the hook before it, for everything else.
    """

    def __init__(self, report: Callable[[threading.ExceptHookArgs], object]) -> None:
        self._report = report

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        if not (type(args.thread).__module__.startswith("tensorboard.") and isinstance(args.exc_value, OSError)):
            self._report(args)


class RunLogger:
    """Follows one training: call `advance` after every step, `interval` every log_every steps; use it in a `with`.

    Attributes:
        history: scalar name -> (steps, values), from the first step on also where the run was resumed.
    """

    def __init__(
        self,
        run_dir: Path,
        total: int,
        start: int = 0,
        tensorboard: bool | Path = False,
        title: str = "training",
        terminal: bool | None = None,
    ) -> None:
        """Opens the run's logs.

        Args:
            run_dir: the run's folder.
            total: the number of steps of the whole training.
            start: steps done already; what was logged past them is dropped.
            tensorboard: also write TensorBoard's events, to RUN/tensorboard or to a folder.
            title: shown before the bar.
            terminal: show a bar; None: if stderr is a terminal.

        Raises:
            InputError: the folder cannot be written, or scalars.csv is not this program's.
        """
        self.history: History = read_scalars(run_dir / SCALARS_NAME, start) if start else {}
        self._path = run_dir / SCALARS_NAME
        write_atomic(self._path, _to_csv(self.history))
        folder = tensorboard if isinstance(tensorboard, Path) else run_dir / TENSORBOARD_NAME
        self._writer = open_tensorboard(folder, start + 1 if start else None) if tensorboard else None
        self._total, self._step, self._title = total, start, title
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = (time.perf_counter(), start)
        self._pace: float | None = None  # seconds a step, smoothed

    def __enter__(self) -> Self:
        self._last = (time.perf_counter(), self._step)
        if self._terminal:
            self._bar, self._task = _open_bar(self._title, self._total, self._step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as failure:
                if error is None:  # else it says more
                    raise InputError(f"cannot write {self._writer.log_dir}: {failure.strerror}") from failure

    def advance(self, step: int) -> None:
        """Says that `step` steps are done; cheap enough for every step."""
        self._step = step
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step)

    def interval(self, step: int, scalars: Mapping[str, float], rays: int = 0, samples: int = 0) -> None:
        """Records and shows scalars.

        Args:
            step: steps done.
            scalars: name -> value; `loss` and `psnr` are shown.
            rays: rays rendered since the last call (0: not counted); adds `rays_per_s`.
            samples: samples evaluated since the last call; adds `samples_per_ray`.

        Raises:
            InputError: scalars.csv cannot be written.
        """
        now, (then, before) = time.perf_counter(), self._last
        seconds, steps = max(now - then, 1e-9), max(step - before, 1)
        self._last = (now, step)
        self._pace = seconds / steps if self._pace is None else 0.7 * self._pace + 0.3 * seconds / steps
        values = {**scalars, "ms_per_step": 1e3 * seconds / steps}
        if rays:
            values |= {"rays_per_s": rays / seconds, "samples_per_ray": samples / rays}
        self.scalars(step, values)
        self.advance(step)
        text = _summary(values)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, text=text)
        else:
            eta = _clock((self._total - step) * self._pace)
            logging.getLogger("nto3d").info("%s %d/%d  %s  ETA %s", self._title, step, self._total, text, eta)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Records scalars in `history`, scalars.csv and TensorBoard.

        Raises:
            InputError: scalars.csv cannot be written.
        """
        for name, value in values.items():
            steps, numbers = self.history.setdefault(name, ([], []))
            steps.append(step)
            numbers.append(float(value))
            if self._writer is not None:
                self._writer.add_scalar(name, float(value), step)
        rows = [(step, name, float(value)) for name, value in values.items()]
        try:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}") from error

    def image(self, step: int, name: str, pixels: ByteArray) -> None:
        """Shows a picture, uint8 [H, W, 3], in TensorBoard; does nothing where that is off."""
        if self._writer is not None:
            self._writer.add_image(name, pixels, step, dataformats="HWC")


def read_scalars(path: Path, last_step: int | None = None) -> History:
    """Reads scalars.csv up to and with `last_step`; a last line cut off by a crash is left out.

    Returns:
        name -> (steps, values), empty where there is no file.

    Raises:
        InputError: the file is not this program's.
    """
    history: History = {}
    if not path.is_file():
        return history
    rows = read_csv(path, f"the columns {','.join(_HEADER)}")
    if not rows or tuple(rows[0]) != _HEADER:
        raise InputError(
            f"{path}: expected the columns {','.join(_HEADER)}, got {','.join(rows[0]) if rows else 'none'}"
        )
    for number, row in enumerate(rows[1:], start=2):
        try:
            step, name, value = int(row[0]), row[1], float(row[2])
            Whole().check(step, "step", {})
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{path}, line {number}: expected {','.join(_HEADER)}, got {','.join(row)[:80]}"
            ) from error
        if last_step is None or step <= last_step:
            steps, values = history.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return history


def _to_csv(history: History) -> str:
    rows = [(step, name, value) for name, pairs in history.items() for step, value in zip(*pairs, strict=True)]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(sorted(rows))
    return file.getvalue()


def _summary(values: Mapping[str, float]) -> str:
    parts = [f"{name} {values[name]:.4g}" for name in ("loss", "psnr") if name in values]
    if "rays_per_s" in values:
        parts += [f"{values['rays_per_s'] / 1e3:.1f}k rays/s", f"{values['samples_per_ray']:.1f} samples/ray"]
    return "  ".join([*parts, f"{values['ms_per_step']:.1f} ms/step"])


def _clock(seconds: float) -> str:
    whole = math.ceil(max(seconds, 0.0))
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )


def _open_bar(title: str, total: int, done: int) -> tuple[Progress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    bar = Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("ETA", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        # Last, and the only one that a narrow terminal cuts.
        TextColumn("{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True),
        refresh_per_second=4,
    )
    task = bar.add_task(title, total=total, completed=done, text="")
    bar.start()
    return bar, task


def open_tensorboard(folder: Path, first: int | None = None) -> SummaryWriter:
    """A writer of TensorBoard's events; what an earlier one wrote into the folder from step `first` on is not shown.

    Raises:
        InputError: the folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter  # only where wanted: its import costs time and memory

    if not isinstance(threading.excepthook, _QuietThreads):
        threading.excepthook = _QuietThreads(threading.excepthook)
    try:
        return SummaryWriter(str(folder), purge_step=first)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from error
