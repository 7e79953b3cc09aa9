"""From the click to masks of all views: the first masks, and rounds of lifting and projecting."""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nto3d.build.model import build_model, build_optimizer, build_target, parameter_groups
from nto3d.build.segmenter import build_finder, build_segmenter
from nto3d.config.schema import Config
from nto3d.data.rays import RaySampler
from nto3d.errors import InputError
from nto3d.geometry.exposure import Exposures
from nto3d.pipeline.scene import SAMPLE_LENGTH, lift_config, train_lift
from nto3d.pipeline.watch import Watch
from nto3d.stages.lift.click_transfer import completed, mask_confidences, on_surface, transferred
from nto3d.stages.lift.confidence import Confidence, estimate_confidence
from nto3d.stages.lift.initialize import FirstMasks, KnownScene, open_masks
from nto3d.stages.lift.objective import Lift
from nto3d.stages.lift.refine import Segmentation, ViewMask, agreement, lost, to_arrays
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.lift.text_prompt import TextPrompt
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.projection import Projection, project_views, reduced
from nto3d.stages.whole.whole import Whole
from nto3d.training.restore import load_module, load_optimizer
from nto3d.types import BoolArray, Mask, Prompts, Scene

log = logging.getLogger("nto3d")
MARGIN, WHOLE_SHARE = 0.1, 0.4  # of the rays of a round, see RaySampler
UNCERTAIN = 0.3  # see refine.view_consistent
GEOMETRY_CONFIDENCE = 0.9  # in geometry: a target field that is surer than that overrules it
FEWEST = 16  # pixels, over all views, below which the target counts as lost


@dataclass(frozen=True)
class Target:
    """What a lift is after.

    Attributes:
        name: of it, "" for the only object. prompts: one a view, in pixels of the scene.
        others: negative ones, on the other objects.
    """

    name: str
    prompts: tuple[Prompts, ...]
    others: tuple[Prompts, ...] = ()


class TargetLostError(InputError):
    """No view shows the target any more.

    Attributes:
        name: of the target, "" for the only one. masks: the last good ones by view, bool [H, W].
    """

    def __init__(self, message: str, name: str, masks: Mapping[int, BoolArray]) -> None:
        super().__init__(message)
        self.name, self.masks = name, dict(masks)


class Lifter:
    """Lifts one target in a scene.

    Args:
        config: of the run. scene: its masks, where it has any, are used to measure only.
        target: what is lifted. watch: is told of trainings and rounds. exposures: of the pictures, or None.
        like: another one in this scene, whose segmenter and prepared pictures are used; None: there is none.

    Attributes:
        confidence: how far the masks are to be believed, after `masks`.

    Raises:
        InputError: the segmenter cannot be opened.
    """

    def __init__(
        self,
        config: Config,
        scene: Scene,
        device: torch.device,
        target: Target,
        watch: Watch,
        exposures: Exposures | None = None,
        like: Lifter | None = None,
    ) -> None:
        self.config = lift_config(config)
        self.scene, self.device, self.exposures, self._watch = scene, device, exposures, watch
        self.target, self.others = target, target.others
        self.prompts = {prompts.view: prompts for prompts in target.prompts}
        if like is None:
            segmenter = build_segmenter(config)
            self.segmentation = Segmentation(scene, segmenter, config.lift.accept, config.seed, config.lift.prompts)
        else:
            self.segmentation = like.segmentation.for_another()
        finder = build_finder(config)
        self.noun = None if finder is None else TextPrompt(finder, scene, str(config.prompts.text))
        self.cameras = reduced(scene.cameras)
        self.views = sorted(set(scene.train) | set(self.prompts))
        self._held_out = [view for view in range(len(scene.cameras)) if view not in self.views]
        self.threads = torch.get_num_threads()
        self.whole: Whole | None = None
        self.confidence = Confidence(1.0)
        self.begun = time.perf_counter()

    def first_masks(self) -> dict[int, Mask]:
        """What the segmenter makes of the clicks, in the clicked views; or of a noun, in several views."""
        if self.noun is not None:
            targeted = [prompts for prompts in self.prompts.values() if prompts.targeted]
            return self.noun.first(targeted, self.scene.train, self.config.lift.transfer_views + 1)
        clicked = {view: self.segmentation.ask(some) for view, some in self.prompts.items() if some.targeted}
        for view, mask in clicked.items():
            log.info("the click's mask in view %d: %.1f %% of the picture", view, 100.0 * mask.pixels.mean())
            if not mask.pixels.any():
                raise InputError(f"prompts: nothing is found at the click in view {view}: point at the target")
        return clicked

    def masks(self, fitted: SceneFit, clicked: Mapping[int, Mask]) -> dict[int, ViewMask]:
        """Masks of all views, from those of the clicked views."""
        lift = self.config.lift
        torch.manual_seed(self.config.seed)  # the same masks whether or not the scene was fitted in this process
        model = build_model(self.config, self.scene, None, None, self.device, exposures=self.exposures)
        load_module(model, dict(fitted.model))
        optimizer = build_optimizer(self.config, model)
        kept = copy.deepcopy(dict(fitted.optimizer))  # torch would go on in these very tensors
        load_optimizer(optimizer, kept, lift.scene_steps, settings=fitted.made_with is None)
        told = {view: fitted.seen[view] for view in {*self.views, *(some.view for some in self.others)}}
        first = self._with_transferred(clicked, told)
        confidences = mask_confidences(first, clicked, self.cameras, fitted.seen)
        known = KnownScene(self.scene, model, self.cameras, fitted.seen, self._held_out)
        asked = FirstMasks(first, confidences, self.prompts, self.others)
        masks, self.whole = open_masks(self.segmentation, known, asked, self.threads, self.config.seed)
        if lost(masks):
            raise self._lost(0, {view: mask.pixels for view, mask in first.items()})
        self._watch.round(masks, None, self.views, time.perf_counter() - self.begun)
        self._add_target(model, optimizer)
        for number in range(1, lift.max_rounds + 1):
            before, masks = masks, masks | self._round(number, model, optimizer, masks, fitted)
            self._watch.round(masks, before, self.views, time.perf_counter() - self.begun)
            if agreement(before, masks, self.views) > 1.0 - lift.tol:
                break
        self.confidence = self._estimate_confidence(masks, fitted)
        if lift.max_rounds:
            rest = self._weighed(self._project(model, self._held_out, fitted))
            masks = masks | self.segmentation.refine_all(rest, self.prompts, self.threads, UNCERTAIN, masks)
        return masks

    def _estimate_confidence(self, masks: Mapping[int, ViewMask], fitted: SceneFit) -> Confidence:
        """How far the masks are to be believed."""
        targets, against = (None, None) if self.whole is None else (self.whole.targets, self.whole.against)
        views = self.scene.train
        clicks = (*self.prompts.values(), *self.others)
        clicked = [on_surface(some, self.scene.cameras, fitted.seen[some.view]) for some in clicks]
        known = np.concatenate([np.zeros((0, 3)), *clicked])
        known = known[np.isfinite(known).all(axis=1)]
        return estimate_confidence(masks, targets, against, fitted.seen, self.cameras, self.scene.images, views, known)

    def _with_transferred(self, clicked: Mapping[int, Mask], seen: Mapping[int, Projection]) -> dict[int, Mask]:
        """The clicked views' masks, and first masks of views in which the same clicks can be seen.

        Clicks of other views may say more of the clicked ones, too: those are asked again.
        """
        if not self.prompts:  # a noun was asked for in several views already
            return dict(clicked)
        asked: dict[int, Prompts] = {}
        clicks = (*self.prompts.values(), *self.others)
        each = -(-self.config.lift.transfer_views // len(clicked))
        for view in clicked:
            prompts, further = self.prompts[view], [some for some in clicks if some is not self.prompts[view]]
            again = completed(prompts, self.scene.cameras, seen, further)
            if again is not None:
                asked[view] = again
            for other in transferred(prompts, self.scene.cameras, seen, each, further, self.views):
                if other.view not in clicked:
                    asked.setdefault(other.view, other)
        if self.noun is not None:
            return {**clicked, **self.noun.at(list(asked.values()))}
        return {**clicked, **self.segmentation.ask_all(list(asked.values()), self.threads)}

    def _add_target(self, model: SurfaceModel, optimizer: torch.optim.Optimizer) -> None:
        """A fresh target field, and slower rates for all the others."""
        lift = self.config.lift
        model.target, model.target_gradient = build_target(self.config).to(self.device), lift.geometry_gradient
        for group in parameter_groups(self.config, model.target):
            optimizer.add_param_group(group)
        for group in optimizer.param_groups:
            group["base_lr"] *= lift.rate

    def _round(
        self,
        number: int,
        model: SurfaceModel,
        optimizer: torch.optim.Optimizer,
        masks: dict[int, ViewMask],
        fitted: SceneFit,
    ) -> dict[int, ViewMask]:
        """Lift the masks, project the target field into every view, and segment again."""
        lift, views = self.config.lift, len(self.scene.cameras)
        trust = torch.zeros(views)
        for view, mask in masks.items():
            trust[view] = mask.trust
        trust /= trust.max().clamp(min=1e-6)
        pixels, hidden = to_arrays(masks, views, self.scene.cameras.size)
        sampler = RaySampler(
            self.scene,
            self.scene.train,
            self.device,
            seed=self.config.seed,
            masks=pixels,
            unknown=hidden,
            margin=MARGIN,
            whole_share=WHOLE_SHARE,
        )
        stage = Lift(model, sampler, self.config.trainer, self.config.seed, trust=trust.to(self.device))
        steps = lift.round_steps * (2 if number == 1 else 1)  # the first begins with an empty target field
        first = lift.scene_steps + lift.round_steps * (number if number > 1 else 0)
        train_lift(self.config, stage, optimizer, self._watch, steps, first)
        projections = self._project(model, self.views, fitted)
        if sum(int((p.target > 0.5).sum()) for p in projections.values()) < FEWEST:
            raise self._lost(number, {view: mask.pixels for view, mask in masks.items()})
        weighed = self._weighed(projections)
        return self.segmentation.refine_all(weighed, self.prompts, self.threads, UNCERTAIN, masks)

    def _lost(self, number: int, masks: Mapping[int, BoolArray]) -> TargetLostError:
        pointed = f"clicked in view {min(self.prompts)}" if self.prompts else f"prompts.text={self.config.prompts.text}"
        message = f"round {number}: the target was lost, its projection is empty in all views ({pointed})"
        return TargetLostError(message, self.target.name, masks)

    def _project(self, model: SurfaceModel, views: Sequence[int], fitted: SceneFit) -> dict[int, Projection]:
        """The target field in views."""
        return {p.view: p for p in project_views(model, self.cameras, views, SAMPLE_LENGTH, fitted.seen)}

    def _weighed(self, projections: Mapping[int, Projection]) -> list[Projection]:
        """Projections of the target field, weighed with geometry: where they differ, nothing is sure."""
        found = list(projections.values())
        if self.whole is None:
            return found
        solid = {
            view: 1.0 - GEOMETRY_CONFIDENCE + (2.0 * GEOMETRY_CONFIDENCE - 1.0) * target
            for view, target in self.whole.targets.items()
        }
        return [dataclasses.replace(p, target=0.5 * (p.target + solid[p.view])) for p in found]
