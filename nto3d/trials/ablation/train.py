"""One training in a process of its own, and what it left.

Nothing here imports torch: what this process holds counts as peak memory of those that it starts (ru_maxrss).
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from nto3d.config.io import flatten, to_dict
from nto3d.errors import InputError
from nto3d.runs.folder import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    METRICS_NAME,
    load_run_config,
    read_metrics,
    read_run_info,
    unclaim,
)
from nto3d.runs.owner import owned
from nto3d.trials.ablation.table import Result, Training
from nto3d.trials.places import TRAIN


def is_finished(training: Training) -> bool:
    """Whether its metrics are there already.

    Raises:
        InputError: its folder holds a run of other settings.
    """
    folder = training.folder
    if not (folder / CONFIG_NAME).exists():
        return False
    stored = flatten(to_dict(load_run_config(folder)))
    for key, value in flatten(to_dict(training.config)).items():
        if key not in ("output", "resume") and stored[key] != value:
            raise InputError(f"{folder}: holds a run with {key}={stored[key]}, not {value}; choose another out=FOLDER")
    return (folder / METRICS_NAME).is_file()


def train(overrides: Sequence[str]) -> None:
    """Run `train.py` in a process of its own.

    Raises:
        InputError: it failed; the last line of its error. KeyboardInterrupt: it, or this process, was interrupted.
    """
    with tempfile.TemporaryFile() as errors:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        command = [sys.executable, str(TRAIN), *overrides]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            code = child.wait()
        finally:
            _stop(child)
            signal.signal(signal.SIGTERM, before)
        errors.seek(0)
        lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    if code in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if code:
        said = [line for line in lines if line.startswith("error: ")] or lines or ["it said nothing"]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise InputError(f"train.py failed ({how}): {said[-1].removeprefix('error: ')}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a training that still runs."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=20)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def run_training(training: Training) -> None:
    """Train, in place of what an interrupted training left.

    Raises:
        InputError: the training failed.
    """
    if training.folder.is_dir():
        with owned(training.folder, sys.orig_argv, "out", make=True):
            for file in (CHECKPOINT_NAME, METRICS_NAME):
                (training.folder / file).unlink(missing_ok=True)
            unclaim(training.folder)
    try:
        train(training.overrides)
    except InputError as error:
        raise InputError(f"{training.config.scene.name} {training.field} seed {training.seed}: {error}") from error


def read_result(training: Training) -> Result:
    """What a finished training left.

    Raises:
        InputError: it is missing or broken.
    """
    metrics = read_metrics(training.folder)
    start = read_run_info(training.folder)[:1]
    return Result(training, metrics, start[0] if start else {})
