"""A run measured again, or any mesh."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from nto3d.build.device import build_device
from nto3d.config.check import validate
from nto3d.config.io import parse_overrides
from nto3d.config.schema import Config, EvaluateConfig
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.evaluate.geometry import load_points, mesh_metrics, point_metrics
from nto3d.export.mesh_io import read_mesh
from nto3d.runs.folder import load_run_config, read_metrics
from nto3d.runs.lift.files import true_masks
from nto3d.runs.objects import object_metrics, with_truth
from nto3d.runs.owner import owned
from nto3d.runs.stored import open_run, stored_objects
from nto3d.stages.reconstruct.assess import assess_mesh, assess_views, write_metrics
from nto3d.training.log import METRICS_NAME

KEYS = ("evaluate.", "scene.path", "device", "threads")


def evaluate(run: Path | None, mesh: Path | None, truth: Path | None, overrides: Sequence[str]) -> dict[str, float]:
    """Metrics of a run, whose metrics.json is brought up to date, or of a mesh.

    Args:
        run: the folder. mesh: another mesh of the run's scene, or any mesh. truth: what any mesh is compared with.

    Raises:
        InputError: neither run nor mesh is given, they contradict each other, or a file cannot be used.
    """
    if run is None:
        if mesh is None:
            raise InputError("expected run=RUN or mesh=FILE")
        return evaluate_mesh(mesh, truth, overrides)
    if truth is not None:
        raise InputError("truth: cannot be used together with run, which knows its scene's ground truth")
    if mesh is not None or not run.is_dir():
        return evaluate_run(run, mesh, overrides)
    with owned(run, sys.orig_argv, "run"):
        metrics = evaluate_run(run, None, overrides)
        update_metrics(run, metrics)
    return metrics


def evaluate_run(run_dir: Path, mesh_path: Path | None, overrides: Sequence[str]) -> dict[str, float]:
    """Metrics of a run's model and mesh, or of another mesh of its scene.

    Raises:
        InputError: an override is not one of KEYS, or a file of the run or the scene cannot be used.
    """
    for override in parse_overrides(overrides):
        if not override.key_or_group.startswith(KEYS):
            raise InputError(f"{override.key_or_group}: cannot be changed, expected {', '.join(KEYS)} (evaluate.*)")
    config = load_run_config(run_dir, overrides)
    mesh = read_mesh(mesh_path or run_dir / "mesh.ply")
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    run = open_run(run_dir, config, device) if mesh_path is None else None
    objects = stored_objects(run_dir) if run is None else run.objects
    metrics: dict[str, float] = {}
    if objects is not None:
        scene, truths = with_truth(config, scene, objects.names)
        if run is not None:
            parts = {name: read_mesh(run_dir / f"mesh_{name}.ply") for name in objects.names}
            metrics |= object_metrics(config, scene, run_dir, parts, truths)
    masks = true_masks(config, scene, run_dir)
    if run is not None:
        found, _ = assess_views(run.model, scene, masks, config.evaluate, config.trainer.step_size)
        metrics |= found
    return metrics | assess_mesh(mesh, scene, config.evaluate, masks is None, config.seed)


def evaluate_mesh(mesh_path: Path, truth_path: Path | None, overrides: Sequence[str]) -> dict[str, float]:
    """Metrics of a mesh against another mesh and check points, all in one frame.

    Raises:
        InputError: there is nothing to compare with, an override is not of `evaluate`, or a file cannot be used.
    """
    config = OmegaConf.structured(Config)
    for override in parse_overrides(overrides):
        if not override.key_or_group.startswith("evaluate."):
            raise InputError(f"{override.key_or_group}: expected evaluate.* where no run is given")
        OmegaConf.update(config, override.key_or_group, override.value())
    values = OmegaConf.to_object(config.evaluate)
    assert isinstance(values, EvaluateConfig)
    validate(Config(output="unused", evaluate=values))
    if truth_path is None and values.points is None:
        raise InputError("nothing to compare with: give truth=FILE, evaluate.points=FILE.npz or run=RUN")
    mesh = read_mesh(mesh_path)
    metrics: dict[str, float] = {}
    if truth_path is not None:
        samples, share = values.chamfer_samples, values.fscore_threshold
        metrics |= mesh_metrics(mesh, read_mesh(truth_path), samples=samples, threshold_share=share, seed=0)
    if values.points is not None:
        metrics |= point_metrics(load_points(Path(values.points)), mesh)
    return metrics


def update_metrics(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """Bring RUN/metrics.json up to date; keys that were not measured stay.

    Raises:
        InputError: it is broken, or cannot be written.
    """
    earlier = read_metrics(run_dir) if (run_dir / METRICS_NAME).is_file() else {}
    write_metrics(run_dir, {**earlier, **metrics})
