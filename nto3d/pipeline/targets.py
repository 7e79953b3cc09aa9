"""What a training reconstructs: masks of all views, where they say nothing, and what has a name."""

from __future__ import annotations

from dataclasses import dataclass

from nto3d.errors import InputError
from nto3d.geometry.occlusion import occluded_pixels
from nto3d.stages.objects.meshes import Objects
from nto3d.types import BoolArray, Scene


@dataclass(frozen=True)
class Targets:
    """What a training reconstructs.

    Attributes:
        masks: [V, H, W] of all targets together; None: everything is reconstructed. unknown: [V, H, W], where they may
            be hidden, or None. objects: those that have names; None where there are none.
    """

    masks: BoolArray | None
    unknown: BoolArray | None = None
    objects: Objects | None = None


def find_targets(
    scene: Scene, masks: BoolArray, hidden: BoolArray | None = None, objects: Objects | None = None, where: str = ""
) -> Targets:
    """The targets of masks [V, H, W]; pixels in which the other views show that something hides them are unknown.

    Args:
        hidden: [V, H, W], pixels in which something is known to hide them, or None. where: of the scene, for messages.

    Raises:
        InputError: no training view shows a target.
    """
    if not masks[list(scene.train)].any():
        raise InputError(
            f"{where or scene.name}: expected the target in the masks of the training views, all are empty"
        )
    unknown = occluded_pixels(scene.cameras, scene.train, masks)
    if hidden is not None:
        unknown = hidden if unknown is None else unknown | hidden
    return Targets(masks, unknown, objects)
