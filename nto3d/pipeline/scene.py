"""The scene stage of a lift: geometry and colour of everything, which needs no click."""

from __future__ import annotations

import dataclasses
import time

import torch

from nto3d.build.model import build_model, build_optimizer, build_schedule, memory_of_a_step
from nto3d.build.start import build_start
from nto3d.config.schema import Config, MaskUse
from nto3d.data.rays import RaySampler
from nto3d.errors import memory_of
from nto3d.geometry.exposure import Exposures
from nto3d.pipeline.watch import Watch
from nto3d.stages.lift.objective import Lift
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.views.projection import project_views, reduced
from nto3d.stages.views.voting import without_color_errors
from nto3d.training.loop import fit
from nto3d.types import Scene

SAMPLE_LENGTH = 0.01  # of projections, normalized units


def lift_config(config: Config) -> Config:
    """The configuration of a lift: everything in the sphere is learnt, and masks weigh what `lift` says."""
    everything = dataclasses.replace(config.scene, masks=MaskUse.none)
    loss = dataclasses.replace(config.trainer.loss, mask_weight=config.lift.mask_weight, empty_weight=0.0)
    trainer = dataclasses.replace(config.trainer, max_rays=config.lift.max_rays, loss=loss)
    return dataclasses.replace(config, scene=everything, trainer=trainer)


def fit_scene(
    config: Config, scene: Scene, device: torch.device, watch: Watch, exposures: Exposures | None = None
) -> SceneFit:
    """Geometry and colour of everything in a scene, and what they show in every view; serves any number of clicks.

    Args:
        exposures: of the pictures, or None where they are all alike.

    Raises:
        InputError: the loss stopped being finite, or the backend is missing. KeyboardInterrupt: Ctrl-C.
    """
    config, begun = lift_config(config), time.perf_counter()
    model = build_model(config, scene, None, None, device, exposures=exposures)
    optimizer = build_optimizer(config, model)
    rough = build_start(config, scene, model, None)
    start = None if rough is None else rough.distance
    sampler = RaySampler(scene, scene.train, device, seed=config.seed)
    stage = Lift(model, sampler, config.trainer, config.seed, start=start)
    train_lift(config, stage, optimizer, watch, config.lift.scene_steps, 0, config.trainer.decay**0.5, "scene")
    model.refresh_grid()
    every, cameras = range(len(scene.cameras)), reduced(scene.cameras)
    seen = {p.view: p for p in project_views(model, cameras, every, SAMPLE_LENGTH, images=scene.images)}
    seen = without_color_errors(seen, cameras, [view for view in every if view not in scene.train])
    seconds = time.perf_counter() - begun
    return SceneFit(model.state_dict(), optimizer.state_dict(), seen, seconds, exposures)


def train_lift(
    config: Config,
    stage: Lift,
    optimizer: torch.optim.Optimizer,
    watch: Watch,
    steps: int,
    first: int = 0,
    decay: float = 1.0,
    title: str = "lift",
) -> None:
    """Train the fields of a lift.

    Args:
        config: as of `lift_config`. steps: to do. first: that were done before. decay: see `Schedule`.
        title: that the watch is told.
    """
    trainer = dataclasses.replace(config.trainer, steps=first + steps, decay=decay)
    schedule = build_schedule(dataclasses.replace(config, trainer=trainer))
    log = watch.training(title, schedule.steps, first)
    with memory_of(*memory_of_a_step(config)):
        fit(stage, optimizer, dataclasses.replace(schedule, image_every=0), log, start=first)
