"""Several named objects in one scene: a lift for each, and what is whose."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.export.visibility import Visibility
from nto3d.geometry.exposure import Exposures
from nto3d.pipeline.lift import Lifter, Target
from nto3d.pipeline.watch import Watch
from nto3d.segment.prompts.read import beside, refusing
from nto3d.stages.lift.refine import ViewMask, to_arrays
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.objects.meshes import Objects, without_overlap
from nto3d.stages.objects.partition import label_surface
from nto3d.stages.views.projection import reduced, shrunk
from nto3d.types import BoolArray, Mask, Prompts, Scene

log = logging.getLogger("nto3d")


@dataclass(frozen=True)
class ObjectMasks:
    """Masks of several objects, which do not overlap.

    Attributes:
        each: [V, H, W] by name. hidden: [V, H, W], where something hides one of them, and no other is seen.
        objects: what is whose.
    """

    each: Mapping[str, BoolArray]
    hidden: BoolArray
    objects: Objects

    @property
    def together(self) -> BoolArray:
        """[V, H, W] of all of them."""
        union: BoolArray = np.any(list(self.each.values()), axis=0)
        return union


class ObjectLifts:
    """Lifts of several named objects that share a scene stage and prepared pictures.

    Args:
        clicks: on each object. truths: scenes by name whose masks are the object's true ones, to measure with.
        watch: who is told of an object's lift.

    Attributes:
        lifters: by name.

    Raises:
        InputError: a noun and several objects, the segmenter cannot be opened, or nothing is found at a click.
    """

    def __init__(
        self,
        config: Config,
        scenes: Mapping[str, Scene],
        device: torch.device,
        clicks: Mapping[str, tuple[Prompts, ...]],
        watch: Callable[[str], Watch],
        exposures: Exposures | None = None,
    ) -> None:
        if config.prompts.text is not None and len(clicks) > 1:
            raise InputError(f"prompts.text: cannot be used with several objects ({', '.join(clicks)})")
        self.lifters: dict[str, Lifter] = {}
        self._first: dict[str, dict[int, Mask]] = {}
        for name, frames in clicks.items():
            others = beside(clicks, name)
            target = Target(name, tuple(refusing(prompts, others) for prompts in frames), others)
            with naming(name):
                like = next(iter(self.lifters.values()), None)
                self.lifters[name] = Lifter(config, scenes[name], device, target, watch(name), exposures, like)
                self._first[name] = self.lifters[name].first_masks()
        self.begin = next(iter(self.lifters.values()))

    def masks(
        self, scene: Scene, fitted: SceneFit, done: Callable[[str, dict[int, ViewMask]], None] | None = None
    ) -> ObjectMasks:
        """The masks of all objects.

        Args:
            done: is told the masks of each object, as they are before they are told apart.

        Raises:
            InputError: a target was lost, or nothing is left of an object beside the others.
        """
        lifted = []
        for name, lifter in self.lifters.items():
            if name:
                log.info("object %s:", name)
            lifter.begun = self.begin.begun
            with naming(name):
                lifted.append(lifter.masks(fitted, self._first[name]))
            if done is not None:
                done(name, lifted[-1])
        return divide(scene, fitted, dict(zip(self.lifters, without_overlap(lifted), strict=True)))


def divide(scene: Scene, fitted: SceneFit, apart: Mapping[str, dict[int, ViewMask]]) -> ObjectMasks:
    """What is whose, from the objects' masks, which do not overlap.

    Raises:
        InputError: nothing of the surface is left of an object.
    """
    hidden = np.zeros((len(scene.cameras), *scene.cameras.size), dtype=bool)
    each = {}
    for name, found in apart.items():
        each[name], behind = to_arrays(found, len(scene.cameras), scene.cameras.size)
        hidden |= behind
    hidden &= ~np.any(list(each.values()), axis=0)  # one object may hide another
    labels = None
    if len(apart) > 1:
        cameras = reduced(scene.cameras)
        small = [{view: shrunk(m.pixels, cameras.size) for view, m in found.items()} for found in apart.values()]
        train = {view: fitted.seen[view] for view in scene.train}  # nothing is learned of the other views
        labels, missing = label_surface(cameras, train, small)
        for name in (list(apart)[number] for number in missing):
            why = "the others have all of its surface" if each[name][list(scene.train)].any() else "its masks are empty"
            raise InputError(f"object {name}: {why}: point at it in more views, or give a box with its click")
    sights = {name: Visibility.of(scene.cameras, scene.train, masks) for name, masks in each.items()}
    return ObjectMasks(each, hidden, Objects(labels, sights))


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors say which object they are about, where it has a name."""
    try:
        yield
    except InputError as error:
        if name:
            error.args = (f"object {name}: {error}",)
        raise
