"""A run begins or goes on: its folder becomes this process's, and is left in order. Imports no torch before the run."""

from __future__ import annotations

import contextlib
import fnmatch
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from nto3d.config.io import flatten, parse_overrides, to_dict
from nto3d.config.schema import Config
from nto3d.config.usage import program
from nto3d.errors import InputError, Interrupted, out_of_memory
from nto3d.runs.folder import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    INFO_NAME,
    RESUME_KEYS,
    claim,
    load_run_config,
    remove_leftovers,
    stopped_early,
    unclaim,
    write_run_info,
)
from nto3d.runs.owner import Owner, owned
from nto3d.training.log import set_up_logging


def start(config: Config, argv: Sequence[str]) -> None:
    """A fresh run, in a folder that is its own before torch is imported.

    Args:
        argv: arguments of the command line, which the folder's notes tell.

    Raises:
        InputError: something the user can fix. Interrupted: stopped, with a checkpoint; KeyboardInterrupt: without.
    """
    command, output = [*program().split(), *argv], Path(config.output)
    with owned(output, command, "output", make=True) as owner:
        again = claim(output, config, owner.killed)
        _execute(config, command, owner, again, [])


def go_on(run_dir: Path, overrides: Sequence[str], argv: Sequence[str]) -> None:
    """A run that goes on from its checkpoint, or starts again where it was stopped before the first one.

    Args:
        overrides: see `resume_config`. argv: see `start`.

    Raises:
        InputError, Interrupted, KeyboardInterrupt: see `start`.
    """
    if not run_dir.is_dir():
        load_run_config(run_dir)  # says so
    command = [*program().split(), *argv]
    with owned(run_dir, command, "resume") as owner:
        config = resume_config(run_dir, overrides, owner.killed)
        again = config.resume is None
        if again:
            claim(run_dir, config, owner.killed)
        else:
            remove_leftovers(run_dir)
        _execute(config, command, owner, again, [CONFIG_NAME, INFO_NAME] if again else None)


def resume_config(run_dir: Path, overrides: Sequence[str], killed: bool = False) -> Config:
    """The configuration with which the run in `run_dir` goes on: its own, with harmless overrides (`RESUME_KEYS`).

    `resume` is None in that of a run that was stopped before its first checkpoint, which starts again.

    Args:
        killed: whether the last owner of the folder was, see `runs.owner`.

    Raises:
        InputError: there is no run or no checkpoint, or an override would change what is learnt.
    """
    own = load_run_config(run_dir)
    begun = (run_dir / CHECKPOINT_NAME).is_file()
    if not begun and not stopped_early(run_dir, killed):
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
    config.output, config.resume = str(run_dir), str(run_dir) if begun else None
    return config


def _execute(config: Config, command: list[str], owner: Owner, again: bool, keep: list[str] | None) -> None:
    """Run.

    Args:
        again: whether the run starts again.
        keep: what stays of a run that stops before its first checkpoint; None: everything.
    """
    output = Path(config.output)
    try:
        write_run_info(output, command, fresh=config.resume is None and not again)
        log = set_up_logging(output)
        if again:
            log.info("a run was stopped here before its first checkpoint: it starts again")
        with _terminable():
            from nto3d.runs.dispatch import run  # here, so that all that is said before needs no torch

            run(config)
        owner.check()
    except (Exception, KeyboardInterrupt) as stop:
        if not isinstance(stop, (InputError, OSError, KeyboardInterrupt)) and not out_of_memory(stop):
            raise  # a bug: what it left may tell
        owner.check()
        saved = (output / CHECKPOINT_NAME).is_file()
        if keep is not None and not saved:
            with contextlib.suppress(OSError):  # the error that led here says more
                unclaim(output, keep)
        if isinstance(stop, KeyboardInterrupt) and not isinstance(stop, Interrupted) and saved:
            raise Interrupted(output) from stop
        raise
    finally:
        set_up_logging(None)


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
