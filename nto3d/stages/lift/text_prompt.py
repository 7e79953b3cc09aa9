"""First masks from a noun: what it names in several views, or what of it the click is on.

Which of several cups is meant, a noun does not say: the best of each view is taken, and the views outvote each other
(`click_transfer.mask_confidences`). A click says it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from nto3d.errors import InputError
from nto3d.segment.base import Finder
from nto3d.types import BoolArray, Cameras, Mask, Prompts, Scene

log = logging.getLogger("nto3d")
IN_BOX = 0.5  # least share of an instance that lies in the box it is meant by


class TextPrompt:
    """A noun, and what it names in the views of a scene.

    Args:
        finder: knows what nouns name. scene: gives the pictures. text: the noun.
    """

    def __init__(self, finder: Finder, scene: Scene, text: str) -> None:
        self._finder, self._scene, self._text = finder, scene, text

    def first(self, clicks: Sequence[Prompts], views: Sequence[int], count: int) -> dict[int, Mask]:
        """Masks by view: of what is clicked, where something is, else of the best in up to `count` of the views.

        Raises:
            InputError: the noun names nothing there, or nothing that is clicked.
        """
        if not clicks:
            asked = spread(self._scene.cameras, views, count)
            found = {view: mask for view in asked if (mask := self._best(view, None)) is not None}
            if not found:
                raise InputError(
                    f"prompts.text: nothing looks like {self._text!r} in views {', '.join(map(str, asked))}: "
                    "try another noun, or point with prompts.points"
                )
            return found
        found = self.at(clicks)
        for prompts in clicks:
            if prompts.view not in found:
                raise InputError(f"prompts: no {self._text!r} is found at the click in view {prompts.view}")
        return found

    def at(self, clicks: Sequence[Prompts]) -> dict[int, Mask]:
        """Masks, by view, of what is clicked; views are left out in which the noun names nothing there."""
        found = {prompts.view: self._best(prompts.view, prompts) for prompts in clicks}
        return {view: mask for view, mask in found.items() if mask is not None}

    def _best(self, view: int, prompts: Prompts | None) -> Mask | None:
        """The best instance of a view, of those that the prompts mean where there are some."""
        found = self._finder.instances(self._scene.images[view], self._text)
        log.info("view %d: %d x %r, scores %s", view, len(found.scores), self._text, np.round(found.scores[:3], 2))
        for mask, score in zip(found.masks, found.scores, strict=True):
            if mask.any() and (prompts is None or is_meant(mask, prompts)):
                return Mask(view, mask, float(score))
        return None


def is_meant(mask: BoolArray, prompts: Prompts) -> bool:
    """Whether a mask [H, W] holds the points of label 1, none of label 0, and lies in the box, so far as given."""
    last = np.array(mask.shape[::-1]) - 1
    column, row = np.floor(prompts.points + 0.5).astype(np.int64).clip(0, last).T
    if (mask[row, column] != (prompts.labels == 1)).any():
        return False
    if prompts.box is None:
        return True
    ys, xs = np.nonzero(mask)
    x0, y0, x1, y1 = prompts.box
    inside = (xs >= x0) & (xs <= x1) & (ys >= y0) & (ys <= y1)
    return bool(inside.mean() >= IN_BOX)


def spread(cameras: Cameras, views: Sequence[int], count: int) -> list[int]:
    """Up to `count` of the views, from different sides: the first, then always the farthest from those before."""
    chosen = [views[0]]
    towards = cameras.outward
    while len(chosen) < min(count, len(views)):
        left = [view for view in views if view not in chosen]
        near = (towards[left] @ towards[chosen].T).max(axis=1)
        chosen.append(left[int(near.argmin())])
    return chosen
