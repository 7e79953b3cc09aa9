"""The folder of a run: who may start in it, and what is kept there about how it was made. Imports no torch.

Files: config.yaml (the resolved configuration), run.json (commands and versions), checkpoint.pt, log.txt, scalars.csv,
tensorboard/, mesh.ply, metrics.json, report.html; features.npz, features.ply of a feature field. Of a lift: masks/,
rounds.csv, lift/, tensorboard/lift, tensorboard/rounds. Of named objects: mesh_NAME.ply, mesh.glb, and objects/NAME,
which holds what a lift leaves, for each of them. Of viewer=rerun: recording.rrd. Of mode=single: points.ply.
"""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import resource
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

import nto3d
from nto3d.config.check import most_threads
from nto3d.config.io import CONFIG_ERRORS, explain, flatten, parse_overrides, to_config, to_dict
from nto3d.config.renamed import with_present_names
from nto3d.config.schema import Config, Mode
from nto3d.errors import InputError
from nto3d.files import remove_temporaries, write_atomic
from nto3d.parsers.contents import Items, Real, Record, Table, Text, check_contents
from nto3d.parsers.guard import parsing
from nto3d.parsers.text import read_json, read_json_object, read_yaml
from nto3d.training.log import LOG_NAME, METRICS_NAME, SCALARS_NAME, TENSORBOARD_NAME

CONFIG_NAME = "config.yaml"
CHECKPOINT_NAME = "checkpoint.pt"
INFO_NAME = "run.json"
RECORDING_NAME = "recording.rrd"
LIFT_NAME, MASKS_NAME, ROUNDS_NAME, HIDDEN_NAME = "lift", "masks", "rounds.csv", "lift/hidden"
ROUND_NAMES = "round_*"  # folders in LIFT_NAME
CONFIDENCE_NAME = "lift/confidence.json"
OBJECTS_NAME = "objects"  # a folder for each named object
_INFO = Items(
    Record({"command": Text()}, {"folder": Text(), "time": Text(), "versions": Table(Text()), "machine": Text()})
)
_PACKAGES = ("torch", "numpy", "scipy", "warp-lang", "tinycudann", "hydra-core", "omegaconf", "trimesh", "PyMCubes")


_WRITTEN = (
    *(INFO_NAME, LOG_NAME, SCALARS_NAME, TENSORBOARD_NAME, LIFT_NAME, MASKS_NAME, ROUNDS_NAME, RECORDING_NAME),
    OBJECTS_NAME,
)
_OBJECT_MESHES = "mesh_*"
# Of a run without a checkpoint, mode=single
_RESULTS = ("points.ply", "mesh.ply", "mesh.npz", "mesh.obj", "mesh.glb", METRICS_NAME, "report.html")
# What was worth a run's time; without a checkpoint beside it somebody has removed that, and may want to keep these
_WORTH_KEEPING = (
    *(*_RESULTS, _OBJECT_MESHES, "features.*", "mcc.safetensors", ROUNDS_NAME, f"{MASKS_NAME}/*"),
    f"{OBJECTS_NAME}/*/{MASKS_NAME}/*",
)
# What may differ when a run goes on, or starts again: none of it changes what is learnt
RESUME_KEYS = (
    *("evaluate.*", "export.*", "logger.*", "viewer.*", "device", "threads", "scene.path"),
    *("trainer.checkpoint_every", "trainer.log_every", "trainer.image_every"),
    *("train_mcc.cache", "train_mcc.checkpoint_every", "train_mcc.log_every"),
)


def claim(run_dir: Path, config: Config, killed: bool = False) -> bool:
    """Makes the folder of a fresh run and writes its config.yaml.

    Args:
        killed: whether the last owner of the folder was, see `runs.owner`.

    Returns:
        Whether the same run was stopped there before its first checkpoint; what that left is removed.

    Raises:
        InputError: the folder holds another run (it is left alone) or cannot be written.
    """
    again = stopped_early(run_dir, killed)
    if again:
        _check_same(load_run_config(run_dir), config)
        unclaim(run_dir, (INFO_NAME,))
    elif (run_dir / CONFIG_NAME).exists() or (run_dir / CHECKPOINT_NAME).exists():
        go_on = f"go on with {shlex.quote(f'resume={run_dir}')} or " if (run_dir / CHECKPOINT_NAME).exists() else ""
        raise InputError(f"output: {run_dir} already holds a run; {go_on}choose another output")
    else:
        kept = [path for name in _WORTH_KEEPING for path in run_dir.glob(name)]
        for name in (*_WRITTEN, *(str(path.relative_to(run_dir)) for path in kept)):
            if (run_dir / name).exists():  # it would be overwritten, or removed when the start fails
                raise InputError(f"output: expected a folder without a run's files, but {run_dir} holds {name}")
        remove_leftovers(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output: cannot make the folder {run_dir}: {error.strerror}") from error
    try:
        write_run_config(run_dir, config)
    except (InputError, KeyboardInterrupt):
        unclaim(run_dir)
        raise
    return again


def stopped_early(run_dir: Path, killed: bool) -> bool:
    """Whether a run of this program was stopped before its first checkpoint, and left nothing that is worth keeping.

    Args:
        killed: see `claim`. Of mode=single, which has no checkpoint, the results are made again if it was.
    """
    known = killed or (run_dir / INFO_NAME).is_file()
    if not known or not (run_dir / CONFIG_NAME).is_file() or (run_dir / CHECKPOINT_NAME).exists():
        return False
    try:
        unfinished = killed and load_run_config(run_dir).mode is Mode.single
    except InputError:
        return False
    return not any(any(run_dir.glob(name)) for name in ((METRICS_NAME,) if unfinished else _WORTH_KEEPING))


def _check_same(stored: Config, config: Config) -> None:
    """A run starts again with what it was started with first."""
    old, new = flatten(to_dict(stored)), flatten(to_dict(config))
    for key, value in new.items():
        free = ("output", "resume", *RESUME_KEYS)
        if old[key] != value and not any(fnmatch.fnmatchcase(key, pattern) for pattern in free):
            raise InputError(
                f"output: {config.output} holds a run with {key}={old[key]}, not {value}, stopped before its first"
                f" checkpoint: remove the folder (nothing was learnt), resume={config.output}, or choose another output"
            )


def unclaim(run_dir: Path, keep: Sequence[str] = ()) -> None:
    """A run that stopped before its first checkpoint leaves its folder as it was, ready for the next try.

    Args:
        keep: names of files that stay.
    """
    remove_leftovers(run_dir)
    files = (LOG_NAME, SCALARS_NAME, ROUNDS_NAME, RECORDING_NAME, f"{LIFT_NAME}/{SCALARS_NAME}", CONFIDENCE_NAME)
    for name in (*files, *_RESULTS):
        (run_dir / name).unlink(missing_ok=True)
    pictures = [f"{name}/*.png" for name in (MASKS_NAME, HIDDEN_NAME, f"{LIFT_NAME}/{ROUND_NAMES}")]
    patterns = (*pictures, f"{TENSORBOARD_NAME}/**/events.out.tfevents.*")
    of_objects = (*patterns, ROUNDS_NAME, f"{LIFT_NAME}/{SCALARS_NAME}", CONFIDENCE_NAME)
    for pattern in (*patterns, *(f"{OBJECTS_NAME}/*/{pattern}" for pattern in of_objects)):
        for path in run_dir.glob(pattern):
            path.unlink()
    own = [run_dir / name for name in (TENSORBOARD_NAME, LIFT_NAME, MASKS_NAME, OBJECTS_NAME)]
    inner = [path for folder in own for path in folder.rglob("*") if path.is_dir()]
    for name in (INFO_NAME, CONFIG_NAME):  # last: they say whose all the rest is
        if name not in keep:
            (run_dir / name).unlink(missing_ok=True)
    for folder in sorted((run_dir, *own, *inner), key=lambda path: len(path.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def remove_leftovers(run_dir: Path) -> None:
    """Temporary files that a killed run was writing."""
    remove_temporaries(run_dir)
    for name in (MASKS_NAME, LIFT_NAME, OBJECTS_NAME):
        for folder in (run_dir / name, *(path for path in (run_dir / name).rglob("*") if path.is_dir())):
            remove_temporaries(folder)


def write_run_config(run_dir: Path, config: Config) -> None:
    """Writes RUN/config.yaml.

    Raises:
        InputError: it cannot be written.
    """
    write_atomic(run_dir / CONFIG_NAME, config_text(config))


def load_run_config(run_dir: Path, overrides: Sequence[str] = ()) -> Config:
    """Reads RUN/config.yaml and applies `key=value` overrides to it; `output` becomes `run_dir`.

    Raises:
        InputError: no run lies there, its file is broken, or an override has an unknown key or an impossible value.
    """
    path = run_dir / CONFIG_NAME
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: expected the folder of a run, found none")
    if not path.is_file():
        raise InputError(f"{run_dir}: expected the folder of a run, but it holds no {CONFIG_NAME}")
    tree = read_yaml(path, "a configuration")
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected a configuration, got {type(tree).__name__}")
    with parsing(path, "a configuration"):
        try:
            config = OmegaConf.merge(OmegaConf.structured(Config), with_present_names(tree))
        except CONFIG_ERRORS as error:
            raise InputError(f"{path}: {explain(error)}") from error
    assert isinstance(config, DictConfig)
    config.output = str(run_dir)
    if isinstance(config.threads, int):  # of a machine with more cores, perhaps
        config.threads = min(config.threads, most_threads())
    for override in parse_overrides(overrides):
        try:
            OmegaConf.update(config, override.key_or_group, override.value())
        except CONFIG_ERRORS as error:
            raise InputError(explain(error)) from error
    return to_config(config)


def write_run_info(run_dir: Path, command: Sequence[str], fresh: bool) -> None:
    """Writes how the run was started into RUN/run.json; a resumed run adds an entry.

    Raises:
        InputError: it cannot be written.
    """
    entry = {
        "command": shlex.join(command),
        "folder": str(Path.cwd()),
        "time": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}",
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    path = run_dir / INFO_NAME
    earlier = [] if fresh or not path.is_file() else read_run_info(run_dir)
    write_atomic(path, json.dumps([*earlier, entry], indent=2) + "\n")


def config_text(config: Config) -> str:
    """The whole configuration as YAML."""
    text: str = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    return text


def last_command(run_dir: Path) -> str:
    """How the run was last started; empty where that is not known.

    Raises:
        InputError: RUN/run.json is missing or broken.
    """
    entries = read_run_info(run_dir)
    return str(entries[-1]["command"]) if entries else ""


def read_run_info(run_dir: Path) -> list[dict[str, Any]]:
    """Reads RUN/run.json: one dict (command, folder, time, versions, machine) for the start and for every resume.

    Raises:
        InputError: the file is missing or broken.
    """
    path = run_dir / INFO_NAME
    entries: list[dict[str, Any]] = read_json(path, "the JSON that train.py writes")
    check_contents(_INFO, entries, path)
    return entries


def read_metrics(run_dir: Path) -> dict[str, float]:
    """What a run measured, from RUN/metrics.json.

    Raises:
        InputError: the file is missing or broken, or holds something else than numbers.
    """
    path = run_dir / METRICS_NAME
    content = read_json_object(path, "the metrics that train.py writes")
    check_contents(Table(Real(finite=False)), content, path)
    return {name: float(value) for name, value in content.items()}


def versions() -> dict[str, str]:
    """The versions of what decides a result: package -> version, without those that are not installed."""
    found = {"nto3d": nto3d.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # optional, such as tinycudann
    return found


def peak_memory_gb() -> float:
    """Most memory that this process held, in GB (10^9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
