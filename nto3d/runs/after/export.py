"""The mesh of a run once more, from its checkpoint alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from nto3d.build.device import build_device
from nto3d.config.io import parse_overrides
from nto3d.config.schema import Config, ExportConfig, MeshFormat
from nto3d.errors import InputError
from nto3d.export.mesh_io import write_mesh, write_mesh_arrays, write_meshes
from nto3d.runs.folder import CHECKPOINT_NAME, load_run_config
from nto3d.runs.owner import owned
from nto3d.runs.stored import open_run
from nto3d.stages.features.term import write_features
from nto3d.stages.objects.meshes import extract_all, write_object_meshes
from nto3d.stages.reconstruct.mesh import ARRAYS_NAME

log = logging.getLogger("nto3d")
KEYS = ("export.", "device", "threads")


def export_run(run_dir: Path, overrides: Sequence[str]) -> Path:
    """Write a run's mesh, its objects' meshes and what belongs to them; returns the mesh's file.

    Raises:
        InputError: an override is not one of KEYS, the checkpoint cannot be used, or a file cannot be written.
    """
    for override in parse_overrides(overrides):
        if not override.key_or_group.startswith(KEYS):
            raise InputError(f"{override.key_or_group}: cannot be changed, expected export.*, device, threads")
    config = load_run_config(run_dir, overrides)
    path = _output_path(run_dir, config.export, any(given.startswith("export.format=") for given in overrides))
    if path.parent.resolve() != run_dir.resolve():
        return _export(run_dir, config, path)
    with owned(run_dir, sys.orig_argv, "run"):
        return _export(run_dir, config, path)


def _export(run_dir: Path, config: Config, path: Path) -> Path:
    device = build_device(config)
    run = open_run(run_dir, config, device)
    if run.visibility is None and run.objects is None:
        log.warning("%s: written by an older version, so export.unseen has no effect", run_dir / CHECKPOINT_NAME)
    mesh, parts = extract_all(run.model, run.world_from_normalized, config.export, run.visibility, run.objects)
    if parts and path.suffix.lower() == ".glb":
        write_meshes(parts, path)
    else:
        write_mesh(mesh, path)
    if path.parent.resolve() == run_dir.resolve() and path.stem == "mesh":
        write_object_meshes(parts, run_dir, MeshFormat(path.suffix.lower()[1:]))
    if path.resolve() == (run_dir / "mesh.ply").resolve():  # its vertices are others now
        write_mesh_arrays(mesh, run_dir / ARRAYS_NAME)
        if run.model.features is not None:
            write_features(run.model, mesh, run.world_from_normalized, run_dir)
    return path


def _output_path(run_dir: Path, config: ExportConfig, format_given: bool) -> Path:
    """Where the mesh goes.

    Raises:
        InputError: the file's suffix is no mesh format or not the one asked for, or its folder does not exist.
    """
    if config.output is None:
        return run_dir / f"mesh.{config.format.value}"
    path = Path(config.output)
    formats = [config.format.value] if format_given else [choice.value for choice in MeshFormat]
    if path.suffix.lower().lstrip(".") not in formats:
        raise InputError(f"export.output: expected a file ending in {' or '.join(formats)}, got {path}")
    if not path.parent.is_dir():
        raise InputError(f"export.output: expected a file in a folder that exists, got {path}")
    return path
