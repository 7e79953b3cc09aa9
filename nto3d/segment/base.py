"""What a segmenter is."""

from __future__ import annotations

from typing import Protocol

from nto3d.types import BoolArray, Scene


class Segmenter(Protocol):
    """Finds the target in the views of a scene."""

    def segment(self, scene: Scene) -> BoolArray:
        """Masks [V, H, W] of the target in all views of the scene, true on the target.

        Raises:
            InputError: the scene lacks what this segmenter needs.
        """
        ...
