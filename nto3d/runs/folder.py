"""The folder of a run: who may start in it, and what is kept there about how it was made. Imports no torch.

Files: config.yaml (the resolved configuration), run.json (commands and versions), checkpoint.pt, log.txt, scalars.csv,
tensorboard/, mesh.ply, metrics.json, report.html; features.npz, features.ply of a feature field. Of a lift: masks/,
rounds.csv, lift/, tensorboard/lift, tensorboard/rounds. Of named objects: mesh_NAME.ply, mesh.glb, and objects/NAME,
which holds what a lift leaves, for each of them. Of viewer=rerun: recording.rrd. Of mode=single: points.ply.
"""

from __future__ import annotations

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
from nto3d.config.io import CONFIG_ERRORS, explain, parse_overrides, to_config, to_dict
from nto3d.config.renamed import with_present_names
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.parsers.guard import parsing
from nto3d.parsers.text import read_json, read_json_object, read_yaml
from nto3d.training.log import LOG_NAME, SCALARS_NAME, TENSORBOARD_NAME

CONFIG_NAME = "config.yaml"
CHECKPOINT_NAME = "checkpoint.pt"
INFO_NAME = "run.json"
METRICS_NAME = "metrics.json"
RECORDING_NAME = "recording.rrd"
LIFT_NAME, MASKS_NAME, ROUNDS_NAME, HIDDEN_NAME = "lift", "masks", "rounds.csv", "lift/hidden"
ROUND_NAMES = "round_*"  # folders in LIFT_NAME
CONFIDENCE_NAME = "lift/confidence.json"
OBJECTS_NAME = "objects"  # a folder for each named object
_PACKAGES = ("torch", "numpy", "scipy", "warp-lang", "tinycudann", "hydra-core", "omegaconf", "trimesh", "PyMCubes")


_WRITTEN = (
    *(INFO_NAME, LOG_NAME, SCALARS_NAME, TENSORBOARD_NAME, LIFT_NAME, MASKS_NAME, ROUNDS_NAME, RECORDING_NAME),
    OBJECTS_NAME,
)
_OBJECT_MESHES = "mesh_*"
# Of a run without a checkpoint, mode=single
_RESULTS = ("points.ply", "mesh.ply", "mesh.obj", "mesh.glb", "metrics.json", "report.html")


def claim(run_dir: Path, config: Config) -> None:
    """Makes the folder of a fresh run and writes its config.yaml.

    Raises:
        InputError: the folder holds a run already (it is left alone) or cannot be written.
    """
    if (run_dir / CONFIG_NAME).exists() or (run_dir / CHECKPOINT_NAME).exists():
        go_on = f"go on with resume={run_dir} or " if (run_dir / CHECKPOINT_NAME).exists() else ""
        raise InputError(f"output: {run_dir} already holds a run; {go_on}choose another output")
    for name in (*_WRITTEN, *_RESULTS, *(path.name for path in run_dir.glob(_OBJECT_MESHES))):
        if (run_dir / name).exists():  # it would be overwritten, or removed when the start fails
            raise InputError(f"output: expected a folder without a run's files, but {run_dir} holds {name}")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output: cannot make the folder {run_dir}: {error.strerror}") from error
    try:
        write_run_config(run_dir, config)
    except InputError:
        unclaim(run_dir)
        raise


def unclaim(run_dir: Path) -> None:
    """A run that stopped before its first checkpoint leaves its folder as it was, ready for the next try."""
    files = (
        CONFIG_NAME,
        INFO_NAME,
        LOG_NAME,
        SCALARS_NAME,
        ROUNDS_NAME,
        RECORDING_NAME,
        f"{LIFT_NAME}/{SCALARS_NAME}",
        CONFIDENCE_NAME,
        *_RESULTS,
    )
    for name in files:
        (run_dir / name).unlink(missing_ok=True)
    pictures = [f"{name}/*.png" for name in (MASKS_NAME, HIDDEN_NAME, f"{LIFT_NAME}/{ROUND_NAMES}")]
    patterns = (*pictures, f"{TENSORBOARD_NAME}/**/events.out.tfevents.*")
    of_objects = (*patterns, ROUNDS_NAME, f"{LIFT_NAME}/{SCALARS_NAME}", CONFIDENCE_NAME)
    for pattern in (*patterns, *(f"{OBJECTS_NAME}/*/{pattern}" for pattern in of_objects)):
        for path in run_dir.glob(pattern):
            path.unlink()
    own = [run_dir / name for name in (TENSORBOARD_NAME, LIFT_NAME, MASKS_NAME, OBJECTS_NAME)]
    inner = [path for folder in own for path in folder.rglob("*") if path.is_dir()]
    for folder in sorted((run_dir, *own, *inner), key=lambda path: len(path.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


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
    entries = read_json(path, "the JSON that train.py writes")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: expected a list of objects, as train.py writes it")
    return entries


def read_metrics(run_dir: Path) -> dict[str, float]:
    """What a run measured, from RUN/metrics.json.

    Raises:
        InputError: the file is missing or broken, or holds something else than numbers.
    """
    path = run_dir / METRICS_NAME
    expected = "the metrics that train.py writes"
    content = read_json_object(path, expected)
    with parsing(path, expected):
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
