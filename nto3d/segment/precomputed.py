"""The masks that came with a scene; no prompts needed."""

from __future__ import annotations

from nto3d.errors import InputError
from nto3d.types import BoolArray, Scene


def given_masks(scene: Scene) -> BoolArray:
    """The masks of the scene's mask folder, bool [V, H, W].

    Raises:
        InputError: there are none.
    """
    if scene.masks is None:
        raise InputError(
            f"segmenter=precomputed: expected masks in the folder of scene {scene.name}, there are none; "
            "pass scene.masks=none to reconstruct without masks, or segmenter=grabcut to start from a click"
        )
    return scene.masks
