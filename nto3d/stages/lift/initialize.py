"""From first masks of a few views to masks of all: the whole object by geometry, or carried from view to view."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from nto3d.stages.lift.click_transfer import on_surface
from nto3d.stages.lift.refine import Segmentation, ViewMask, propagate_masks
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.projection import Projection
from nto3d.stages.whole.whole import Whole, find_whole
from nto3d.types import Cameras, FloatArray, Mask, Prompts, Scene

log = logging.getLogger("nto3d")


def open_masks(
    segmentation: Segmentation,
    model: SurfaceModel,
    scene: Scene,
    cameras: Cameras,
    seen: Mapping[int, Projection],
    first: Mapping[int, Mask],
    confidences: Mapping[int, float],
    clicks: Mapping[int, Prompts],
    held_out: Sequence[int],
    threads: int,
    seed: int,
    others: Sequence[Prompts] = (),
) -> tuple[dict[int, ViewMask], Whole | None]:
    """Masks of all views in `seen`, and what geometry says of the object (None: it cannot tell).

    Args:
        segmentation: is told how far geometry's outlines may be wrong. model: after the scene stage.
        cameras: reduced, as `seen`. first: masks that were found without a projection. confidences: of these.
        clicks: of the user, by view; there may be none. held_out: views of which others learn nothing.
        seed: of random choices. others: negative clicks, on other objects.
    """
    places = _clicked(scene.cameras, seen, first, confidences, clicks, others)
    whole = find_whole(model, cameras, seen, scene.images, first, confidences, places, held_out, seed)
    segmentation.slack = None if whole is None else whole.slack
    if whole is None:
        log.info("geometry does not tell what the object is: going by colours alone")
        return propagate_masks(segmentation, cameras, seen, first, confidences, clicks, held_out), None
    named = [replace(found, target=whole.targets[view]) for view, found in seen.items()]
    return segmentation.refine_all(named, clicks, threads), whole


def _clicked(
    cameras: Cameras,
    seen: Mapping[int, Projection],
    first: Mapping[int, Mask],
    confidences: Mapping[int, float],
    clicks: Mapping[int, Prompts],
    others: Sequence[Prompts],
) -> tuple[FloatArray, FloatArray]:
    """Places [P, 3] of the surface under positive and negative clicks; without any, in the middle of the best mask."""
    places: list[FloatArray] = []
    if not any((some.labels == 1).any() for some in clicks.values()):  # a noun or a box
        view = max(first, key=lambda one: confidences[one])
        padded = np.pad(first[view].pixels, 1).view(np.uint8)  # beyond the picture is outside
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        middle = Prompts(view, np.array([[column, row]], dtype=np.float64), np.ones(1, dtype=np.int64))
        places = [on_surface(middle, cameras, seen[view])]
    pointed = (*clicks.values(), *others)
    labels = np.concatenate([np.ones(len(places)), *(some.labels for some in pointed)])
    points = np.concatenate([*places, *(on_surface(some, cameras, seen[some.view]) for some in pointed)])
    known = np.isfinite(points).all(axis=1)
    return points[known & (labels == 1)], points[known & (labels == 0)]
