"""The masks that a run trains with: given, found from a click, or found for several named objects."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nto3d.config.io import to_dict
from nto3d.config.schema import Config, MaskUse, SegmenterName
from nto3d.data.truth import read_truths
from nto3d.errors import InputError
from nto3d.geometry.exposure import Exposures
from nto3d.parsers.contents import MismatchError
from nto3d.pipeline.lift import Lifter, Target, TargetLostError
from nto3d.pipeline.objects import ObjectLifts, ObjectMasks
from nto3d.pipeline.scene import Checkpoints, check_seen, fit_scene
from nto3d.pipeline.targets import Targets, find_targets
from nto3d.report.recording import Recording
from nto3d.runs.folder import CHECKPOINT_NAME, HIDDEN_NAME, MASKS_NAME, OBJECTS_NAME
from nto3d.runs.lift.confidence import log_confidence, write_confidence
from nto3d.runs.lift.files import read_masks, write_masks
from nto3d.runs.lift.notes import LiftNotes
from nto3d.runs.owner import check_owner, make_folder
from nto3d.segment.precomputed import given_masks
from nto3d.segment.prompts.read import ObjectPrompts, read_objects
from nto3d.stages.lift.refine import ViewMask, to_arrays
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.objects.meshes import Objects
from nto3d.training.checkpoint import random_state, save_checkpoint
from nto3d.training.contents import BEFORE_TARGET, LIFT_STAGE
from nto3d.training.restore import check_step
from nto3d.types import BoolArray, Prompts, Scene


def clicked(config: Config) -> bool:
    """Whether the target is what the prompts point at."""
    return config.scene.masks is MaskUse.given and config.segmenter.name is not SegmenterName.precomputed


def read_clicks(config: Config, scene: Scene) -> ObjectPrompts:
    """The clicks of a run on each object, see `segment.prompts.read.read_objects`."""
    return read_objects(config.prompts, Path(config.scene.path), scene, config.scene.downscale)


class MaskFinder:
    """Finds the masks of a run, and keeps what is found in its folder.

    Args:
        recording: is told the prompts and every round's masks. exposures: of the pictures, or None.
    """

    def __init__(
        self,
        config: Config,
        scene: Scene,
        device: torch.device,
        recording: Recording | None = None,
        exposures: Exposures | None = None,
    ) -> None:
        self._config, self._scene, self._device = config, scene, device
        self._recording, self._exposures = recording or Recording(), exposures
        self._run_dir = Path(config.output)

    def targets(self, state: Mapping[str, Any] | None) -> Targets:
        """What the run reconstructs; that of an earlier part of it where it goes on from the checkpoint `state`.

        Raises:
            InputError: the prompts are wrong, a target was lost, or no view shows it.
        """
        config, scene = self._config, self._scene
        if config.scene.masks is MaskUse.none:
            return Targets(None)
        hidden, objects = None, None
        if not clicked(config):
            masks = given_masks(scene)
        elif state is None or state["stage"] in BEFORE_TARGET:
            masks, hidden, objects = self.find(state)
        else:
            masks, hidden = (read_masks(self._run_dir / name, scene) for name in (MASKS_NAME, HIDDEN_NAME))
            objects = Objects.from_state(state["objects"]) if "objects" in state else None
            if objects is None and list(read_clicks(config, scene)) != [None]:
                raise MismatchError("objects: expected those that the prompts name, got none")
        return find_targets(scene, masks, hidden, objects, config.scene.path)

    def find(self, state: Mapping[str, Any] | None = None) -> tuple[BoolArray, BoolArray, Objects | None]:
        """Masks [V, H, W] of all that is clicked, where something hides it [V, H, W], and what has a name.

        The masks are also written to RUN/masks, the hidden pixels to RUN/lift/hidden. In the scene stage and after it
        there are checkpoints; from there on a stopped run can go on.

        Args:
            state: of such a checkpoint, or None.

        Raises:
            InputError: the prompts are wrong, or a target was lost; its last good masks are in the run's folder.
            KeyboardInterrupt: Ctrl-C.
        """
        config, scene = self._config, self._scene
        clicks = read_clicks(config, scene)
        if list(clicks) == [None]:  # one object, which has no name
            return *self._find_one(clicks[None], state), None
        found = self._find_objects({str(name): frames for name, frames in clicks.items()}, state)
        return found.together, found.hidden, found.objects

    def _find_one(self, prompts: tuple[Prompts, ...], state: Mapping[str, Any] | None) -> tuple[BoolArray, BoolArray]:
        config, scene = self._config, self._scene
        notes = self._notes("", scene, prompts)
        lifter = Lifter(config, scene, self._device, Target("", prompts), notes, self._exposures)
        first = lifter.first_masks()
        fitted = self._provide_scene(lifter, notes, state)
        with self._keeping_last_masks():
            masks = lifter.masks(fitted, first)
        self._keep(lifter, masks)
        return to_arrays(masks, len(scene.cameras), scene.cameras.size)

    def _find_objects(self, clicks: Mapping[str, tuple[Prompts, ...]], state: Mapping[str, Any] | None) -> ObjectMasks:
        """Masks of named objects; the files of each lie in RUN/objects/NAME."""
        config, scene = self._config, self._scene
        truths = read_truths(config.scene, scene, tuple(clicks))
        scenes = {name: dataclasses.replace(scene, masks=truths[name].masks) for name in clicks}
        notes: dict[str, LiftNotes] = {}

        def watch(name: str) -> LiftNotes:
            notes[name] = self._notes(name, scenes[name], clicks[name])
            return notes[name]

        lifts = ObjectLifts(config, scenes, self._device, clicks, watch, self._exposures)
        begin = next(iter(notes.values()))
        fitted = self._provide_scene(lifts.begin, begin, state)
        with self._keeping_last_masks():
            found = lifts.masks(scene, fitted, lambda name, masks: self._keep(lifts.lifters[name], masks))
        for name, masks in found.each.items():
            write_masks(self._folder(name) / MASKS_NAME, dict(enumerate(masks)))
        write_masks(self._run_dir / MASKS_NAME, dict(enumerate(found.together)))
        write_masks(self._run_dir / HIDDEN_NAME, dict(enumerate(found.hidden)))
        return found

    def _folder(self, name: str) -> Path:
        """Where the files of an object's lift lie; "" is the only object."""
        return self._run_dir / OBJECTS_NAME / name if name else self._run_dir

    def _notes(self, name: str, scene: Scene, prompts: tuple[Prompts, ...]) -> LiftNotes:
        folder = make_folder(self._run_dir, self._folder(name).relative_to(self._run_dir))
        clicks = {some.view: some for some in prompts}
        return LiftNotes(folder, scene, clicks, self._config.logger.tensorboard, self._recording, name)

    def _provide_scene(self, lifter: Lifter, notes: LiftNotes, state: Mapping[str, Any] | None) -> SceneFit:
        """What the scene stage leaves, from a checkpoint, or made now and kept in one."""
        config, watch = self._config, notes.in_folder(self._run_dir)
        if state is not None:
            check_step(state["step"], config.lift.scene_steps)
            lifter.begun -= float(state["seconds"])
            if state["stage"] == LIFT_STAGE:
                fitted = SceneFit.from_state(state)
                check_seen(fitted, self._scene)
                return fitted
        checkpoints = Checkpoints(self._save, self._run_dir, state)
        fitted = fit_scene(config, self._scene, self._device, watch, self._exposures, checkpoints)
        done = {"stage": LIFT_STAGE, "step": config.lift.scene_steps, "random": random_state()}
        self._save({**fitted.state(), **done})
        return fitted

    def _save(self, state: Mapping[str, Any]) -> None:
        check_owner(self._run_dir)
        save_checkpoint(self._run_dir / CHECKPOINT_NAME, {**state, "config": to_dict(self._config)})

    def _keep(self, lifter: Lifter, masks: Mapping[int, ViewMask]) -> None:
        """Write the masks of a lift, and say how far they are to be believed."""
        check_owner(self._run_dir)
        folder = self._folder(lifter.target.name)
        stored = write_confidence(folder, lifter.confidence, self._config.scene.downscale)
        log_confidence(stored, self._config, lifter.target.name)
        write_masks(folder / MASKS_NAME, {view: mask.pixels for view, mask in masks.items()})
        write_masks(folder / HIDDEN_NAME, {view: mask.hidden for view, mask in masks.items()})

    @contextlib.contextmanager
    def _keeping_last_masks(self) -> Iterator[None]:
        """Of a target that was lost the last good masks are written, and the error says where."""
        try:
            yield
        except TargetLostError as lost:
            folder = self._folder(lost.name) / MASKS_NAME
            write_masks(folder, lost.masks)
            raise InputError(f"{lost}; the last good masks are in {folder}") from lost
