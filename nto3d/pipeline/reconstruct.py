"""The reconstruction: a model of the targets, trained on the pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nto3d.build.model import build_model, build_optimizer, build_schedule, memory_of_a_step
from nto3d.build.segmenter import build_features
from nto3d.build.start import build_photometric, build_start
from nto3d.config.io import to_dict
from nto3d.config.schema import Config
from nto3d.data.rays import RaySampler
from nto3d.errors import memory_of
from nto3d.export.visibility import Visibility
from nto3d.geometry.exposure import Exposures
from nto3d.pipeline.targets import Targets
from nto3d.pipeline.watch import Watch
from nto3d.report.pictures import normal_picture, to_bytes
from nto3d.stages.features.term import LONGEST, FeatureTerm, compare_view, target_features
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.stages.views.render import render_view
from nto3d.training.checkpoint import random_state, restore_random_state
from nto3d.training.contents import RECONSTRUCT_STAGE
from nto3d.training.loop import Schedule, fit
from nto3d.training.restore import check_step, load_module, load_optimizer, load_scaler
from nto3d.types import Scene

log = logging.getLogger("nto3d")
STAGE = RECONSTRUCT_STAGE


class Training:
    """The training of a model, from the start or from the state of a checkpoint on.

    Args:
        targets: what is reconstructed. exposures: of the pictures, or None. state: of a checkpoint, or None.

    Attributes:
        model: what is trained. visibility: what the training views show. features: what the feature field learns, or
            None. seconds: that the training took, those before a checkpoint included.

    Raises:
        InputError: the hull of the masks is empty, the backend is missing, or the state is that of another model.
    """

    def __init__(
        self,
        config: Config,
        scene: Scene,
        targets: Targets,
        device: torch.device,
        exposures: Exposures | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.scene, self.targets = config, scene, targets
        masks, unknown = targets.masks, targets.unknown
        self.features = build_term(config, scene, targets, device)
        torch.manual_seed(config.seed)  # what comes is the same however the masks were found
        if unknown is not None and unknown.any():
            views = ", ".join(str(view) for view in scene.train if unknown[view].any())
            log.info("something hides parts of the target in views %s: those pixels are left out", views)
        samples = None if self.features is None else self.features.samples
        self.model = build_model(config, scene, masks, unknown, device, samples, exposures)
        sampler = RaySampler(scene, scene.train, device, seed=config.seed, masks=masks, unknown=unknown)
        self.visibility = Visibility.of(scene.cameras, scene.train, masks, unknown)
        self._optimizer = build_optimizer(config, self.model)
        half = self.model.precision == torch.float16 and device.type == "cuda"
        self._scaler = torch.amp.GradScaler(device.type, enabled=half)
        self._start, self.seconds, self._begun = 0, 0.0, time.perf_counter()
        rough = build_start(config, scene, self.model, masks, unknown) if state is None else None
        self._objective = Reconstruction(
            self.model,
            sampler,
            config.trainer,
            config.seed,
            self._pictures,
            start=None if rough is None else rough.distance,
            features=self.features,
            photometric=build_photometric(config, scene, masks, device),
            pull=None if rough is None else rough.pull,
        )
        if state is not None:
            self._restore(state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._start, self.seconds = int(state["step"]), float(state["seconds"])
        check_step(self._start, self._schedule().steps)
        # Not trained yet: features whose weight is still 0; all, where the scaler left out the first steps
        idle = [] if self.model.features is None else list(self.model.features.parameters())
        idle = list(self.model.parameters()) if self._scaler.is_enabled() else idle
        load_module(self.model, state["model"])
        load_optimizer(self._optimizer, state["optimizer"], self._start, idle)
        load_scaler(self._scaler, state["scaler"])
        self._objective.load_state_dict(state["objective"])
        restore_random_state(state["random"])
        log.info("going on from step %d", self._start)

    def state(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds after so many steps: what an export needs, too."""
        objects = self.targets.objects
        return {
            "stage": STAGE,
            "step": step,
            "seconds": self.seconds + time.perf_counter() - self._begun,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "objective": self._objective.state_dict(),
            "scaler": self._scaler.state_dict(),
            "sight": self.visibility.state_dict(),
            "world_from_normalized": torch.from_numpy(self.scene.world_from_normalized),
            "random": random_state(),
            "config": to_dict(self.config),
            **({} if objects is None else {"objects": objects.state_dict()}),
        }

    def run(self, watch: Watch, save: Callable[[int], None] = lambda step: None, run_dir: Path | None = None) -> None:
        """Train to the end.

        Args:
            save, run_dir: see `training.loop.fit`.

        Raises:
            InputError: the loss stopped being finite. Interrupted: Ctrl-C, and a checkpoint was saved.
        """
        schedule = self._schedule()
        logger = watch.training(STAGE, schedule.steps, self._start)
        with memory_of(*memory_of_a_step(self.config)):
            fit(self._objective, self._optimizer, schedule, logger, save, run_dir, self._start, self._scaler)
        self.seconds += time.perf_counter() - self._begun

    def _schedule(self) -> Schedule:
        objects = self.targets.objects
        return build_schedule(self.config, 1 if objects is None else len(objects.names))

    def _pictures(self) -> dict[str, Any]:
        """A held-out view as it is rendered now, for TensorBoard."""
        scene, dt = self.scene, self.config.trainer.step_size
        view = (scene.test or scene.train)[0]
        rendered = render_view(self.model, scene, view, dt)
        shown = {"render": rendered.rgb, "normal": normal_picture(rendered.normal), "truth": scene.images[view]}
        if self.features is not None:
            found, _ = compare_view(self.model, scene, self.features.maps, None, view, dt, LONGEST)
            shown |= {"features": to_bytes(found.rendered), "features_encoder": to_bytes(found.encoded)}
        return shown


def build_term(config: Config, scene: Scene, targets: Targets, device: torch.device) -> FeatureTerm | None:
    """What the feature field has to learn, or None."""
    maps = build_features(config, scene, targets.masks)
    if maps is None:
        return None
    samples = target_features(maps, targets.masks, scene.train, config.seed)
    return FeatureTerm(maps.to(device), samples, config.trainer)
