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
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from nto3d.segment.grabcut.cuts import (
    BACKGROUND,
    MAYBE_BACKGROUND,
    MAYBE_TARGET,
    TARGET,
    distance_from,
    grab_cut,
    keep_touching,
)
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray

ITERATIONS = 3
REGIONS = 32  # along the longer side
DISCS = (0.12, 0.2, 0.3)  # radii, shares of the picture's diagonal
FLOODS = (0.1, 0.18, 0.3)  # shares of the picture's pixels
UNLINKED = (0.3, 0.9)  # what is less likely background than this
REACH = 2.5, 3.0  # surely background lies beyond so many radii, or times the flooded share
BORDER, CLICK = 0.01, 0.008  # width of the border, radius of a click: shares of the picture's diagonal
ALIKE = 3.0  # colour differences below this are none
BLUR = 7.0  # colour distance over which regions count as linked
CROSSING = 12.0  # colour distance that a step between background and target is worth
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


def edge_ranks(image: ByteArray) -> FloatArray:
    """For each pixel the share of pixels with a smaller gradient, the largest of 3 x 3 neighbours: float32 [H, W]."""
    gradient = _gradient(_smooth_lab(image))
    rank = np.searchsorted(np.sort(gradient, axis=None), gradient) / gradient.size
    ranks: FloatArray = cv2.dilate(rank.astype(np.float32), np.ones((3, 3), np.uint8))
    return ranks


class Regions:
    """A picture [H, W, 3] in regions of even colour, a graph of neighbours with colour differences.

    Attributes:
        size: (H, W). index: [H, W], region of each pixel. background: [H, W], how likely each pixel is background.
        edges: [H, W], see `edge_ranks`.
    """

    def __init__(self, image: ByteArray) -> None:
        self.size = image.shape[0], image.shape[1]
        lab = _smooth_lab(image)
        self.edges = edge_ranks(image)
        self.index = _watershed(lab, max(4, round(max(self.size) / REGIONS)))
        count = int(self.index.max()) + 1
        area = np.bincount(self.index.reshape(-1), minlength=count).astype(np.float64)
        self._count = count
        sums = [np.bincount(self.index.reshape(-1), lab[..., channel].reshape(-1), count) for channel in range(3)]
        colors = np.stack(sums, axis=1) / area[:, None]
        self._first, self._second = _neighbours(self.index, count)
        self._steps = np.maximum(np.linalg.norm(colors[self._first] - colors[self._second], axis=1) - ALIKE, 0.0)
        self._background = self._linked_to_border(colors, area)
        self.background = self._background[self.index]

    def _graph(self, first: IntArray, second: IntArray, lengths: FloatArray) -> sparse.csr_array:
        # A length of zero would mean that there is no step at all
        return sparse.coo_array((lengths + 1e-6, (first, second)), shape=(self._count, self._count)).tocsr()

    def _linked_to_border(self, colors: FloatArray, area: FloatArray) -> FloatArray:
        """How likely each region is background: the length of the border that it is linked to, by its linked area."""
        rim = np.unique(np.concatenate([self.index[0], self.index[-1], self.index[:, 0], self.index[:, -1]]))
        first, second = (part[np.triu_indices(len(rim), 1)] for part in np.meshgrid(rim, rim, indexing="ij"))
        across = np.maximum(np.linalg.norm(colors[first] - colors[second], axis=1) - ALIKE, 0.0)
        # Regions at the border are neighbours of each other: what hides a part of the background does not split it
        pairs = np.concatenate([self._first, first]), np.concatenate([self._second, second])
        keys = np.minimum(*pairs) * self._count + np.maximum(*pairs)
        _, once = np.unique(keys, return_index=True)
        graph = self._graph(pairs[0][once], pairs[1][once], np.concatenate([self._steps, across])[once])
        linked = np.exp(-(dijkstra(graph, directed=False) ** 2) / (2 * BLUR**2))
        connectivity = linked[:, rim].sum(axis=1) / np.sqrt(linked @ (area / area.mean()))
        likely: FloatArray = 1.0 - np.exp(-(connectivity**2) / 2)
        return likely

    def flood(self, clicks: IntArray) -> FloatArray:
        """How far each pixel is from the nearest click [P, 2], by steps in colour and between object and background."""
        crossing = np.abs(self._background[self._first] - self._background[self._second])
        graph = self._graph(self._first, self._second, self._steps + 0.5 + CROSSING * crossing)
        starts = np.unique(self.index[clicks[:, 1], clicks[:, 0]])
        far: FloatArray = dijkstra(graph, directed=False, indices=starts).min(axis=0)[self.index]
        return far


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


def _smooth_lab(image: ByteArray) -> FloatArray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    smooth: FloatArray = cv2.bilateralFilter(lab, 7, 20, 5)
    return smooth


def _gradient(lab: FloatArray) -> FloatArray:
    slopes = [np.abs(cv2.Sobel(lab, cv2.CV_32F, *axis, ksize=3)).sum(axis=2) for axis in ((1, 0), (0, 1))]
    gradient: FloatArray = cv2.blur(slopes[0] + slopes[1], (3, 3))
    return gradient


def _watershed(lab: FloatArray, step: int) -> IntArray:
    """Regions [H, W] numbered from 0: watersheds around the smoothest pixel of every cell of `step` pixels."""
    gradient = _gradient(lab)
    height, width = gradient.shape
    markers = np.zeros((height, width), dtype=np.int32)
    count = 0
    for top in range(0, height, step):
        for left in range(0, width, step):
            cell = gradient[top : top + step, left : left + step]
            row, column = divmod(int(cell.argmin()), cell.shape[1])
            count += 1
            markers[top + row, left + column] = count
    cv2.watershed(lab.clip(0, 255).astype(np.uint8), markers)
    # The lines between the regions go to the nearest one
    nearest = ndimage.distance_transform_edt(markers <= 0, return_distances=False, return_indices=True)
    _, index = np.unique(markers[tuple(nearest)], return_inverse=True)
    return index.reshape(height, width)


def _neighbours(index: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Pairs of regions that touch, each once."""
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
    pairs.append((index[:-1, 1:], index[1:, :-1]))
    keys = [np.minimum(one, other) * count + np.maximum(one, other) for one, other in pairs]
    unequal = [key[one != other] for key, (one, other) in zip(keys, pairs, strict=True)]
    found = np.unique(np.concatenate(unequal))
    return found // count, found % count
