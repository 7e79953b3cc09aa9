"""One lift after the other in a scene whose true masks are known, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nto3d.build.device import build_device
from nto3d.build.exposure import find_exposures
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.evaluate.damage import DAMAGES
from nto3d.evaluate.masks import iou
from nto3d.pipeline.lift import Lifter, Target, TargetLostError
from nto3d.pipeline.scene import fit_scene
from nto3d.report.recording import Recording
from nto3d.runs.folder import HIDDEN_NAME, MASKS_NAME
from nto3d.runs.lift.confidence import log_confidence, write_confidence
from nto3d.runs.lift.files import write_masks
from nto3d.runs.lift.notes import LiftNotes
from nto3d.segment.prompts.read import read_prompts, with_click
from nto3d.stages.lift.refine import ViewMask, mean_truth_iou
from nto3d.stages.lift.scene import SceneFit
from nto3d.trials.lift.trial import Trial
from nto3d.types import BoolArray, FloatArray, Mask, Prompts, Scene

HEADER = ("trial", "first", "round 0", "last round", "mean", "least", "rounds", "seconds", "confidence", "second click")


@dataclass(frozen=True)
class Outcome:
    """What came of a trial, rounded as it is shown: the columns of HEADER.

    Attributes:
        trial: its name. first: mean IoU of the first masks with the true ones.
        opened, last: of the training views after round 0 and after the last. mean, least: of them in the end.
        rounds: after round 0. seconds: without the scene's geometry. confidence: in the result, 0..1.
        second: the mean IoU with a second click; None where none was tried or asked for.
    """

    trial: str
    first: float
    opened: float
    last: float
    mean: float
    least: float
    rounds: int
    seconds: int
    confidence: float
    second: float | None

    def cells(self) -> tuple[str, ...]:
        """As they are printed."""
        shares = (f"{value:.3f}" for value in (self.first, self.opened, self.last, self.mean, self.least))
        second = "" if self.second is None else f"{self.second:.3f}"
        return (self.trial, *shares, str(self.rounds), str(self.seconds), f"{self.confidence:.3f}", second)


class SceneTrials:
    """Lifts in one scene, whose geometry is fitted once, by the first.

    Args:
        config: of the scene. scene: with masks, which the results are compared with.
    """

    def __init__(self, config: Config, scene: Scene) -> None:
        assert scene.masks is not None
        self._scene, self._truth = scene, scene.masks
        self._device = build_device(config)
        self._exposures = find_exposures(config, scene)
        self._fitted: SceneFit | None = None

    def run(self, trial: Trial, folder: Path, seed: int, second: bool) -> Outcome:
        """Lift, and compare.

        Args:
            folder: for the lift's files. seed: of the damage. second: whether a doubtful result is tried again with the
                click that it asks for.

        Raises:
            InputError: the target was lost, or nothing is found at a click.
        """
        where = trial.config.scene
        prompts = read_prompts(trial.config.prompts, Path(where.path), self._scene, where.downscale)
        lifter, notes = self._open(trial.config, folder, prompts)
        self._fitted = self._fitted or fit_scene(trial.config, self._scene, self._device, notes, self._exposures)
        begun = time.perf_counter()
        first = lifter.first_masks()
        if trial.damage is not None:
            first = damaged(first, lifter.prompts, self._scene, trial.damage, seed)
        clicked = np.mean([iou(mask.pixels, self._truth[view]) for view, mask in first.items()])
        masks = self._masks(lifter, first, folder)
        each = [iou(masks[view].pixels, self._truth[view]) for view in self._scene.train]
        rows = notes.rows
        first_iou, opened, last, mean, least = (
            round(float(share), 3) for share in (clicked, rows[0][2], rows[-1][2], np.mean(each), np.min(each))
        )
        seconds = round(time.perf_counter() - begun)
        confidence = round(lifter.confidence.confidence, 3)
        again = self._again(lifter, folder / "second") if second else None
        return Outcome(trial.name, first_iou, opened, last, mean, least, len(rows) - 1, seconds, confidence, again)

    def _again(self, lifter: Lifter, folder: Path) -> float | None:
        """The mean IoU with the click that a lift asks for; None where it asks for none."""
        view, place = lifter.confidence.view, lifter.confidence.place
        if view is None or place is None or lifter.confidence.confidence >= lifter.config.lift.sure:
            return None
        more, _ = self._open(lifter.config, folder, answered(lifter.prompts, view, place, self._truth[view]), lifter)
        masks = self._masks(more, more.first_masks(), folder)
        return round(mean_truth_iou(masks, self._truth, self._scene.train), 3)

    def _open(
        self, config: Config, folder: Path, prompts: tuple[Prompts, ...], like: Lifter | None = None
    ) -> tuple[Lifter, LiftNotes]:
        """A lift, and its notes in a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        clicks = {some.view: some for some in prompts}
        notes = LiftNotes(folder, self._scene, clicks, config.logger.tensorboard, Recording(), "")
        return Lifter(config, self._scene, self._device, Target("", prompts), notes, self._exposures, like), notes

    def _masks(self, lifter: Lifter, first: Mapping[int, Mask], folder: Path) -> dict[int, ViewMask]:
        """Masks of all views, written, with how far they are to be believed."""
        assert self._fitted is not None
        try:
            masks = lifter.masks(self._fitted, first)
        except TargetLostError as lost:
            write_masks(folder / MASKS_NAME, lost.masks)
            raise InputError(f"{lost}; the last good masks are in {folder / MASKS_NAME}") from lost
        log_confidence(write_confidence(folder, lifter.confidence, lifter.config.scene.downscale), lifter.config, "")
        write_masks(folder / MASKS_NAME, {view: mask.pixels for view, mask in masks.items()})
        write_masks(folder / HIDDEN_NAME, {view: mask.hidden for view, mask in masks.items()})
        return masks


def damaged(
    first: Mapping[int, Mask], prompts: Mapping[int, Prompts], scene: Scene, damage: str, seed: int
) -> dict[int, Mask]:
    """First masks by view, damaged, but not where the clicks are.

    Args:
        prompts: by view, in pixels of the scene. damage: a key of DAMAGES.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for view, mask in first.items():
        keep = prompts[view].points[prompts[view].labels == 1].mean(axis=0)
        found[view] = Mask(view, DAMAGES[damage](mask.pixels, scene.images[view], keep, rng), mask.score)
    return found


def answered(prompts: Mapping[int, Prompts], view: int, place: FloatArray, truth: BoolArray) -> tuple[Prompts, ...]:
    """Prompts by view and one more click in a view at a place (x, y), answered from its true mask [H, W]."""
    x, y = place.astype(int)
    click = Prompts(view, place[None], np.array([int(truth[y, x])]))
    return with_click(list(prompts.values()), click)
