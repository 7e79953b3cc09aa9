"""From first masks of a few views to masks of all: the whole object by geometry, or labels from view to view."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from nto3d.stages.lift.click_transfer import on_surface
from nto3d.stages.lift.refine import Segmentation, ViewMask, propagate_masks
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.projection import Projection
from nto3d.stages.whole.whole import Whole, find_whole
from nto3d.types import Cameras, FloatArray, Mask, Prompts, Scene

log = logging.getLogger("nto3d")


@dataclass(frozen=True)
class KnownScene:
    """A scene after its scene stage.

    Attributes:
        scene: the whole pictures. model: geometry and colour of everything. cameras: reduced, as `seen`.
        seen: the surface in every view. held_out: views of which nothing is learned.
    """

    scene: Scene
    model: SurfaceModel
    cameras: Cameras
    seen: Mapping[int, Projection]
    held_out: Sequence[int]


@dataclass(frozen=True)
class FirstMasks:
    """What is known of a target before its surface is.

    Attributes:
        masks: that were found without a projection. confidences: of these, 0..1.
        clicks: of the user, by view; there may be none. others: negative clicks, on other objects.
    """

    masks: Mapping[int, Mask]
    confidences: Mapping[int, float]
    clicks: Mapping[int, Prompts]
    others: Sequence[Prompts] = ()


def open_masks(
    segmentation: Segmentation, known: KnownScene, first: FirstMasks, threads: int, seed: int
) -> tuple[dict[int, ViewMask], Whole | None]:
    """Masks of all views, and what geometry says of the object (None: it cannot tell).

    Args:
        segmentation: is told how far geometry's outlines may be wrong. seed: of random choices.
    """
    cameras, seen, held_out = known.cameras, known.seen, known.held_out
    places = _clicked(known.scene.cameras, seen, first)
    images = known.scene.images
    whole = find_whole(known.model, cameras, seen, images, first.masks, first.confidences, places, held_out, seed)
    segmentation.slack = None if whole is None else whole.slack
    if whole is None:
        log.info("geometry does not tell what the object is: going by colours alone")
        propagated = propagate_masks(
            segmentation, cameras, seen, first.masks, first.confidences, first.clicks, held_out
        )
        return propagated, None
    named = [replace(found, target=whole.targets[view]) for view, found in seen.items()]
    return segmentation.refine_all(named, first.clicks, threads), whole


def _clicked(cameras: Cameras, seen: Mapping[int, Projection], first: FirstMasks) -> tuple[FloatArray, FloatArray]:
    """Places [P, 3] of the surface under positive and negative clicks; without any, in the middle of the best mask."""
    places: list[FloatArray] = []
    if not any((some.labels == 1).any() for some in first.clicks.values()):  # a noun or a box
        view = max(first.masks, key=lambda one: first.confidences[one])
        padded = np.pad(first.masks[view].pixels, 1).view(np.uint8)  # beyond the picture is outside
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        middle = Prompts(view, np.array([[column, row]], dtype=np.float64), np.ones(1, dtype=np.int64))
        places = [on_surface(middle, cameras, seen[view])]
    pointed = (*first.clicks.values(), *first.others)
    labels = np.concatenate([np.ones(len(places)), *(some.labels for some in pointed)])
    points = np.concatenate([*places, *(on_surface(some, cameras, seen[some.view]) for some in pointed)])
    known = np.isfinite(points).all(axis=1)
    return points[known & (labels == 1)], points[known & (labels == 0)]
