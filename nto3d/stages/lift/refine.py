"""From the clicked view's mask to masks of all views: propagated over the surface, then found anew in every view."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from nto3d.config.schema import PromptUse
from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.segment.base import Segmenter
from nto3d.stages.views.projection import Projection, enlarged, prompts_from, shrunk
from nto3d.stages.views.voting import SurfaceVotes
from nto3d.types import BoolArray, Cameras, FloatArray, Mask, Prompts, Scene

THICK = 0.03  # half width of a region that matters, as a share of the target's size
WIDE = 0.015  # half width of a part that counts as hidden, likewise
PROPAGATED = 0.5  # how much a propagated mask's vote counts beside the clicked view's own


@dataclass(frozen=True)
class ViewMask:
    """A view's mask after a round.

    Attributes:
        pixels: bool [H, W]. trust: 0..1, the segmenter's score times the agreement with the projection.
        prompts: points and box that the segmenter was asked with; None where the target was out of sight.
        prior: float32 [h, w], the projection that the prompts came from, in reduced pixels.
        hidden: bool [H, W], where something stands in front of the target: no part of the mask, yet no background.
    """

    pixels: BoolArray
    trust: float
    prompts: Prompts | None
    prior: FloatArray
    hidden: BoolArray


class Segmentation:
    """Asks a segmenter for views of a scene; pictures are prepared once.

    Args:
        scene: gives the pictures. segmenter: finds the target in one.
        accept: least IoU of a new mask with the projection that it was asked with. seed: of the prompts.
        use: what of a projection becomes a prompt.

    Attributes:
        slack: of all priors, see `Prompts`.
    """

    def __init__(
        self, scene: Scene, segmenter: Segmenter[Any], accept: float, seed: int, use: PromptUse = PromptUse.all
    ) -> None:
        self._scene, self._segmenter, self._accept, self._seed, self._use = scene, segmenter, accept, seed, use
        self._prepared: dict[int, Any] = {}
        self.slack: float | None = None

    def for_another(self) -> Segmentation:
        """The same for another target; the pictures that are prepared already are shared."""
        other = copy.copy(self)
        other.slack = None
        return other

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        return self._scene.cameras.size

    def ask(self, prompts: Prompts) -> Mask:
        """The segmenter's answer in the prompts' view."""
        view = prompts.view
        if view not in self._prepared:
            self._prepared[view] = self._segmenter.embed(self._scene.images[view])
        return self._segmenter.segment(self._prepared[view], prompts)

    def refine(
        self,
        seen: Projection,
        target: FloatArray,
        clicks: Prompts | None = None,
        uncertain: float = 0.0,
        before: ViewMask | None = None,
    ) -> ViewMask:
        """A view's mask from a projection: the segmenter's answer where the two agree, else the projection.

        Args:
            seen: of the view. target: float32 [h, w] in 0..1, where the target should be in it.
            clicks: of the user. uncertain: see `view_consistent`; 0 takes the segmenter's answer as a whole.
            before: the view's mask of the last round, from which is known what stands in front of the target.
        """
        view, reduced = seen.view, seen.prior(target)
        prior = enlarged(reduced, self.size)
        in_front = enlarged((seen.differs & (target > 0.5)).astype(np.float32), self.size) > 0.5
        prompts = prompts_from(view, prior, self._seed, None if before is None else before.hidden)
        if prompts is None:
            return ViewMask(np.zeros(prior.shape, dtype=bool), 1.0, None, reduced, in_front)
        if clicks is not None:
            points = np.concatenate([clicks.points, prompts.points])
            labels = np.concatenate([clicks.labels, prompts.labels])
            prompts = Prompts(view, points, labels, prompts.box, prior)
        prompts = replace(prompts, slack=self.slack)
        if self._use is not PromptUse.all:
            prompts = replace(prompts, prior=None, box=prompts.box if self._use is PromptUse.box else None)
        mask = self._answer(prompts)
        projected = prior > 0.5
        pixels, trust = projected, 0.0
        if mask is not None:
            similar = iou(mask.pixels, projected)
            trust = similar * mask.score
            if similar >= self._accept:
                pixels = view_consistent(mask.pixels, prior, uncertain) if uncertain else mask.pixels
        hidden = _wide(in_front & ~pixels, projected)
        return ViewMask(pixels, trust, replace(prompts, prior=None, slack=None), reduced, hidden)

    def _answer(self, prompts: Prompts) -> Mask | None:
        """The segmenter's answer, or None where nothing stands out in a view that the user did not point at."""
        try:
            return self.ask(prompts)
        except InputError:
            return None

    def ask_all(self, prompts: Sequence[Prompts], threads: int) -> dict[int, Mask]:
        """`ask` for many views; those in which nothing stands out are left out."""

        def answer(some: Prompts) -> Mask | None:
            mask = self._answer(some)
            return mask if mask is not None and mask.pixels.any() else None

        with ThreadPoolExecutor(threads) as pool:
            return {mask.view: mask for mask in pool.map(answer, prompts) if mask is not None}

    def refine_all(
        self,
        projections: Iterable[Projection],
        clicks: Mapping[int, Prompts],
        threads: int,
        uncertain: float = 0.0,
        before: Mapping[int, ViewMask] | None = None,
    ) -> dict[int, ViewMask]:
        """`refine` for many views."""
        seen, known = list(projections), before or {}

        def found(p: Projection) -> ViewMask:
            return self.refine(p, p.target, clicks.get(p.view), uncertain, known.get(p.view))

        with ThreadPoolExecutor(threads) as pool:
            return dict(zip((projection.view for projection in seen), pool.map(found, seen), strict=True))


def _wide(region: BoolArray, target: BoolArray) -> BoolArray:
    """A region [H, W] without what is narrow beside the target."""
    radius = max(1, round(WIDE * float(np.sqrt(np.count_nonzero(target)))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.erode(region.view(np.uint8), disc)
    wide: BoolArray = region & (cv2.dilate(core, disc, iterations=2) > 0)
    return wide


def view_consistent(mask: BoolArray, prior: FloatArray, uncertain: float) -> BoolArray:
    """A mask [H, W] without those differences from the projection that all other views speak against.

    Thin differences are what a segmenter is asked for. A thick one is a whole region, such as something that stands in
    front of the target, or a shadow: it stays only if the projection is in doubt there.

    Args:
        prior: [H, W] in 0..1.
        uncertain: least mean of the prior in a region that is added; 1 - uncertain is the largest in one taken away.
    """
    projected = prior > 0.5
    thick = THICK * max(1.0, float(np.count_nonzero(projected))) ** 0.5
    result = mask.copy()
    for added in (True, False):
        difference = mask & ~projected if added else projected & ~mask
        depth = cv2.distanceTransform(np.pad(difference, 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        cores = (depth > thick).view(np.uint8)
        count, parts = cv2.connectedComponents(cores, connectivity=8)
        for part in range(1, count):
            core = np.asarray(parts == part)
            reach = cv2.distanceTransform((~core).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
            region = difference & (reach <= 1.5 * thick)
            likely = float(prior[core].mean())
            if added and likely < uncertain:
                result[region] = False
            elif not added and likely > 1.0 - uncertain:
                result[region] = True
    return result


def propagate_masks(
    segmentation: Segmentation,
    cameras: Cameras,
    seen: Mapping[int, Projection],
    first: Mapping[int, Mask],
    confidences: Mapping[int, float],
    clicks: Mapping[int, Prompts],
    held_out: Sequence[int] = (),
) -> dict[int, ViewMask]:
    """Masks of all views in `seen`, each from those of views beside it, the nearest to a known one first.

    The first masks vote, but they are found anew like all others: any of them may be wrong.

    Args:
        cameras: of the projections (reduced). seen: the scene's surface in each view.
        first: masks that were found without a projection. confidences: how much each of them counts, 0..1.
        clicks: of the user, by view. held_out: views that are asked last and of which others learn nothing.
    """
    votes = SurfaceVotes(cameras)
    for view, mask in first.items():
        votes.add(seen[view], shrunk(mask.pixels, cameras.size), confidences[view])
    found = {view: segmentation.refine(seen[view], votes.ask(seen[view]), clicks.get(view)) for view in first}
    towards = cameras.outward
    left = [view for view in seen if view not in found and view not in held_out]
    while left:
        near = towards[left] @ towards[list(found)].T
        view = left.pop(int(near.max(axis=1).argmax()))
        found[view] = segmentation.refine(seen[view], votes.ask(seen[view]), clicks.get(view))
        votes.add(seen[view], shrunk(found[view].pixels, cameras.size), PROPAGATED)
    for view in held_out:
        found[view] = segmentation.refine(seen[view], votes.ask(seen[view]), clicks.get(view))
    return found


def agreement(before: Mapping[int, ViewMask], after: Mapping[int, ViewMask], views: Sequence[int]) -> float:
    """Mean IoU of two rounds' masks over some views."""
    return float(np.mean([iou(before[view].pixels, after[view].pixels) for view in views]))


def to_arrays(masks: Mapping[int, ViewMask], views: int, size: tuple[int, int]) -> tuple[BoolArray, BoolArray]:
    """Masks [V, H, W], and where the target is hidden [V, H, W]; both are empty in other views."""
    whole, hidden = np.zeros((2, views, *size), dtype=bool)
    for view, mask in masks.items():
        whole[view], hidden[view] = mask.pixels, mask.hidden
    return whole, hidden


def lost(masks: Mapping[int, ViewMask]) -> bool:
    """Whether no view shows the target any more."""
    return not any(mask.pixels.any() for mask in masks.values())


def mean_truth_iou(masks: Mapping[int, ViewMask], truth: BoolArray, views: Sequence[int]) -> float:
    """Mean IoU of the masks of some views with the true ones [V, H, W]."""
    return float(np.mean([iou(masks[view].pixels, truth[view]) for view in views if view in masks]))
