"""A first mask from clicks and a box alone: many guesses, each made a mask by GrabCut, and the most convincing is kept.

How large the target is cannot be told from a click, and GrabCut only corrects a guess that is about right. So it starts
from guesses of several kinds and sizes: everything but the border, discs around the clicks, what is linked to the
clicks by similar colours, and what is not linked to the picture's border (Zhu et al. 2014, "Saliency optimization from
robust background detection"). The masks vote for further guesses: what touches the target comes along in some of them
only. A good mask ends at edges, is coloured unlike what lies outside of it, is found from more than one guess, and is
rather large (a spot on the target has a fine outline, too).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.segment.grabcut.cuts import (
    BACKGROUND,
    MAYBE_BACKGROUND,
    MAYBE_TARGET,
    TARGET,
    distance_from,
    grab_cut,
    keep_touching,
)
from nto3d.segment.grabcut.regions import Regions
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray

ITERATIONS = 3
DISCS = (0.12, 0.2, 0.3)  # radii, shares of the picture's diagonal
FLOODS = (0.1, 0.18, 0.3)  # shares of the picture's pixels
UNLINKED = (0.3, 0.9)  # what is less likely background than this
REACH = 2.5, 3.0  # surely background lies beyond so many radii, or times the flooded share
BORDER, CLICK = 0.01, 0.008  # width of the border, radius of a click: shares of the picture's diagonal
AGREED = (0.5, 0.95)  # shares of the votes
NOBODY = 0.02  # less than this share of the votes is surely background
LARGE = 0.5  # share of the picture from which a larger mask is no better


@dataclass(frozen=True)
class Pointers:
    """Clicks in pixels (x, y) of the picture, [P, 2] each, and the box as a mask [H, W] that is true inside."""

    positive: IntArray
    negative: IntArray
    inside: BoolArray | None


@dataclass(frozen=True)
class FirstMask:
    """A mask [H, W], and how far (0..1) the votes of all guesses agree with it."""

    mask: BoolArray
    agreement: float


def first_mask(image: ByteArray, pointers: Pointers, seed: int) -> FirstMask | None:
    """The most convincing mask in a small picture [H, W, 3]; None where every guess is empty or unbelievable."""
    regions = Regions(image)
    fixed = _fixed(regions.size, pointers)

    def follow(guesses: list[ByteArray]) -> list[BoolArray]:
        masks = []
        for labels in guesses:
            cut = grab_cut(image, np.where(fixed == MAYBE_BACKGROUND, labels, fixed), ITERATIONS, seed)
            if cut is not None:
                masks.append(keep_touching(cut[0], fixed == TARGET))
        return [mask for mask in masks if mask.any()]

    masks = follow(_guesses(regions, pointers))
    if not masks:
        return None
    believed = [believable(image, regions.edges, mask, pointers.inside) for mask in masks]
    votes = (np.array(believed) * np.array([sharpness(regions.edges, mask) for mask in masks]) ** 2) ** 4
    if not votes.any():
        return None
    share = np.tensordot(votes / votes.sum(), np.stack(masks).astype(np.float64), axes=1)
    masks += follow(_agreed(share))
    scores = [
        believable(image, regions.edges, mask, pointers.inside) * agreement**0.25
        for mask, agreement in zip(masks, _agreements(masks, len(votes)), strict=True)
    ]
    best = masks[int(np.argmax(scores))]
    return FirstMask(best, float(np.minimum(share, best).sum() / np.maximum(share, best).sum()))


def believable(image: ByteArray, edges: FloatArray, mask: BoolArray, inside: BoolArray | None) -> float:
    """How much a mask [H, W] looks like a whole object, 0..1. The exponents were fitted to the true IoU of masks.

    Args:
        edges: [H, W], share of the picture's pixels that have a smaller gradient.
        inside: the box, which the mask should span.
    """
    area = np.count_nonzero(mask) / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    score = (
        separation(image, mask) * sharpness(edges, mask) * (min(area, LARGE) / LARGE) ** 0.4 * (1.0 - float(rim.mean()))
    )
    return score * _span(mask, inside) if inside is not None else score


def sharpness(edges: FloatArray, mask: BoolArray) -> float:
    """Mean rank of the gradient along the outline of a mask [H, W], 0..1; edges as in `believable`."""
    outline = mask & (cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) == 0)
    return float(edges[outline].mean()) if outline.any() else 0.0


def separation(image: ByteArray, mask: BoolArray) -> float:
    """How different the colours inside and outside of a mask are, 0..1: one minus their Bhattacharyya coefficient."""
    step = (image >> 5).astype(np.int32)
    code = (step[..., 0] * 8 + step[..., 1]) * 8 + step[..., 2]
    within = np.bincount(code[mask], minlength=512) / max(1, int(np.count_nonzero(mask)))
    beyond = np.bincount(code[~mask], minlength=512) / max(1, int(np.count_nonzero(~mask)))
    return max(0.0, 1.0 - float(np.sqrt(within * beyond).sum()))


def _guesses(regions: Regions, pointers: Pointers) -> list[ByteArray]:
    """Labels [H, W] to start from; what the clicks and the box decide is written over them later."""
    height, width = regions.size
    diagonal = float(np.hypot(height, width))
    rim = max(2, round(BORDER * diagonal))
    border = np.ones(regions.size, dtype=np.bool_)
    border[rim:-rim, rim:-rim] = False
    guesses = [(~border, border)]
    guesses += [(regions.background < limit, border & (regions.background > 0.5)) for limit in UNLINKED]
    positive = pointers.positive
    if len(positive):
        away = distance_from(regions.size, positive)
        for radius in DISCS:
            near = away <= radius * diagonal
            guesses.append((near, (away > REACH[0] * radius * diagonal) | (border & ~near)))
        flood = regions.flood(positive)
        order = np.sort(flood, axis=None)
        for share in FLOODS:
            near = flood <= order[int(share * (order.size - 1))]
            far = flood > order[int(min(1.0, REACH[1] * share) * (order.size - 1))]
            guesses.append((near, far | (border & ~near)))
    else:
        guesses += _core(pointers.inside)
    # What is nearer to a negative click than to a positive one starts as background
    beside = np.zeros(regions.size, dtype=np.bool_)
    if len(pointers.negative) and len(positive):
        beside = regions.flood(pointers.negative) < regions.flood(positive)
    return [
        np.where(sure, BACKGROUND, np.where(near & ~beside, MAYBE_TARGET, MAYBE_BACKGROUND)).astype(np.uint8)
        for near, sure in guesses
    ]


def _agreed(share: FloatArray) -> list[ByteArray]:
    """Guesses from what more or fewer of the masks agree on; share [H, W] of their votes, 0..1."""
    guesses = []
    for limit in AGREED:
        labels = np.where(share > limit, MAYBE_TARGET, MAYBE_BACKGROUND).astype(np.uint8)
        labels[share < NOBODY] = BACKGROUND
        guesses.append(labels)
    return guesses


def _core(inside: BoolArray | None) -> list[tuple[BoolArray, BoolArray]]:
    """Guesses from a box without clicks: the middle of it, more and less of it."""
    if inside is None or not inside.any():
        return []
    rows, columns = np.nonzero(inside)
    middle, half = (rows.min() + rows.max()) / 2, (np.ptp(rows) + 1) / 2
    center, wide = (columns.min() + columns.max()) / 2, (np.ptp(columns) + 1) / 2
    y, x = np.mgrid[: inside.shape[0], : inside.shape[1]]
    radius = np.hypot((y - middle) / half, (x - center) / wide)
    return [(radius < share, ~inside) for share in (0.5, 0.8, 1.0)]


def _fixed(size: tuple[int, int], pointers: Pointers) -> ByteArray:
    """Labels [H, W] of what clicks and box decide; MAYBE_BACKGROUND stands for everything else."""
    fixed = np.full(size, MAYBE_BACKGROUND, dtype=np.uint8)
    if pointers.inside is not None:
        fixed[~pointers.inside] = BACKGROUND
    radius = max(1.5, CLICK * float(np.hypot(*size)))
    for clicks, label in ((pointers.negative, BACKGROUND), (pointers.positive, TARGET)):
        if len(clicks):
            fixed[distance_from(size, clicks) <= radius] = label
    return fixed


def _agreements(masks: list[BoolArray], count: int) -> list[float]:
    """Mean IoU of each mask with the first `count` masks, itself left out."""
    flat = np.stack([mask.reshape(-1) for mask in masks]).astype(np.float32)
    common = flat @ flat[:count].T
    area = flat.sum(axis=1)
    iou = common / (area[:, None] + area[None, :count] - common)
    own = np.arange(len(masks)) < count
    return [float(value) for value in (iou.sum(axis=1) - own) / np.maximum(count - own, 1)]


def _span(mask: BoolArray, inside: BoolArray) -> float:
    """IoU of the box around a mask with the box that was given."""

    def extent(region: BoolArray) -> list[int]:
        rows, columns = np.nonzero(region)
        return [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]

    (top, left, bottom, right), box = extent(mask), extent(inside)
    height, width = min(bottom, box[2]) - max(top, box[0]), min(right, box[3]) - max(left, box[1])
    common = max(0, height) * max(0, width)
    areas = (bottom - top) * (right - left) + (box[2] - box[0]) * (box[3] - box[1])
    return common / (areas - common)
