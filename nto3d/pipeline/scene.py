"""The scene stage of a lift: geometry and colour of everything, which needs no click."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nto3d.build.model import build_model, build_optimizer, build_schedule, memory_of_a_step
from nto3d.build.start import build_start
from nto3d.config.schema import Config, MaskUse
from nto3d.data.rays import RaySampler
from nto3d.errors import memory_of
from nto3d.geometry.exposure import Exposures
from nto3d.parsers.contents import MismatchError
from nto3d.pipeline.watch import Watch
from nto3d.stages.lift.objective import Lift
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.projection import project_views, reduced
from nto3d.stages.views.voting import without_color_errors
from nto3d.training.checkpoint import random_state, restore_random_state
from nto3d.training.contents import SCENE_STAGE
from nto3d.training.loop import fit
from nto3d.training.restore import load_module, load_optimizer
from nto3d.types import Scene

log = logging.getLogger("nto3d")
SAMPLE_LENGTH = 0.01  # of projections, normalized units
CHECKPOINT_EVERY = 100  # steps of the scene stage


def lift_config(config: Config) -> Config:
    """The configuration of a lift: everything in the sphere is learnt, and masks weigh what `lift` says."""
    everything = dataclasses.replace(config.scene, masks=MaskUse.none)
    loss = dataclasses.replace(config.trainer.loss, mask_weight=config.lift.mask_weight, empty_weight=0.0)
    trainer = dataclasses.replace(config.trainer, max_rays=config.lift.max_rays, loss=loss)
    return dataclasses.replace(config, scene=everything, trainer=trainer)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """Where a scene stage is kept on its way.

    Attributes:
        save: keeps a state of it. run_dir: where, for messages. begun: such a state to go on from, or None.
    """

    save: Callable[[dict[str, Any]], None]
    run_dir: Path
    begun: Mapping[str, Any] | None = None


def fit_scene(
    config: Config,
    scene: Scene,
    device: torch.device,
    watch: Watch,
    exposures: Exposures | None = None,
    checkpoints: Checkpoints | None = None,
) -> SceneFit:
    """Geometry and colour of everything in a scene, and what they show in every view; serves any number of clicks.

    Args:
        exposures: of the pictures, or None where they are all alike. checkpoints: on the way, or None.

    Raises:
        InputError: the loss stopped being finite, or the backend is missing.
        KeyboardInterrupt: Ctrl-C; Interrupted where a checkpoint was saved.
    """
    config, started = lift_config(config), time.perf_counter()
    model = build_model(config, scene, None, None, device, exposures=exposures)
    optimizer = build_optimizer(config, model)
    begun = None if checkpoints is None else checkpoints.begun
    rough = build_start(config, scene, model, None) if begun is None else None
    start = None if rough is None else rough.distance
    sampler = RaySampler(scene, scene.train, device, seed=config.seed)
    stage = Lift(model, sampler, config.trainer, config.seed, start=start)
    first = 0
    if begun is not None:
        first, started = _restore(begun, model, optimizer, stage), started - float(begun["seconds"])

    def save(step: int) -> None:
        if checkpoints is not None:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "objective": stage.state_dict()}
            taken = {"seconds": time.perf_counter() - started, "random": random_state()}
            checkpoints.save({"stage": SCENE_STAGE, "step": step, **state, **taken})

    steps, run_dir = config.lift.scene_steps - first, None if checkpoints is None else checkpoints.run_dir
    train_lift(config, stage, optimizer, watch, steps, first, config.trainer.decay**0.5, "scene", save, run_dir)
    model.refresh_grid()
    every, cameras = range(len(scene.cameras)), reduced(scene.cameras)
    seen = {p.view: p for p in project_views(model, cameras, every, SAMPLE_LENGTH, images=scene.images)}
    seen = without_color_errors(seen, cameras, [view for view in every if view not in scene.train])
    seconds = time.perf_counter() - started
    return SceneFit(model.state_dict(), optimizer.state_dict(), seen, seconds, exposures)


def _restore(begun: Mapping[str, Any], model: SurfaceModel, optimizer: torch.optim.Optimizer, stage: Lift) -> int:
    """Put everything into the state of a checkpoint; returns the steps that were done."""
    step = int(begun["step"])
    load_module(model, begun["model"])
    load_optimizer(optimizer, begun["optimizer"], step)
    stage.load_state_dict(begun["objective"])
    restore_random_state(begun["random"])
    log.info("going on from step %d of the scene stage", step)
    return step


def check_seen(fitted: SceneFit, scene: Scene) -> None:
    """Whether what a checkpoint holds was seen in the views of this scene.

    Raises:
        MismatchError: in others, or of another size.
    """
    views, size = list(range(len(scene.cameras))), reduced(scene.cameras).size
    if sorted(fitted.seen) != views:
        raise MismatchError(f"views: expected those of {scene.name}, 0 to {len(views) - 1}, got {len(fitted.seen)}")
    for name in ("depth", "opacity", "differs"):
        shape = getattr(fitted.seen[0], name).shape
        if shape != size:
            raise MismatchError(f"{name}: expected pictures {list(size)} as of {scene.name}, got {list(shape)}")


def train_lift(
    config: Config,
    stage: Lift,
    optimizer: torch.optim.Optimizer,
    watch: Watch,
    steps: int,
    first: int = 0,
    decay: float = 1.0,
    title: str = "lift",
    save: Callable[[int], None] = lambda step: None,
    run_dir: Path | None = None,
) -> None:
    """Train the fields of a lift.

    Args:
        config: as of `lift_config`. steps: to do. first: that were done before. decay: see `Schedule`.
        title: that the watch is told. save, run_dir: see `training.loop.fit`.
    """
    trainer = dataclasses.replace(config.trainer, steps=first + steps, decay=decay)
    schedule = build_schedule(dataclasses.replace(config, trainer=trainer))
    schedule = dataclasses.replace(schedule, image_every=0, checkpoint_every=CHECKPOINT_EVERY)
    logger = watch.training(title, schedule.steps, first)
    with memory_of(*memory_of_a_step(config)):
        fit(stage, optimizer, schedule, logger, save, run_dir, first)
