"""What a lift tells: its training and, round by round, the log, rounds.csv, masks, pictures and the recording."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nto3d.report.recording import Recording
from nto3d.runs.folder import LIFT_NAME, MASKS_NAME
from nto3d.runs.lift.files import RoundPictures, write_masks, write_rounds
from nto3d.runs.lift.record import record_masks, view_entity
from nto3d.runs.owner import make_folder
from nto3d.stages.lift.refine import ViewMask, agreement, mean_truth_iou
from nto3d.training.log import TENSORBOARD_NAME, RunLogger
from nto3d.types import Prompts, Scene

log = logging.getLogger("nto3d")


class LiftNotes:
    """The notes of one lift in a run's folder, see `pipeline.watch.Watch`.

    Args:
        run_dir: where files go. scene: its masks, where it has any, are used to measure only. prompts: by view.
        tensorboard: whether to write there, too. recording: is told what is found. name: of the object, or "".

    Attributes:
        rows: of rounds.csv, see `runs.lift.files.HEADER`.
    """

    def __init__(
        self,
        run_dir: Path,
        scene: Scene,
        prompts: Mapping[int, Prompts],
        tensorboard: bool,
        recording: Recording,
        name: str,
    ) -> None:
        self._run_dir, self._scene, self._recording, self._tensorboard = run_dir, scene, recording, tensorboard
        self._entity = f"/{name}" if name else ""
        self._pictures = RoundPictures(run_dir, scene, prompts, tensorboard)
        self.rows: list[tuple[float, ...]] = []
        for view, some in prompts.items():
            recording.prompt(f"{view_entity(scene, view)}/prompt{self._entity}", some)

    def in_folder(self, run_dir: Path) -> LiftNotes:
        """The same, whose trainings are logged in another folder."""
        other = copy.copy(self)
        other._run_dir = run_dir
        return other

    def training(self, stage: str, steps: int, start: int = 0) -> RunLogger:
        """See `Watch`."""
        folder = make_folder(self._run_dir, LIFT_NAME)
        events = self._run_dir / TENSORBOARD_NAME / LIFT_NAME if self._tensorboard else False
        return RunLogger(folder, steps, start, events, title="lift")

    def round(
        self,
        masks: Mapping[int, ViewMask],
        before: Mapping[int, ViewMask] | None,
        views: Sequence[int],
        seconds: float,
    ) -> None:
        """See `Watch`.

        Args:
            before: masks of the round before, or None. views: over which the two are compared. seconds: so far.
        """
        same = agreement(before, masks, views) if before is not None else float("nan")
        truth, train = self._scene.masks, self._scene.train
        mean = least = float("nan")
        if truth is not None:
            each = [mean_truth_iou(masks, truth, [view]) for view in train]
            mean, least = float(np.mean(each)), float(np.min(each))
        trust, number = float(np.mean([masks[view].trust for view in views])), len(self.rows)
        self.rows.append((number, same, mean, least, trust, seconds))
        log.info("round %d: agreement %.3f  trust %.3f  iou %.3f  least %.3f", number, same, trust, mean, least)
        write_rounds(self._run_dir, self.rows)
        write_masks(self._run_dir / MASKS_NAME, {view: mask.pixels for view, mask in masks.items()})
        self._pictures.note(self.rows[-1], masks)
        self._recording.at("round", number)
        pixels = {view: mask.pixels for view, mask in masks.items()}
        record_masks(self._recording, self._scene, pixels, self._entity)
        self._recording.scalar(f"rounds{self._entity}/agreement", same)
        self._recording.scalar(f"rounds{self._entity}/iou", mean)
