"""The segmenter that uses the masks that came with the scene."""

from __future__ import annotations

from nto3d.errors import InputError
from nto3d.types import BoolArray, Scene


class PrecomputedSegmenter:
    """Gives the masks of the scene's mask folder."""

    def segment(self, scene: Scene) -> BoolArray:
        """The scene's masks, bool [V, H, W].

        Raises:
            InputError: the scene has no masks.
        """
        if scene.masks is None:
            raise InputError(
                f"segmenter=precomputed: expected masks in the folder of scene {scene.name}, there are none; "
                "pass scene.masks=none to reconstruct without masks"
            )
        return scene.masks
