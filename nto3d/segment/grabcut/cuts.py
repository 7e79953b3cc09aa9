"""Graph cuts between colours: OpenCV's GrabCut (Rother et al. 2004), made repeatable, and what is done to its masks.

Labels are OpenCV's: 0 surely background, 1 surely target, 2 and 3 probably so. Pictures are uint8 [H, W, 3].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray

BACKGROUND, TARGET, MAYBE_BACKGROUND, MAYBE_TARGET = cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD
PARAMETERS = 65  # of a mixture of five Gaussians of colour
TILE = 640  # pixels: a full-size picture is refined in tiles, a cut needs some 300 bytes a pixel
OVERLAP = 24  # pixels by which tiles see beyond themselves


@dataclass(frozen=True)
class Colors:
    """Mixtures of five Gaussians, float64 [1, 65] each, as OpenCV keeps them."""

    background: FloatArray
    target: FloatArray


def grab_cut(image: ByteArray, labels: ByteArray, iterations: int, seed: int) -> tuple[BoolArray, Colors] | None:
    """The target [H, W] and the colours learnt from labels [H, W]; None where target or background has no pixel."""
    target = (labels == TARGET) | (labels == MAYBE_TARGET)
    if not target.any() or target.all():
        return None
    found = labels.copy()
    background, foreground = np.zeros((1, PARAMETERS)), np.zeros((1, PARAMETERS))
    cv2.setRNGSeed(seed)  # the mixtures start from k-means; every thread has its own random state
    cv2.grabCut(image, found, None, background, foreground, iterations, cv2.GC_INIT_WITH_MASK)
    return (found & 1) == 1, Colors(background, foreground)


def cut_with(image: ByteArray, labels: ByteArray, colors: Colors) -> BoolArray:
    """The target [H, W] for labels [H, W] and colours that are known; sure labels stay."""
    sure = (labels == BACKGROUND) | (labels == TARGET)
    if sure.all():
        return labels == TARGET
    found = labels.copy()
    models = colors.background.copy(), colors.target.copy()
    cv2.grabCut(image, found, None, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return (found & 1) == 1


def cut_in_tiles(image: ByteArray, labels: ByteArray, colors: Colors) -> BoolArray:
    """As `cut_with`, for large pictures: tile by tile, and only where something is unsure."""
    height, width = labels.shape
    found: BoolArray = (labels & 1) == 1
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            inner = slice(top, min(height, top + TILE)), slice(left, min(width, left + TILE))
            unsure = labels[inner] >= MAYBE_BACKGROUND
            if not unsure.any():
                continue
            outer = tuple(slice(max(0, part.start - OVERLAP), part.stop + OVERLAP) for part in inner)
            cut = cut_with(np.ascontiguousarray(image[outer]), np.ascontiguousarray(labels[outer]), colors)
            shift = tuple(part.start - wide.start for part, wide in zip(inner, outer, strict=True))
            found[inner] = cut[shift[0] : shift[0] + unsure.shape[0], shift[1] : shift[1] + unsure.shape[1]]
    return found


def depth_inside(mask: BoolArray) -> FloatArray:
    """Distance [H, W] of each pixel of a mask from the next pixel beside it; the picture's border counts as inside."""
    padded = np.pad(mask, 1, mode="edge").view(np.uint8)
    depth: FloatArray = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return depth


def distance_from(size: tuple[int, int], clicks: IntArray) -> FloatArray:
    """Distance [H, W] of each pixel from the nearest click [P, 2]."""
    beside = np.ones(size, dtype=np.uint8)
    beside[clicks[:, 1], clicks[:, 0]] = 0
    away: FloatArray = cv2.distanceTransform(beside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return away


def keep_touching(mask: BoolArray, seeds: BoolArray) -> BoolArray:
    """The components of a mask [H, W] that hold a seed [H, W]; the largest one where there is no seed in any."""
    count, component = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[component[seeds & mask]] = True
    chosen[0] = False
    if not chosen.any() and count > 1:
        chosen[1 + np.bincount(component.reshape(-1), minlength=count)[1:].argmax()] = True
    kept: BoolArray = chosen[component]
    return kept


def fill_holes(mask: BoolArray, share: float) -> BoolArray:
    """The mask [H, W] without holes that are smaller than a share of its area."""
    count, component, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < share * np.count_nonzero(mask)
    small[0] = False  # the mask itself
    touched = np.concatenate([component[0], component[-1], component[:, 0], component[:, -1]])
    small[touched] = False  # open to the picture's border: no hole
    filled: BoolArray = mask | small[component]
    assert count == len(small)
    return filled
