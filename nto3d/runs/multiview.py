"""A run: its stages in order."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch

from nto3d.build.model import build_device, build_model, build_optimizer, build_schedule
from nto3d.build.exposure import find_exposures
from nto3d.build.segmenter import build_features, check_weights
from nto3d.build.start import build_photometric, build_start
from nto3d.config.schema import Config, Mode
from nto3d.config.io import to_dict
from nto3d.data.load import load_scene
from nto3d.data.rays import RaySampler
from nto3d.evaluate.geometry import load_points
from nto3d.export.visibility import Sight
from nto3d.runs.lift.files import count_rounds, lift_folders, lift_metrics, read_rounds, true_masks
from nto3d.runs.lift.record import record_masks, record_views
from nto3d.report.pictures import normal_picture, to_bytes
from nto3d.report.recording import Recording, free_name, open_recording
from nto3d.runs.folder import (
    CHECKPOINT_NAME,
    RECORDING_NAME,
    config_text,
    last_command,
    peak_memory_gb,
)
from nto3d.runs.lift.masks import clicked, object_metrics, target_masks, with_truth
from nto3d.runs.single import run_single
from nto3d.runs.train_mcc import run_train_mcc
from nto3d.stages.reconstruct.assess import Pictures, assess_mesh, assess_views, report_metrics, write_run_report
from nto3d.stages.features.term import (
    LONGEST,
    FeatureTerm,
    assess_features,
    compare_view,
    target_features,
    write_features,
)
from nto3d.stages.reconstruct.mesh import write_run_mesh
from nto3d.stages.model import SurfaceModel
from nto3d.stages.objects.meshes import Objects, extract_all, write_object_meshes
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.stages.views.render import render_view
from nto3d.training.checkpoint import (
    check_config,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from nto3d.training.log import RunLogger
from nto3d.training.loop import fit
from nto3d.types import BoolArray, Mesh, Scene

log = logging.getLogger("nto3d")
STAGE = "reconstruct"


def run(config: Config) -> dict[str, float]:
    """Do what the configuration says, in the run's folder, and return the metrics.

    Raises:
        InputError: something the user can fix. Interrupted: stopped with a checkpoint saved.
    """
    match config.mode:
        case Mode.single:
            return run_single(config)
        case Mode.train_mcc:
            return run_train_mcc(config)
        case Mode.multiview:
            return run_multiview(config)


def run_multiview(config: Config) -> dict[str, float]:
    """From posed pictures and masks to a mesh with metrics and report."""
    started, run_dir = time.perf_counter(), Path(config.output)
    device = build_device(config)
    check_weights(config)
    if config.evaluate.points is not None:
        load_points(Path(config.evaluate.points))  # a wrong path is said now, not after training
    scene = load_scene(config.scene, config.segmenter.name)
    log.info("scene %s: %d training and %d held-out views", scene.name, len(scene.train), len(scene.test))
    with open_recording(config.viewer.name, free_name(run_dir / RECORDING_NAME), f"nto3d {scene.name}") as recording:
        record_views(recording, scene)
        return _multiview(config, scene, device, recording, started)


def _multiview(
    config: Config, scene: Scene, device: torch.device, recording: Recording, started: float
) -> dict[str, float]:
    run_dir = Path(config.output)
    state = _resumed(config, device)
    exposures = find_exposures(config, scene, state)
    targets = target_masks(config, scene, device, recording, state, exposures)
    masks, unknown, objects = targets.masks, targets.unknown, targets.objects
    lifts = lift_folders(run_dir, objects.names if objects is not None else ()) if clicked(config) else {}
    if masks is not None:
        recording.at("round", max((count_rounds(folder) for folder in lifts.values()), default=1) - 1)
        record_masks(recording, scene, dict(enumerate(masks)))
    features = _features(config, scene, masks, device)
    torch.manual_seed(config.seed)  # what comes is the same however the masks were found
    if unknown is not None and unknown.any():
        views = ", ".join(str(view) for view in scene.train if unknown[view].any())
        log.info("something hides parts of the target in views %s: those pixels are left out", views)
    samples = None if features is None else features.samples
    model = build_model(config, scene, masks, unknown, device, samples, exposures)
    sampler = RaySampler(scene, scene.train, device, seed=config.seed, masks=masks, unknown=unknown)
    training = state if state is not None and state["stage"] == STAGE else None
    sight = Sight.of(scene.cameras, scene.train, masks, unknown)
    logger, train_seconds = reconstruct(
        config, scene, sampler, model, run_dir, sight, training, features, masks, unknown, objects
    )
    mesh, parts = extract_all(model, scene.world_from_normalized, config.export, sight, objects)
    write_run_mesh(mesh, run_dir, config.export)
    write_object_meshes(parts, run_dir, config.export.format)
    recording.at("round", max((count_rounds(folder) for folder in lifts.values()), default=0))
    recording.mesh("mesh", mesh)
    for name, part in parts.items():
        recording.mesh(f"meshes/{name}", part)
    pictures = Pictures()
    if features is not None:
        pictures.feature_mesh = write_features(model, mesh, scene.world_from_normalized, run_dir)
    metrics: dict[str, float] = {}
    if objects is not None:
        scene, truths = with_truth(config, scene, objects.names)
        metrics = object_metrics(config, scene, run_dir, parts, truths)
    if config.evaluate.enabled:
        metrics |= _assess(config, run_dir, scene, model, features, pictures)
        metrics |= assess_mesh(mesh, scene, config.evaluate, masks is None, config.seed)
    if clicked(config):
        assert masks is not None
        metrics |= lift_metrics(lifts.values(), scene, masks)
    metrics |= {"train_seconds": train_seconds, "peak_memory_gb": peak_memory_gb()}
    if config.evaluate.report:
        pictures.parts, pictures.lifts = parts, {name: read_rounds(folder) for name, folder in lifts.items()}
        _report(config, run_dir, scene, mesh, metrics, pictures, logger)
    metrics["total_seconds"] = time.perf_counter() - started
    report_metrics(run_dir, metrics)
    log.info("mesh: %s", run_dir / "mesh.ply")
    return metrics


def _features(config: Config, scene: Scene, masks: BoolArray | None, device: torch.device) -> FeatureTerm | None:
    """What the feature field has to learn, or None."""
    maps = build_features(config, scene, masks)
    if maps is None:
        return None
    samples = target_features(maps, masks, scene.train, config.seed)
    return FeatureTerm(maps.to(device), samples, config.trainer)


def _assess(
    config: Config,
    run_dir: Path,
    scene: Scene,
    model: SurfaceModel,
    features: FeatureTerm | None,
    pictures: Pictures,
) -> dict[str, float]:
    """Metrics of what the model renders in the held-out views; adds to the pictures."""
    truth = true_masks(config, scene, run_dir)
    metrics, pictures.views = assess_views(model, scene, truth, config.evaluate, config.trainer.step_size)
    if features is not None:
        views = (scene.test or scene.train)[: config.evaluate.max_views]
        found, pictures.features = assess_features(model, scene, features.maps, truth, views, config.trainer.step_size)
        metrics |= found
    return metrics


def _resumed(config: Config, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint of the run that goes on, or None."""
    if config.resume is None:
        return None
    path = Path(config.output) / CHECKPOINT_NAME
    state = load_checkpoint(path, device)
    check_config(state["config"], to_dict(config), path)
    return state


def reconstruct(
    config: Config,
    scene: Scene,
    sampler: RaySampler,
    model: SurfaceModel,
    run_dir: Path,
    sight: Sight,
    state: dict[str, Any] | None = None,
    features: FeatureTerm | None = None,
    masks: BoolArray | None = None,
    unknown: BoolArray | None = None,
    objects: Objects | None = None,
) -> tuple[RunLogger, float]:
    """Train a model, from the state of a checkpoint on if there is one; returns the log and the seconds of training.

    The checkpoints hold the sight and the named objects, too: an export needs them.
    """
    device = model.variance.device
    optimizer = build_optimizer(config, model)

    def pictures() -> dict[str, Any]:
        view = (scene.test or scene.train)[0]
        rendered = render_view(model, scene, view, config.trainer.step_size)
        shown = {"render": rendered.rgb, "normal": normal_picture(rendered.normal), "truth": scene.images[view]}
        if features is not None:
            found, _ = compare_view(model, scene, features.maps, None, view, config.trainer.step_size, LONGEST)
            shown |= {"features": to_bytes(found.rendered), "features_encoder": to_bytes(found.encoded)}
        return shown

    half = model.precision == torch.float16 and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    start, seconds = 0, 0.0
    path = run_dir / CHECKPOINT_NAME
    begun = time.perf_counter()
    rough = build_start(config, scene, model, masks, unknown) if state is None else None
    begun_from, pull = (None, None) if rough is None else (rough.distance, rough.pull)
    objective = Reconstruction(
        model,
        sampler,
        config.trainer,
        config.seed,
        pictures,
        start=begun_from,
        features=features,
        photometric=build_photometric(config, scene, masks, device),
        pull=pull,
    )
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        objective.load_state_dict(state["objective"])
        scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"])
        start, seconds = int(state["step"]), float(state["seconds"])
        log.info("going on from step %d", start)

    def save(step: int) -> None:
        save_checkpoint(
            path,
            {
                "stage": STAGE,
                "step": step,
                "seconds": seconds + time.perf_counter() - begun,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "objective": objective.state_dict(),
                "scaler": scaler.state_dict(),
                "sight": sight.state_dict(),
                "world_from_normalized": torch.from_numpy(scene.world_from_normalized),
                "random": random_state(),
                "config": to_dict(config),
                **({} if objects is None else {"objects": objects.state_dict()}),
            },
        )

    schedule = build_schedule(config, 1 if objects is None else len(objects.names))
    logger = RunLogger(run_dir, schedule.steps, start, config.logger.tensorboard, title="reconstruct")
    fit(objective, optimizer, schedule, logger, save, run_dir, start, scaler)
    return logger, seconds + time.perf_counter() - begun


def _report(
    config: Config,
    run_dir: Path,
    scene: Scene,
    mesh: Mesh,
    metrics: dict[str, float],
    pictures: Pictures,
    logger: RunLogger,
) -> None:
    write_run_report(
        run_dir, scene, mesh, metrics, pictures, logger.history, last_command(run_dir), config_text(config)
    )
    log.info("report: %s", run_dir / "report.html")
