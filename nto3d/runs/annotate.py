"""Pointing at a target in one view of a scene: the prompts file, and an overlay that shows the mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nto3d.config.io import parse_options
from nto3d.config.schema import MaskUse, PromptsConfig, SceneConfig
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.report.overlay import overlay_picture
from nto3d.report.pictures import write_picture
from nto3d.runs.lift.question import add_answer, read_question
from nto3d.segment.base import Segmenter
from nto3d.segment.grabcut.segmenter import GrabCutSegmenter
from nto3d.segment.hf.segmenter import open_hf
from nto3d.segment.prompts.file import FILE_NAME, UNNAMED, check_name, write_prompts
from nto3d.segment.prompts.read import (
    IMAGE_FOLDERS,
    ObjectPrompts,
    check_apart,
    check_inside,
    file_size,
    read_unreduced,
    to_scene_pixels,
)
from nto3d.segment.prompts.values import Keys, check_positive, make_prompts
from nto3d.segment.sam.loading import open_sam
from nto3d.types import ByteArray, Mask, Prompts, Scene

KEYS = Keys("view", "points", "labels", "box")
Say = Callable[[str], None]


class Segmenters(Enum):
    """What makes the mask."""

    grabcut = "grabcut"
    sam = "sam"
    hf = "hf"


@dataclass
class Options:
    """What can be given as key=value."""

    scene: str = ""
    view: int = 0
    points: list[Any] | None = None
    labels: list[int] | None = None
    box: list[Any] | None = None
    object: str | None = None
    out: str | None = None
    overlay: str = "overlay.png"
    overwrite: bool = False
    add: bool = False
    downscale: int = 1
    segmenter: Segmenters = Segmenters.grabcut
    checkpoint: str | None = None
    model: str | None = None
    device: str = "auto"
    suggest: bool = False
    run: str | None = None
    answer: bool | None = None


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if Path(options.overlay).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"overlay: expected a file ending in png or jpg, got {options.overlay}")
    if options.suggest:
        if options.run is None:
            raise InputError("run is missing: give the run whose masks are in doubt as run=FOLDER")
        given = {argument.partition("=")[0] for argument in argv}
        foreign = sorted(given - {"suggest", "run", "answer", "object", "out", "overlay", "overwrite"})
        if foreign:
            raise InputError(f"{foreign[0]}: cannot be given with suggest=true, the run knows it")
        return options
    if options.run is not None or options.answer is not None:
        raise InputError("run, answer: expected suggest=true with them")
    if not options.scene:
        raise InputError("scene is missing: give it as scene=FOLDER")
    if options.points is None and options.box is None:
        raise InputError("points is missing: give it as 'points=[[x,y]]', pixels of the picture file")
    if (options.segmenter is Segmenters.sam) != (options.checkpoint is not None):
        raise InputError("checkpoint: expected weights with segmenter=sam, and only with it")
    if options.model is not None and options.segmenter is not Segmenters.hf:
        raise InputError("model: expected segmenter=hf with it, whose folder it is")
    return options


def annotate(options: Options, say: Say) -> None:
    """Segment, and write the prompts file and the overlay.

    Args:
        say: is told where they are.

    Raises:
        InputError: the scene or a file cannot be used, a prompt is impossible, or a file would be replaced.
    """
    folder = Path(options.scene)
    out = Path(options.out) if options.out is not None else folder / FILE_NAME
    name = None if options.object is None else check_name(options.object, "object")
    prompts = make_prompts(options.view, options.points, options.labels, options.box, KEYS, alone=not options.add)
    scene = load_scene(SceneConfig(path=options.scene, downscale=options.downscale, masks=MaskUse.none))
    check_inside(prompts, len(scene.cameras), file_size(folder, scene, options.downscale), KEYS)
    objects = _added(_others(options, out, scene), name, prompts)
    own = next(frames for frames in objects.values() if any(frame is prompts for frame in frames))
    check_apart(objects, str(out))
    _check_overlay(options, folder)
    if not any(frame.targeted for frame in own):
        check_positive(prompts.labels, KEYS)
    reduced = to_scene_pixels(prompts, scene.cameras.size, options.downscale)
    image = scene.images[options.view]
    mask = _segment(options, image, reduced) if prompts.targeted else None
    pixels = np.zeros(scene.cameras.size, dtype=bool) if mask is None else mask.pixels
    write_picture(Path(options.overlay), overlay_picture(image, pixels, reduced))
    write_prompts(out, objects)
    for called, frames in objects.items():
        say(f"{out}: {len(frames)} view(s)" + ("" if called is None else f" of {called}"))
    if mask is None:
        say(f"{options.overlay}: nothing here points at the target, so there is no mask")
    else:
        say(f"{options.overlay}: the mask covers {mask.pixels.mean():.1%} of the picture, score {mask.score:.2f}")


def suggest(options: Options, say: Say) -> None:
    """Show where a click would tell most of a run's masks, and add it if there is an answer.

    Args:
        say: is told how sure the masks are, and where the click would be.

    Raises:
        InputError: there is no such run or object, or a file cannot be used or would be replaced.
    """
    question = read_question(Path(str(options.run)), options.object)
    found, config, click = question.confidence, question.config, question.click
    sure = "sure enough" if found.confidence >= config.lift.sure else "in doubt"
    say(f"{question.folder}: confidence {found.confidence:.2f}, {sure} (lift.sure={config.lift.sure:g})")
    if click is None:
        say("there is no place where a click would help")
        return
    scene, mask = question.load()
    _check_overlay(options, Path(config.scene.path))
    labelled = dataclasses.replace(click, labels=np.array([int(options.answer is not False)]))
    reduced = to_scene_pixels(labelled, mask.shape, config.scene.downscale)
    if options.answer is not None:
        out = Path(options.out) if options.out is not None else None
        path = add_answer(question, scene, options.answer, out, options.overwrite)
        instead = "" if config.prompts.view is None else " in the place of prompts.view and all else that points"
        say(f"{path}: has the click; train again with prompts.file={path}{instead}")
    picture = overlay_picture(scene.images[click.view], mask, reduced, options.answer is None)
    write_picture(Path(options.overlay), picture)
    x, y = click.points[0]
    say(f"{options.overlay}: a click would tell most in view {click.view} at [{x:g}, {y:g}]")
    if options.answer is None:
        say("is it part of the object? answer=yes or answer=no adds the click")


def _segment(options: Options, image: ByteArray, prompts: Prompts) -> Mask:
    """The mask that the chosen segmenter gives for the picture [H, W, 3].

    Raises:
        InputError: its weights are missing or wrong.
    """
    segmenter: Segmenter[Any] = GrabCutSegmenter()
    if options.segmenter is not Segmenters.grabcut:
        auto = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(auto if options.device == "auto" else options.device)
        if options.segmenter is Segmenters.sam:
            segmenter = open_sam(options.checkpoint, device)
        else:
            segmenter = open_hf(options.model, device)
    return segmenter.segment(segmenter.embed(image), prompts)


def _others(options: Options, path: Path, scene: Scene) -> ObjectPrompts:
    """What the file holds already, in pixels of the picture files; empty where it is to be replaced.

    Raises:
        InputError: there is a file, and it was not said what should become of it.
    """
    if not path.exists() or options.overwrite:
        return {}
    if not options.add:
        raise InputError(f"{path}: is there already: add=true adds view {options.view}, overwrite=true replaces it")
    return read_unreduced(PromptsConfig(file=str(path)), Path(options.scene), scene, options.downscale)


def _added(kept: ObjectPrompts, name: str | None, prompts: Prompts) -> ObjectPrompts:
    """The objects with a view's prompts of one of them, in the place of what was there for both.

    Raises:
        InputError: the name differs from another one only in its case.
    """
    objects = {UNNAMED if key is None and name is not None else key: frames for key, frames in kept.items()}
    if name is None and objects and None not in objects:
        name = UNNAMED
    for other in objects:
        if other != name and str(other).casefold() == str(name).casefold():
            raise InputError(f"object: expected a name that differs from {other} in more than its case, got {name}")
    frames = [*(frame for frame in objects.get(name, ()) if frame.view != prompts.view), prompts]
    return {**objects, name: tuple(sorted(frames, key=lambda frame: frame.view))}


def _check_overlay(options: Options, folder: Path) -> None:
    """Whether the overlay would replace something else.

    Raises:
        InputError: it would be a picture or mask of the scene, or the prompts file.
    """
    path = Path(options.overlay).resolve()
    if path.parent in {(folder / name).resolve() for name in (*IMAGE_FOLDERS, "mask")}:
        raise InputError(f"overlay: expected a file outside of the scene's pictures and masks, got {options.overlay}")
    if options.out is not None and path == Path(options.out).resolve():
        raise InputError(f"overlay: expected another file than out={options.out}")
