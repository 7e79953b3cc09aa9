"""Where a click would tell most of a run's masks, and the click added to the prompts that the run read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nto3d.config.schema import Config, MaskUse
from nto3d.data.images import read_mask
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.folder import CONFIDENCE_NAME, MASKS_NAME, OBJECTS_NAME, load_run_config
from nto3d.runs.lift.confidence import StoredConfidence, read_confidence
from nto3d.segment.prompts.file import FILE_NAME, UNNAMED, write_prompts
from nto3d.segment.prompts.read import check_apart, check_inside, file_size, read_unreduced, was_read, with_click
from nto3d.segment.prompts.values import Keys, check_positive
from nto3d.types import BoolArray, Prompts, Scene


@dataclass(frozen=True)
class Question:
    """What a run asks about one of its objects.

    Attributes:
        folder: of the lift. config: of the run. name: of the object, None for the only one. confidence: of its masks.
    """

    folder: Path
    config: Config
    name: str | None
    confidence: StoredConfidence

    @property
    def click(self) -> Prompts | None:
        """The click as a positive one, in pixels of the picture files; None where there is nothing to ask."""
        if self.confidence.view is None or self.confidence.point is None:
            return None
        return Prompts(self.confidence.view, np.array([self.confidence.point]), np.array([1]))

    def load(self) -> tuple[Scene, BoolArray]:
        """The scene, and the mask [H, W] of the view that is asked about.

        Raises:
            InputError: one of them cannot be read, or the place is none of the scene's.
        """
        scene, click = load_scene(dataclasses.replace(self.config.scene, masks=MaskUse.none)), self.click
        assert click is not None
        keys = Keys(f"{self.folder / CONFIDENCE_NAME}: view", f"{self.folder / CONFIDENCE_NAME}: point")
        size = file_size(Path(self.config.scene.path), scene, self.config.scene.downscale)
        check_inside(click, len(scene.cameras), size, keys)
        return scene, read_mask(self.folder / MASKS_NAME / f"{click.view:03d}.png")


def read_question(run: Path, name: str | None) -> Question:
    """What a run asks about an object.

    Raises:
        InputError: there is no such run or object, or its confidence.json is missing or broken.
    """
    config = load_run_config(run)
    names = sorted(path.name for path in (run / OBJECTS_NAME).glob("*") if path.is_dir())
    if (name not in names) if names else (name is not None):
        expected = f"one of {', '.join(names)}" if names else "none, the run's only object has no name"
        raise InputError(f"object: expected {expected}, got {name}")
    folder = run if name is None else run / OBJECTS_NAME / name
    return Question(folder, config, name, read_confidence(folder))


def add_answer(question: Question, scene: Scene, part: bool, out: Path | None, overwrite: bool) -> Path:
    """Add the click of a question to the prompts that its run read; returns the file.

    Args:
        part: whether the place is part of the object. out: file to write; None: the one that was read, else the
            scene's. overwrite: whether a file may be replaced that the run did not read.

    Raises:
        InputError: such a file is there, or what was read does not hold the object any more.
    """
    config, click = question.config, question.click
    assert click is not None
    folder = Path(config.scene.path)
    objects = read_unreduced(config.prompts, folder, scene, config.scene.downscale)
    source = was_read(config.prompts, folder)
    path = out or source or folder / FILE_NAME
    if path.exists() and not overwrite and path != source:
        raise InputError(f"{path}: is there already, and the run did not read it: overwrite=true replaces it")
    name = question.name
    if name is None and None not in objects:  # others have got names since
        name = UNNAMED
    if name not in objects:
        held = ", ".join(str(one) for one in objects)
        raise InputError(f"object: expected one of those that {source} holds, {held}, got {name}")
    answer = dataclasses.replace(click, labels=np.array([int(part)]))
    objects[name] = with_click(objects[name], answer)
    if not any(frame.targeted for frame in objects[name]):
        check_positive(answer.labels, Keys(labels="answer"))
    check_apart(objects, str(path))
    write_prompts(path, objects)
    return path
