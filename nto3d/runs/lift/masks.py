"""The masks that a run trains with: given, found from a click, or found for several named objects."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nto3d.config.schema import Config, MaskUse, SegmenterName, Unseen
from nto3d.config.io import to_dict
from nto3d.data.truth import Truth, read_truths
from nto3d.errors import InputError
from nto3d.evaluate.geometry import mesh_metrics, volume
from nto3d.evaluate.masks import mean_iou
from nto3d.evaluate.overlap import share_in_common
from nto3d.export.visibility import Sight
from nto3d.geometry.exposure import Exposures
from nto3d.geometry.occlusion import occluded_pixels
from nto3d.runs.lift.files import read_masks, write_masks
from nto3d.report.recording import Recording
from nto3d.runs.folder import CHECKPOINT_NAME, HIDDEN_NAME, MASKS_NAME, OBJECTS_NAME
from nto3d.runs.lift.run import LiftRun, Target
from nto3d.segment.precomputed import given_masks
from nto3d.segment.prompts.read import beside, read_objects, refusing
from nto3d.stages.objects.meshes import Objects, joined, without_overlap
from nto3d.stages.objects.partition import label_surface
from nto3d.stages.lift.refine import ViewMask, to_arrays
from nto3d.stages.views.projection import shrunk
from nto3d.stages.lift.scene import SceneFit
from nto3d.training.checkpoint import LIFT_STAGE, random_state, save_checkpoint
from nto3d.types import BoolArray, Mesh, Prompts, Scene

log = logging.getLogger("nto3d")


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a run reconstructs.

    Attributes:
        masks: [V, H, W] of all targets together; None: everything is reconstructed. unknown: [V, H, W], where they may
            be hidden, or None. objects: those that have names; None where there are none.
    """

    masks: BoolArray | None
    unknown: BoolArray | None
    objects: Objects | None = None


def clicked(config: Config) -> bool:
    """Whether the target is what the prompts point at."""
    return config.scene.masks is MaskUse.given and config.segmenter.name is not SegmenterName.precomputed


def target_masks(
    config: Config,
    scene: Scene,
    device: torch.device,
    recording: Recording,
    state: Mapping[str, Any] | None,
    exposures: Exposures | None,
) -> Targets:
    """The masks of a run; those of an earlier part of it where it goes on from the checkpoint `state`.

    Raises:
        InputError: the prompts are wrong, a target was lost, or no view shows it.
    """
    run_dir, objects = Path(config.output), None
    if config.scene.masks is MaskUse.none:
        return Targets(None, None)
    if not clicked(config):
        masks, hidden = given_masks(scene), None
    elif state is None or state["stage"] == LIFT_STAGE:
        fitted = None if state is None else SceneFit.from_state(state)
        clicks = read_objects(config.prompts, Path(config.scene.path), scene, config.scene.downscale)
        if list(clicks) == [None]:  # one object, which has no name
            masks, hidden = find_masks(config, scene, device, run_dir, fitted, recording, exposures)
        else:
            named = {str(name): frames for name, frames in clicks.items()}
            masks, hidden, objects = find_objects(config, scene, device, run_dir, named, fitted, recording, exposures)
    else:
        masks, hidden = (read_masks(run_dir / name, scene) for name in (MASKS_NAME, HIDDEN_NAME))
        objects = Objects.from_state(state["objects"]) if "objects" in state else None
    if not masks[list(scene.train)].any():
        raise InputError(f"{config.scene.path}: expected the target in the masks of the training views, all are empty")
    unknown = occluded_pixels(scene.cameras, scene.train, masks)
    if hidden is not None:
        unknown = hidden if unknown is None else unknown | hidden
    return Targets(masks, unknown, objects)


def find_masks(
    config: Config,
    scene: Scene,
    device: torch.device,
    run_dir: Path,
    fitted: SceneFit | None = None,
    recording: Recording | None = None,
    exposures: Exposures | None = None,
) -> tuple[BoolArray, BoolArray]:
    """Masks [V, H, W] of the clicked object in all views, and where something hides it [V, H, W].

    The masks are also written to RUN/masks, the hidden pixels to RUN/lift/hidden. After the scene stage there is a
    checkpoint; from there on a stopped run can go on.

    Args:
        fitted: from such a checkpoint, or None. recording: is told the prompts and every round's masks.
        exposures: of the pictures, or None where they are all alike.

    Raises:
        InputError: the prompts are wrong, or the target was lost; the last good masks are in the run's folder.
        KeyboardInterrupt: Ctrl-C.
    """
    lift = LiftRun(config, scene, device, run_dir, recording, exposures)
    first = lift.first_masks()
    fitted = _provide_scene(lift, config, run_dir, fitted)
    return to_arrays(lift.masks(fitted, first), len(scene.cameras), scene.cameras.size)


def _provide_scene(lift: LiftRun, config: Config, run_dir: Path, fitted: SceneFit | None) -> SceneFit:
    """What the scene stage leaves, from a checkpoint, or made now and kept in one."""
    if fitted is not None:
        lift.begun -= fitted.seconds
        return fitted
    fitted = lift.fit_scene(run_dir)
    state = {**fitted.state(), "stage": LIFT_STAGE, "step": config.lift.scene_steps}
    save_checkpoint(run_dir / CHECKPOINT_NAME, {**state, "random": random_state(), "config": to_dict(config)})
    return fitted


def find_objects(
    config: Config,
    scene: Scene,
    device: torch.device,
    run_dir: Path,
    clicks: Mapping[str, tuple[Prompts, ...]],
    fitted: SceneFit | None = None,
    recording: Recording | None = None,
    exposures: Exposures | None = None,
) -> tuple[BoolArray, BoolArray, Objects]:
    """Masks [V, H, W] of all named objects together, where something hides them [V, H, W], and what is whose.

    There is one scene stage, and a lift for each object, whose files lie in RUN/objects/NAME. The masks of all together
    are written to RUN/masks, the hidden pixels to RUN/lift/hidden. For the rest see `find_masks`.

    Raises:
        InputError: as `find_masks`, or nothing is left of an object beside the others.
    """
    if config.prompts.text is not None and len(clicks) > 1:
        raise InputError(f"prompts.text: cannot be used with several objects ({', '.join(clicks)})")
    truths = read_truths(config.scene, scene, tuple(clicks))
    lifts: dict[str, LiftRun] = {}
    first = {}
    for name, frames in clicks.items():
        others = beside(clicks, name)
        target = Target(name, tuple(refusing(prompts, others) for prompts in frames), others)
        own, folder = dataclasses.replace(scene, masks=truths[name].masks), run_dir / OBJECTS_NAME / name
        folder.mkdir(parents=True, exist_ok=True)
        with _naming(name):
            like = next(iter(lifts.values()), None)
            lifts[name] = LiftRun(config, own, device, folder, recording, exposures, target, like)
            first[name] = lifts[name].first_masks()
    begin = next(iter(lifts.values()))
    fitted = _provide_scene(begin, config, run_dir, fitted)
    lifted = []
    for name, lift in lifts.items():
        log.info("object %s:", name)
        lift.begun = begin.begun
        with _naming(name):
            lifted.append(lift.masks(fitted, first[name]))
    apart = dict(zip(lifts, without_overlap(lifted), strict=True))
    return _together(scene, run_dir, begin, fitted, apart)


def _together(
    scene: Scene,
    run_dir: Path,
    lift: LiftRun,
    fitted: SceneFit,
    apart: Mapping[str, dict[int, ViewMask]],
) -> tuple[BoolArray, BoolArray, Objects]:
    """What `find_objects` returns, and its files, from the objects' masks, which do not overlap."""
    masks, hidden = np.zeros((2, len(scene.cameras), *scene.cameras.size), dtype=bool)
    each = {}
    for name, found in apart.items():
        each[name], behind = to_arrays(found, len(scene.cameras), scene.cameras.size)
        masks |= each[name]
        hidden |= behind
        write_masks(run_dir / OBJECTS_NAME / name / MASKS_NAME, dict(enumerate(each[name])))
    hidden &= ~masks  # one object may hide another
    write_masks(run_dir / MASKS_NAME, dict(enumerate(masks)))
    write_masks(run_dir / HIDDEN_NAME, dict(enumerate(hidden)))
    labels = None
    if len(apart) > 1:
        small = [{view: shrunk(m.pixels, lift.cameras.size) for view, m in found.items()} for found in apart.values()]
        train = {view: fitted.seen[view] for view in scene.train}  # nothing is learned of the other views
        labels, missing = label_surface(lift.cameras, train, small)
        for name in (list(apart)[number] for number in missing):
            why = "the others have all of its surface" if each[name][list(scene.train)].any() else "its masks are empty"
            raise InputError(f"object {name}: {why}: point at it in more views, or give a box with its click")
    return masks, hidden, Objects(labels, {name: Sight.of(scene.cameras, scene.train, m) for name, m in each.items()})


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors say which object they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"object {name}: {error}") from error


def with_truth(config: Config, scene: Scene, names: Sequence[str]) -> tuple[Scene, dict[str, Truth]]:
    """A scene whose true masks and surface are those of all named objects together, and the truth of each.

    What is not known of one of them is not known of all.

    Raises:
        InputError: a file with the truth is damaged.
    """
    truths = read_truths(config.scene, scene, names)
    masks = [truth.masks for truth in truths.values() if truth.masks is not None]
    meshes = [truth.mesh for truth in truths.values() if truth.mesh is not None]
    together = dataclasses.replace(
        scene,
        masks=np.any(masks, axis=0) if len(masks) == len(truths) else None,
        gt_mesh=joined(meshes) if len(meshes) == len(truths) else None,
    )
    return together, truths


def object_metrics(
    config: Config, scene: Scene, run_dir: Path, meshes: Mapping[str, Mesh], truths: Mapping[str, Truth]
) -> dict[str, float]:
    """What to say of each named object, as NAME.vertices, NAME.faces, NAME.volume, ...

    The volume is in cubic world units. Where the truth is known, the keys of `mesh_metrics` and lift_mask_iou follow.
    `volume_in_common` is the largest of two closed objects, as a share of the smaller one's.

    Args:
        meshes: world units.

    Raises:
        InputError: the masks of an object are missing.
    """
    metrics: dict[str, float] = {}
    for name, mesh in meshes.items():
        found: dict[str, float] = {"vertices": len(mesh.vertices), "faces": len(mesh.faces), "volume": volume(mesh)}
        true, samples, share = truths[name], config.evaluate.chamfer_samples, config.evaluate.fscore_threshold
        if config.evaluate.enabled and true.mesh is not None:
            found |= mesh_metrics(mesh, true.mesh, samples=samples, threshold_share=share, seed=config.seed)
        if true.masks is not None:
            masks = read_masks(run_dir / OBJECTS_NAME / name / MASKS_NAME, scene)
            found["lift_mask_iou"] = mean_iou(masks, true.masks, scene.train)
        metrics |= {f"{name}.{key}": value for key, value in found.items()}
    if len(meshes) > 1 and config.export.unseen is not Unseen.trim:
        metrics["volume_in_common"] = max(share_in_common(*pair) for pair in itertools.combinations(meshes.values(), 2))
    return metrics
