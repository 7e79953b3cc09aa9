"""From the clicked view's mask to masks of all views: carried over the surface, then found anew in every view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from nto3d.evaluate.masks import iou
from nto3d.segment.base import Segmenter
from nto3d.stages.propagate import SurfaceVotes
from nto3d.stages.reproject import Projection, enlarged, prompts_from
from nto3d.types import BoolArray, Cameras, FloatArray, Mask, Prompts, Scene

CARRIED = 0.5  # how much a carried mask's vote counts beside the clicked view's own


@dataclass(frozen=True)
class ViewMask:
    """A view's mask after a round.

    Attributes:
        pixels: bool [H, W]. trust: 0..1, the segmenter's score times the agreement with the projection.
        prompts: what the segmenter was asked with; None where the target was out of sight.
        prior: float32 [H, W], the projection that the prompts came from.
    """

    pixels: BoolArray
    trust: float
    prompts: Prompts | None
    prior: FloatArray


class Segmentation:
    """Asks a segmenter for views of a scene; pictures are prepared once.

    Args:
        scene: gives the pictures. segmenter: finds the target in one.
        accept: least IoU of a new mask with the projection that it was asked with. seed: of the prompts.
    """

    def __init__(self, scene: Scene, segmenter: Segmenter[Any], accept: float, seed: int) -> None:
        self._scene, self._segmenter, self._accept, self._seed = scene, segmenter, accept, seed
        self._prepared: dict[int, Any] = {}

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

    def refine(self, view: int, prior: FloatArray, clicks: Prompts | None = None) -> ViewMask:
        """A view's mask from a projection [H, W]: the segmenter's answer where the two agree, else the projection."""
        prompts = prompts_from(view, prior, self._seed)
        if prompts is None:
            return ViewMask(np.zeros(prior.shape, dtype=bool), 1.0, None, prior)
        if clicks is not None:
            points = np.concatenate([clicks.points, prompts.points])
            labels = np.concatenate([clicks.labels, prompts.labels])
            prompts = Prompts(view, points, labels, prompts.box, prior)
        projected = prior > 0.5
        mask = self.ask(prompts)
        agreement = iou(mask.pixels, projected)
        if agreement < self._accept:
            return ViewMask(projected, agreement * mask.score, prompts, prior)
        return ViewMask(mask.pixels, agreement * mask.score, prompts, prior)

    def refine_all(
        self, projections: Iterable[Projection], clicks: Mapping[int, Prompts], threads: int
    ) -> dict[int, ViewMask]:
        """`refine` for many views."""
        seen = list(projections)
        with ThreadPoolExecutor(threads) as pool:
            masks = pool.map(lambda p: self.refine(p.view, enlarged(p.target, self.size), clicks.get(p.view)), seen)
            return dict(zip((projection.view for projection in seen), masks, strict=True))


def carry(
    segmentation: Segmentation, cameras: Cameras, seen: Mapping[int, Projection], clicked: Mapping[int, Mask]
) -> dict[int, ViewMask]:
    """Masks of all views in `seen`, each from those of views beside it, the nearest to a known one first.

    Args:
        cameras: of the projections (reduced). seen: the scene's surface in each view. clicked: the first masks.
    """
    votes = SurfaceVotes(cameras)
    found: dict[int, ViewMask] = {}
    for view, mask in clicked.items():
        found[view] = ViewMask(mask.pixels, mask.score, None, mask.pixels.astype(np.float32))
        votes.add(seen[view], shrunk(mask.pixels, cameras.size))
    towards = cameras.centers / np.linalg.norm(cameras.centers, axis=1, keepdims=True).clip(1e-6)
    left = [view for view in seen if view not in found]
    while left:
        near = towards[left] @ towards[list(found)].T
        view = left.pop(int(near.max(axis=1).argmax()))
        found[view] = segmentation.refine(view, enlarged(votes.ask(seen[view]), segmentation.size))
        votes.add(seen[view], shrunk(found[view].pixels, cameras.size), CARRIED)
    return found


def shrunk(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """A mask [H, W] in reduced pixels (h, w)."""
    small: BoolArray = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return small


def agreement(before: Mapping[int, ViewMask], after: Mapping[int, ViewMask]) -> float:
    """Mean IoU of two rounds' masks over the views of the second."""
    return float(np.mean([iou(before[view].pixels, after[view].pixels) for view in after]))


def to_array(masks: Mapping[int, ViewMask], views: int, size: tuple[int, int]) -> BoolArray:
    """Masks [V, H, W]; views without one are empty."""
    whole = np.zeros((views, *size), dtype=bool)
    for view, mask in masks.items():
        whole[view] = mask.pixels
    return whole


def lost(masks: Mapping[int, ViewMask]) -> bool:
    """Whether no view shows the target any more."""
    return not any(mask.pixels.any() for mask in masks.values())


def mean_truth_iou(masks: Mapping[int, ViewMask], truth: BoolArray, views: Sequence[int]) -> float:
    """Mean IoU of the masks of some views with the true ones [V, H, W]."""
    return float(np.mean([iou(masks[view].pixels, truth[view]) for view in views if view in masks]))
