"""A run on many pictures: from masks, or from a click, to meshes, metrics and a report in the run's folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nto3d.build.device import build_device
from nto3d.build.exposure import find_exposures
from nto3d.build.segmenter import check_weights
from nto3d.config.io import to_dict
from nto3d.config.schema import Config
from nto3d.data.load import load_scene
from nto3d.evaluate.geometry import load_points
from nto3d.parsers.contents import contents_of
from nto3d.pipeline.reconstruct import STAGE, Training
from nto3d.report.recording import Recording, free_name, open_recording
from nto3d.runs.folder import CHECKPOINT_NAME, RECORDING_NAME, config_text, last_command, peak_memory_gb
from nto3d.runs.lift.files import count_rounds, lift_folders, lift_metrics, read_rounds, true_masks
from nto3d.runs.lift.masks import MaskFinder, clicked, read_clicks
from nto3d.runs.lift.record import record_masks, record_views
from nto3d.runs.objects import object_metrics, with_truth
from nto3d.runs.owner import check_owner
from nto3d.stages.features.term import assess_features, write_features
from nto3d.stages.objects.meshes import extract_all, write_object_meshes
from nto3d.stages.reconstruct.assess import Pictures, assess_mesh, assess_views, report_metrics, write_run_report
from nto3d.stages.reconstruct.mesh import write_run_mesh
from nto3d.training.checkpoint import check_config, load_checkpoint, save_checkpoint
from nto3d.training.contents import BEFORE_TARGET
from nto3d.training.log import RunLogger
from nto3d.types import Mesh, Scene

log = logging.getLogger("nto3d")


@dataclass
class Work:
    """What the parts of one run share.

    Attributes:
        config: of the run. scene: its pictures. recording: is told what is found. started: `perf_counter` at the start.
    """

    config: Config
    scene: Scene
    device: torch.device
    recording: Recording
    started: float

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return Path(self.config.output)


class TrainingLog:
    """Logs the training of a run into its folder, see `pipeline.watch.Watch`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.logger: RunLogger | None = None

    def training(self, stage: str, steps: int, start: int = 0) -> RunLogger:
        """See `Watch`."""
        self.logger = RunLogger(self._work.run_dir, steps, start, self._work.config.logger.tensorboard, title=stage)
        return self.logger

    def round(self, *told: object) -> None:
        """See `Watch`; a reconstruction has none."""


def run_multiview(config: Config) -> dict[str, float]:
    """From posed pictures and masks to a mesh with metrics and report.

    Raises:
        InputError: something the user can fix. Interrupted: stopped with a checkpoint saved.
    """
    started, run_dir = time.perf_counter(), Path(config.output)
    device = build_device(config)
    check_weights(config)
    if config.evaluate.points is not None:
        load_points(Path(config.evaluate.points))  # a wrong path is said now, not after training
    scene = load_scene(config.scene, config.segmenter.name)
    log.info("scene %s: %d training and %d held-out views", scene.name, len(scene.train), len(scene.test))
    with open_recording(config.viewer.name, free_name(run_dir / RECORDING_NAME), f"nto3d {scene.name}") as recording:
        record_views(recording, scene)
        with contents_of(run_dir / CHECKPOINT_NAME):
            return _run(Work(config, scene, device, recording, started))


def _run(work: Work) -> dict[str, float]:
    config, scene, recording = work.config, work.scene, work.recording
    state = _resumed(config, work.device)
    if clicked(config):
        read_clicks(config, scene)  # a wrong click is said now, not after a look at all pictures
    exposures = find_exposures(config, scene, state)
    targets = MaskFinder(config, scene, work.device, recording, exposures).targets(state)
    names = targets.objects.names if targets.objects is not None else ()
    lifts = lift_folders(work.run_dir, names) if clicked(config) else {}
    if targets.masks is not None:
        recording.at("round", max((count_rounds(folder) for folder in lifts.values()), default=1) - 1)
        record_masks(recording, scene, dict(enumerate(targets.masks)))
    begun = state if state is not None and state["stage"] == STAGE else None
    training = Training(config, scene, targets, work.device, exposures, begun)
    watch, path = TrainingLog(work), work.run_dir / CHECKPOINT_NAME

    def save(step: int) -> None:
        check_owner(work.run_dir)
        save_checkpoint(path, training.state(step))

    training.run(watch, save, work.run_dir)
    assert watch.logger is not None
    recording.at("round", max((count_rounds(folder) for folder in lifts.values()), default=0))
    mesh, pictures = _write_meshes(work, training)
    metrics = _measure(work, training, mesh, pictures, lifts)
    metrics |= {"train_seconds": training.seconds, "peak_memory_gb": peak_memory_gb()}
    if config.evaluate.report:
        pictures.lifts = {name: read_rounds(folder) for name, folder in lifts.items()}
        _report(work, mesh, metrics, pictures, watch.logger)
    metrics["total_seconds"] = time.perf_counter() - work.started
    report_metrics(work.run_dir, metrics)
    log.info("mesh: %s", work.run_dir / "mesh.ply")
    return metrics


def _resumed(config: Config, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint of the run that goes on, or None.

    Raises:
        InputError: there is none, it is damaged, of another configuration, or of a stage that this run does not have.
    """
    if config.resume is None:
        return None
    path = Path(config.output) / CHECKPOINT_NAME
    before = BEFORE_TARGET if clicked(config) else ()
    state = load_checkpoint(path, device, (*before, STAGE))
    check_config(state["config"], to_dict(config), path)
    return state


def _write_meshes(work: Work, training: Training) -> tuple[Mesh, Pictures]:
    """The mesh of all targets, world units; those of named objects are in the pictures."""
    config, world = work.config, work.scene.world_from_normalized
    mesh, parts = extract_all(training.model, world, config.export, training.visibility, training.targets.objects)
    write_run_mesh(mesh, work.run_dir, config.export)
    write_object_meshes(parts, work.run_dir, config.export.format)
    work.recording.mesh("mesh", mesh)
    for name, part in parts.items():
        work.recording.mesh(f"meshes/{name}", part)
    pictures = Pictures(parts=parts)
    if training.features is not None:
        pictures.feature_mesh = write_features(training.model, mesh, world, work.run_dir)
    return mesh, pictures


def _measure(
    work: Work, training: Training, mesh: Mesh, pictures: Pictures, lifts: Mapping[str, Path]
) -> dict[str, float]:
    """Metrics of masks, meshes and what the model renders in the held-out views; adds to the pictures."""
    config, scene, targets = work.config, work.scene, training.targets
    metrics: dict[str, float] = {}
    if targets.objects is not None:
        scene, truths = with_truth(config, scene, targets.objects.names)
        metrics |= object_metrics(config, scene, work.run_dir, pictures.parts, truths)
    if config.evaluate.enabled:
        metrics |= _measure_views(work, training, scene, pictures)
        metrics |= assess_mesh(mesh, scene, config.evaluate, targets.masks is None, config.seed)
    if lifts:
        assert targets.masks is not None
        metrics |= lift_metrics(lifts.values(), scene, targets.masks)
    return metrics


def _measure_views(work: Work, training: Training, scene: Scene, pictures: Pictures) -> dict[str, float]:
    """Metrics of what the model renders in the held-out views; adds to the pictures.

    Args:
        scene: with the true masks of what is reconstructed, where they are known.
    """
    config, dt = work.config, work.config.trainer.step_size
    truth = true_masks(config, scene, work.run_dir)
    metrics, pictures.views = assess_views(training.model, scene, truth, config.evaluate, dt)
    if training.features is not None:
        views = (scene.test or scene.train)[: config.evaluate.max_views]
        found, pictures.features = assess_features(training.model, scene, training.features.maps, truth, views, dt)
        metrics |= found
    return metrics


def _report(work: Work, mesh: Mesh, metrics: Mapping[str, float], pictures: Pictures, logger: RunLogger) -> None:
    run_dir, scene = work.run_dir, work.scene
    command, text = last_command(run_dir), config_text(work.config)
    write_run_report(run_dir, scene, mesh, metrics, pictures, logger.history, command, text)
    log.info("report: %s", run_dir / "report.html")
