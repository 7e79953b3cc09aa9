"""The command line: composes the configuration, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done, 1 a bug (with its traceback), 2 something the user can fix (one line), 130 interrupted.
`NTO3D_DEBUG=1` shows the traceback of every error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser  # Hydra is pinned; its public API has no way to refuse flags early
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nto3d.config.bundled import config_folder
from nto3d.config.io import (
    CONFIG_ERRORS,
    explain,
    read_overrides,
    register,
    to_config,
)
from nto3d.config.paths import as_it_stands
from nto3d.config.schema import Config
from nto3d.config.usage import help_text, program
from nto3d.errors import InputError, Interrupted, asked_for, out_of_memory
from nto3d.runs.owner import refuse_taken
from nto3d.runs.start import go_on, start


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
        if not options:
            for output in (override.partition("=")[2] for override in overrides if override.startswith("output=")):
                refuse_taken(Path(output.strip("'\"")), "output")  # before anything that takes its time
        return _compose_and_run(argv, overrides)
    if options:
        raise InputError(f"{options[0]}: cannot be used together with resume")
    if len(resumed) > 1:
        raise InputError(f"resume: expected one run folder, got {len(resumed)}")
    others = [override for override in overrides if override != resumed[0]]
    go_on(_unquoted(resumed[0].partition("=")[2]), others, argv)
    return 0


def _unquoted(path: str) -> Path:
    """A path, as it stands or in quotes."""
    return Path(path) if Path(path).exists() else Path(path.strip("'\""))


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


def _compose_and_run(argv: list[str], overrides: list[str]) -> int:
    for override in read_overrides(overrides):
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
        code = _report(lambda: start(to_config(tree), argv))
        if code and os.getpid() != process:  # a launcher's worker: only an exception gets back to the sweep
            raise InputError(f"sweep job {number} failed")
        if code:
            failures.append((number, code))

    _call_hydra(task, [as_it_stands(argument) if argument in overrides else argument for argument in argv])
    for outcome in single:
        if isinstance(outcome, Exception):
            raise outcome
        start(outcome, argv)
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
    except InputError:
        raise
    except ValueError as error:  # options that contradict each other
        raise InputError(str(error)) from error
    except TypeError as error:  # a group that is chosen by a number
        raise InputError(f"{shlex.join(argv)}: Hydra cannot use it ({error})") from error
    finally:
        sys.argv = program
