"""The command line: composes the configuration, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done, 1 a bug (with its traceback), 2 something the user can fix (one line), 130 interrupted.
`NTO3D_DEBUG=1` shows the traceback of every error.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser  # Hydra is pinned; its public API has no way to refuse flags early
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from nto3d.config.bundled import config_folder
from nto3d.config.io import (
    CONFIG_ERRORS,
    explain,
    flatten,
    parse_overrides,
    register,
    to_config,
    to_dict,
)
from nto3d.config.schema import Config
from nto3d.config.usage import help_text, program
from nto3d.errors import InputError, Interrupted, asked_for, out_of_memory
from nto3d.runs.folder import CHECKPOINT_NAME, claim, load_run_config, unclaim, write_run_info

# What may differ when a run goes on: none of it changes what is learnt
RESUME_KEYS = (
    *("evaluate.*", "export.*", "logger.*", "viewer.*", "device", "threads", "scene.path"),
    *("trainer.checkpoint_every", "trainer.log_every", "trainer.image_every"),
    *("train_mcc.cache", "train_mcc.checkpoint_every", "train_mcc.log_every"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line with these arguments (those of the process by default) and returns its exit code."""
    return guarded(_main, list(sys.argv[1:] if argv is None else argv))


def guarded(function: Callable[..., int | None], *args: Any) -> int:
    """Calls `function(*args)` and returns the process's exit code; errors the user can fix become one line on stderr.

    For every script: `sys.exit(guarded(main, sys.argv[1:]))`.
    """
    if function.__module__ == "__main__" and any(a in ("-h", "--help") for argv in args for a in argv):
        print(function.__globals__["__doc__"].strip())  # a script; train.py's help is Hydra's
        return 0
    try:
        return _report(function, *args)
    except Interrupted as stop:
        print(f"\ninterrupted; go on with: {program()} {shlex.quote(f'resume={stop.run_dir}')}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    return 130


def _report(function: Callable[..., int | None], *args: Any) -> int:
    try:
        return function(*args) or 0
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get("NTO3D_DEBUG") == "1":
            traceback.print_exc()
        if message is None:
            return 1
        print(f"error: {message}", file=sys.stderr)
        return 2


def pop_argument(argv: Sequence[str], key: str) -> tuple[str, list[str]]:
    """Takes `key=VALUE` out of a script's arguments: the value and the other arguments.

    Raises:
        InputError: it is not there, is empty, or is given twice.
    """
    values = [argument.partition("=")[2] for argument in argv if argument.startswith(f"{key}=")]
    if len(values) != 1 or not values[0]:
        raise InputError(f"{key} is missing: give it once, as {key}=VALUE (arguments: {shlex.join(argv) or 'none'})")
    return values[0], [argument for argument in argv if not argument.startswith(f"{key}=")]


def _message(error: Exception) -> str | None:
    """The line for an error that the user can fix, None for a bug."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, CONFIG_ERRORS):
        return explain(error)
    if isinstance(error, OSError):
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    if out_of_memory(error):
        return (
            f"out of memory{asked_for(error)}: lower encoding.log2_entries, trainer.samples_per_step or "
            "export.resolution, or raise scene.downscale; "
            "mode=single: raise single.granularity, lower single.batch; mode=train_mcc: lower train_mcc.batch"
        )
    return None


def _main(argv: list[str]) -> int:
    register()
    overrides, options = _split(argv)
    resumed: list[str] = [override for override in overrides if override.partition("=")[0] == "resume"]
    resumed = [override for override in resumed if override not in ("resume=null", "resume=")]
    if not resumed:
        return _compose_and_run(argv, overrides)
    if options:
        raise InputError(f"{options[0]}: cannot be used together with resume")
    if len(resumed) > 1:
        raise InputError(f"resume: expected one run folder, got {len(resumed)}")
    others = [override for override in overrides if override != resumed[0]]
    _execute(resume_config(Path(resumed[0].partition("=")[2].strip("'\"")), others), argv, fresh=False)
    return 0


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Separates overrides from Hydra's own options, so that a wrong one ends in one line, too."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        known, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise InputError(f"{error} ({program()} --help)") from error
    if unknown:
        hint = f"{program()} --help" if unknown[0].startswith("-") else "options such as -m come before key=value"
        raise InputError(f"{unknown[0]}: not understood ({hint})")
    overrides = [str(argument) for argument in known.overrides]
    return overrides, [argument for argument in argv if argument not in overrides]


def resume_config(run_dir: Path, overrides: Sequence[str]) -> Config:
    """The configuration with which the run in `run_dir` goes on: its own, with harmless overrides (`RESUME_KEYS`).

    Raises:
        InputError: there is no run or no checkpoint, or an override would change what is learnt.
    """
    own = load_run_config(run_dir)
    if not (run_dir / CHECKPOINT_NAME).is_file():
        raise InputError(f"{run_dir}: cannot go on, it holds no {CHECKPOINT_NAME}; start the run again")
    stored = flatten(to_dict(own))
    for override in parse_overrides(overrides):
        key = override.key_or_group
        if key == "experiment" or (key in to_dict(own) and key not in stored):
            raise InputError(f"{key}={override.value()}: a group cannot be chosen with resume, the run keeps its own")
        if key in stored and not any(fnmatch.fnmatchcase(key, pattern) for pattern in RESUME_KEYS):
            changed = flatten(to_dict(load_run_config(run_dir, [str(override.input_line)])))
            if key == "output" or changed[key] != stored[key]:
                raise InputError(
                    f"{key}={override.value()}: the checkpoint was made with {stored[key]}, which resume keeps"
                )
    config = load_run_config(run_dir, overrides)
    config.output, config.resume = str(run_dir), str(run_dir)
    return config


def _compose_and_run(argv: list[str], overrides: list[str]) -> int:
    for override in OverridesParser.create().parse_overrides(overrides):
        if not override.is_hydra_override() and (override.is_add() or override.is_force_add() or override.is_delete()):
            raise InputError(f"{override.input_line}: keys cannot be added or removed, expected key=value")
    if {argument for argument in argv if argument not in overrides} in ({"-h"}, {"--help"}):
        print(help_text(overrides))
        return 0
    single: list[Config | Exception] = []
    failures: list[tuple[int, int]] = []  # sweep: job number, exit code
    process = os.getpid()

    def task(tree: DictConfig) -> None:
        # Hydra prints lines of its own about exceptions in here, so none leaves; and a single run starts outside
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            try:
                single.append(to_config(tree))
            except Exception as error:
                single.append(error)
            return
        number = int(HydraConfig.get().job.num)
        print(f"sweep job {number}: {' '.join(HydraConfig.get().overrides.task)}", file=sys.stderr)
        code = _report(lambda: _execute(to_config(tree), argv, fresh=True))
        if code and os.getpid() != process:  # a launcher's worker: only an exception gets back to the sweep
            raise InputError(f"sweep job {number} failed")
        if code:
            failures.append((number, code))

    _call_hydra(task, argv)
    for outcome in single:
        if isinstance(outcome, Exception):
            raise outcome
        _execute(outcome, argv, fresh=True)
    if failures:
        numbers = ", ".join(str(number) for number, _ in failures)
        print(f"error: sweep jobs that failed: {numbers}", file=sys.stderr)
    return min((code for _, code in failures), default=0)


def _call_hydra(task: Callable[[DictConfig], None], argv: list[str]) -> None:
    """Hydra's own main reads `sys.argv`, prints tracebacks and exits with 1 unless told not to."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    program = sys.argv
    sys.argv = [*program[:1], *argv]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(task)()
    except SystemExit as stop:  # --help and its kind
        if stop.code:
            raise InputError(f"hydra: stopped with {stop.code}") from stop
    except CONFIG_ERRORS:
        raise
    except ValueError as error:  # options that contradict each other
        raise InputError(str(error)) from error
    finally:
        sys.argv = program


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a run like Ctrl-C, so that it cleans up behind itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _execute(config: Config, argv: Sequence[str], fresh: bool) -> None:
    from nto3d.runs.dispatch import run  # here, so that --help and errors in the configuration need no torch
    from nto3d.training.log import set_up_logging

    output = Path(config.output)
    if fresh:
        claim(output, config)
    try:
        write_run_info(output, [*program().split(), *argv], fresh)
        set_up_logging(output)
        with _terminable():
            run(config)
    except (Exception, KeyboardInterrupt) as stop:
        if not isinstance(stop, (InputError, OSError, KeyboardInterrupt)) and not out_of_memory(stop):
            raise  # a bug: what it left may tell
        saved = (output / CHECKPOINT_NAME).is_file()
        if fresh and not saved:
            with contextlib.suppress(OSError):  # the error that led here says more
                unclaim(output)
        if isinstance(stop, KeyboardInterrupt) and not isinstance(stop, Interrupted) and saved:
            raise Interrupted(output) from stop
        raise
    finally:
        set_up_logging(None)
