"""From the click to masks of all views: the scene's geometry, the first mask, and rounds of lifting and projecting."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from nto3d.build import build_model, build_optimizer, build_schedule, build_segmenter, build_start, build_target
from nto3d.config import Config, MaskUse, SegmenterName
from nto3d.data.rays import RaySampler
from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.files import write_atomic
from nto3d.run_folder import LIFT_NAME, MASKS_NAME, ROUNDS_NAME
from nto3d.segment.precomputed import given_masks
from nto3d.segment.prompts import read_prompts
from nto3d.stages.lift import Lift
from nto3d.stages.model import SurfaceModel
from nto3d.stages.refine import Segmentation, ViewMask, agreement, carry, mean_truth_iou, to_array
from nto3d.stages.reproject import Projection, project_views, reduced
from nto3d.training.log import RunLogger
from nto3d.training.loop import fit
from nto3d.types import BoolArray, Mask, Scene

log = logging.getLogger("nto3d")
DT = 0.01  # sample length of projections, normalized units
MARGIN, WHOLE_SHARE = 0.1, 0.4  # of the rays of a round, see RaySampler
HEADER = ("round", "agreement", "iou", "least_iou", "trust", "seconds")
FEWEST = 16  # pixels, over all views, below which the target counts as lost


def find_masks(config: Config, scene: Scene, device: torch.device, run_dir: Path) -> BoolArray:
    """Masks [V, H, W] of the clicked object in all views, also written to RUN/masks.

    Raises:
        InputError: the prompts are wrong, or the target was lost; the last good masks are in the run's folder.
        KeyboardInterrupt: Ctrl-C; there is nothing yet to go on from.
    """
    masks = _LiftRun(config, scene, device, run_dir).masks()
    return to_array(masks, len(scene.cameras), scene.cameras.size)


def lift_metrics(run_dir: Path, scene: Scene, masks: BoolArray) -> dict[str, float]:
    """What to say of the masks [V, H, W] that `find_masks` left in a run's folder."""
    with (run_dir / ROUNDS_NAME).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = {"lift_rounds": float(len(rows) - 1), "lift_seconds": float(rows[-1]["seconds"])}
    if scene.masks is not None:
        metrics["lift_mask_iou"] = float(np.mean([iou(masks[view], scene.masks[view]) for view in scene.train]))
    return metrics


class _LiftRun:
    """The stages of one lift, on one model of the whole scene."""

    def __init__(self, config: Config, scene: Scene, device: torch.device, run_dir: Path) -> None:
        # The scene's own masks, where it has any, are used to measure only.
        everything = dataclasses.replace(config.scene, masks=MaskUse.none)
        loss = dataclasses.replace(config.trainer.loss, mask_weight=config.lift.mask_weight)
        trainer = dataclasses.replace(config.trainer, max_rays=config.lift.max_rays, loss=loss)
        self.config = dataclasses.replace(config, scene=everything, trainer=trainer)
        self.scene, self.device, self.run_dir = scene, device, run_dir
        folder, downscale = Path(config.scene.path), config.scene.downscale
        self.prompts = {prompts.view: prompts for prompts in read_prompts(config.prompts, folder, scene, downscale)}
        self.segmentation = Segmentation(scene, build_segmenter(config), config.lift.accept, config.seed)
        self.cameras = reduced(scene.cameras)
        self.views = sorted(set(scene.train) | set(self.prompts))
        self.threads = torch.get_num_threads()
        self.rows: list[tuple[float, ...]] = []
        self.begun = time.perf_counter()

    def masks(self) -> dict[int, ViewMask]:
        """Masks of all views."""
        clicked = {view: self.segmentation.ask(prompts) for view, prompts in self.prompts.items()}
        for view, mask in clicked.items():
            log.info("the click's mask in view %d: %.1f %% of the picture", view, 100.0 * mask.pixels.mean())
        lift = self.config.lift
        model = build_model(self.config, self.scene, None, None, self.device)
        optimizer = build_optimizer(self.config, model)
        start = build_start(self.config, self.scene, model, with_masks=False)
        sampler = RaySampler(self.scene, self.scene.train, self.device, seed=self.config.seed)
        stage = Lift(model, sampler, self.config.trainer, self.config.seed, start=start)
        self._fit(stage, optimizer, lift.scene_steps, 0, self.config.trainer.decay**0.5)
        model.refresh_grid()
        masks = carry(self.segmentation, self.cameras, self._project(model, self.views), clicked)
        self._note(masks, None)
        self._add_target(model, optimizer)
        for number in range(1, lift.max_rounds + 1):
            before, masks = masks, self._round(number, model, optimizer, masks)
            self._note(masks, before)
            if agreement(before, masks) > 1.0 - lift.tol:
                break
        held_out = [view for view in range(len(self.scene.cameras)) if view not in masks]
        if lift.max_rounds:
            rest = self._project(model, held_out)
            masks |= self.segmentation.refine_all(rest.values(), self.prompts, self.threads)
        else:
            known = {view: Mask(view, mask.pixels, mask.trust) for view, mask in masks.items()}
            masks |= carry(self.segmentation, self.cameras, self._project(model, range(len(self.scene.cameras))), known)
        self._write(masks)
        return masks

    def _add_target(self, model: SurfaceModel, optimizer: torch.optim.Optimizer) -> None:
        """A fresh target field, and slower rates for all the others."""
        trainer, lift = self.config.trainer, self.config.lift
        model.target, model.reach = build_target(self.config).to(self.device), lift.reach
        for group in optimizer.param_groups:
            group["base_lr"] *= lift.rate
        tables = [p for name, p in model.target.named_parameters() if name.endswith("table")]
        others = [p for name, p in model.target.named_parameters() if not name.endswith("table")]
        for parameters, rate, eps in ((tables, trainer.lr, 1e-15), (others, trainer.mlp_lr, 1e-8)):
            rate *= lift.rate
            optimizer.add_param_group({"params": parameters, "lr": rate, "base_lr": rate, "eps": eps})

    def _round(
        self, number: int, model: SurfaceModel, optimizer: torch.optim.Optimizer, masks: dict[int, ViewMask]
    ) -> dict[int, ViewMask]:
        """Lift the masks, project the target field into every view, and segment again."""
        lift, views = self.config.lift, len(self.scene.cameras)
        trust = torch.zeros(views)
        for view, mask in masks.items():
            trust[view] = mask.trust
        trust /= trust.max().clamp(min=1e-6)
        sampler = RaySampler(
            self.scene,
            self.scene.train,
            self.device,
            seed=self.config.seed,
            masks=to_array(masks, views, self.scene.cameras.size),
            margin=MARGIN,
            whole_share=WHOLE_SHARE,
        )
        stage = Lift(model, sampler, self.config.trainer, self.config.seed, trust=trust.to(self.device))
        steps = lift.round_steps * (2 if number == 1 else 1)  # the first begins with an empty target field
        first = lift.scene_steps + lift.round_steps * (number if number > 1 else 0)
        self._fit(stage, optimizer, steps, first, 1.0)
        projections = self._project(model, self.views)
        if sum(int((p.target > 0.5).sum()) for p in projections.values()) < FEWEST:
            self._write(masks)
            raise InputError(
                f"round {number}: the target was lost, its projection is empty in all views (clicked in view "
                f"{min(self.prompts)}); the last good masks are in {self.run_dir / MASKS_NAME}"
            )
        return self.segmentation.refine_all(projections.values(), self.prompts, self.threads)

    def _fit(self, stage: Lift, optimizer: torch.optim.Optimizer, steps: int, first: int, decay: float) -> None:
        config = dataclasses.replace(self.config.trainer, steps=first + steps, decay=decay)
        schedule = build_schedule(dataclasses.replace(self.config, trainer=config))
        folder = self.run_dir / LIFT_NAME
        folder.mkdir(exist_ok=True)
        logger = RunLogger(folder, schedule.steps, first, title="lift")
        fit(stage, optimizer, dataclasses.replace(schedule, image_every=0), logger, lambda step: None, folder, first)

    def _project(self, model: SurfaceModel, views: Sequence[int]) -> dict[int, Projection]:
        return {projection.view: projection for projection in project_views(model, self.cameras, views, DT)}

    def _note(self, masks: dict[int, ViewMask], before: dict[int, ViewMask] | None) -> None:
        """Say how the masks are, and add the round to rounds.csv."""
        same = agreement(before, masks) if before is not None else float("nan")
        truth, views = self.scene.masks, self.scene.train
        mean = least = float("nan")
        if truth is not None:
            each = [mean_truth_iou(masks, truth, [view]) for view in views]
            mean, least = float(np.mean(each)), float(np.min(each))
        trust = float(np.mean([masks[view].trust for view in views]))
        self.rows.append((len(self.rows), same, mean, least, trust, time.perf_counter() - self.begun))
        log.info(
            "round %d: agreement %.3f  trust %.3f  iou %.3f  least %.3f", len(self.rows) - 1, same, trust, mean, least
        )
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(
            [row[0], *("" if np.isnan(value) else f"{value:.4f}" for value in row[1:])] for row in self.rows
        )
        write_atomic(self.run_dir / ROUNDS_NAME, text.getvalue())
        self._write(masks)

    def _write(self, masks: dict[int, ViewMask]) -> None:
        folder = self.run_dir / MASKS_NAME
        folder.mkdir(exist_ok=True)
        for view, mask in masks.items():
            _, data = cv2.imencode(".png", mask.pixels.astype(np.uint8) * 255)
            write_atomic(folder / f"{view:03d}.png", data.tobytes())


def true_masks(config: Config, scene: Scene, run_dir: Path) -> BoolArray | None:
    """What the results of a run are compared with: the scene's masks [V, H, W], else those that the run found.

    Raises:
        InputError: the run's masks are missing.
    """
    if config.scene.masks is MaskUse.none:
        return None
    if config.segmenter.name is SegmenterName.precomputed:
        return given_masks(scene)
    return scene.masks if scene.masks is not None else read_found_masks(run_dir, scene)


def read_found_masks(run_dir: Path, scene: Scene) -> BoolArray:
    """The masks [V, H, W] that an earlier `find_masks` left in a run's folder.

    Raises:
        InputError: one is missing, unreadable or of another size.
    """
    masks = np.zeros((len(scene.cameras), *scene.cameras.size), dtype=bool)
    for view in range(len(masks)):
        path = run_dir / MASKS_NAME / f"{view:03d}.png"
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if pixels is None or pixels.shape != scene.cameras.size:
            raise InputError(
                f"{path}: expected the mask of view {view}, {scene.cameras.size[1]}x{scene.cameras.size[0]}"
            )
        masks[view] = pixels > 127
    return masks
