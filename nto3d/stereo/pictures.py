"""Reduced pictures for stereo: their sizes, which pixels to look at, and which views to compare with.

Letters: V used views, h w size of a level, S slots of sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.geometry.cameras import scale_intrinsics
from nto3d.kernels.patchmatch.patchmatch import SLOTS
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, IntArray

COARSEST = 40.0  # pixels per unit at the origin from which on pictures are halved once more
NEAREST, FARTHEST, BEST = 5.0, 45.0, 14.0  # degrees between the directions from the origin to two cameras
CROWDED = 0.35  # a source counts less by this where it looks from beside another one, log degrees
MARGIN = 2  # pixels of a level by which masks are widened


@dataclass(frozen=True)
class Level:
    """Pictures of one size.

    Attributes:
        cameras: of the V views. grey: float32 [V, h, w]. wanted: bool [V, h, w], pixels to look at.
        inside: bool [V, h, w], those of them in the masks.
    """

    cameras: Cameras
    grey: FloatArray
    wanted: BoolArray
    inside: BoolArray


def pyramid(
    images: ByteArray,
    cameras: Cameras,
    views: Sequence[int],
    masks: BoolArray | None,
    unknown: BoolArray | None,
    pixels: int,
) -> list[Level]:
    """Levels, coarse to fine, each twice as large as the one before.

    Args:
        images: uint8 [V', H, W, 3]. cameras: their cameras. views: the V indices to use.
        masks: bool [V', H, W] of the target, or None: everything. unknown: likewise, what masks say nothing of.
        pixels: that the finest level may look at, all views together.
    """
    used = list(views)
    looked_at = float(masks[used].mean()) if masks is not None else 1.0
    height, width = cameras.size
    factor = min(1.0, (pixels / max(1.0, looked_at * len(used) * height * width)) ** 0.5)
    distance = np.linalg.norm(cameras.centers[used], axis=1).clip(1e-3)
    density = factor * float(np.median(cameras.intrinsics[used, 0, 0] / distance))
    count = max(1, 1 + round(float(np.log2(max(density, 1e-3) / COARSEST))))
    return [
        _level(images, cameras, used, masks, unknown, factor / 2.0 ** (count - 1 - number)) for number in range(count)
    ]


def _level(
    images: ByteArray,
    cameras: Cameras,
    used: list[int],
    masks: BoolArray | None,
    unknown: BoolArray | None,
    factor: float,
) -> Level:
    height, width = cameras.size
    size = max(8, round(width * factor)), max(8, round(height * factor))
    intrinsics = scale_intrinsics(cameras.intrinsics[used], size[0] / width, size[1] / height)
    small = Cameras(intrinsics, cameras.cam_to_world[used], (size[1], size[0]))

    def reduced(picture: FloatArray | ByteArray) -> FloatArray:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)

    grey = np.stack([reduced(cv2.cvtColor(images[view], cv2.COLOR_RGB2GRAY)) for view in used])
    if masks is None:
        return Level(small, grey, np.ones(grey.shape, dtype=bool), np.ones(grey.shape, dtype=bool))
    share = np.stack([reduced(masks[view].astype(np.uint8) * np.uint8(255)) for view in used])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    wanted = np.stack([cv2.dilate(mask, disc) for mask in (share > 0).astype(np.uint8)]) > 0
    if unknown is not None:
        wanted &= np.stack([reduced(unknown[view].astype(np.uint8) * np.uint8(255)) for view in used]) < 128
    return Level(small, grey, wanted, wanted & (share > 127))


def choose_sources(cameras: Cameras, useful: BoolArray) -> IntArray:
    """Views to compare each view with, int32 [V, S], -1 where there are no more.

    Those that look from some 14 degrees beside: enough parallax, and still the same picture. One that stands beside
    another chosen one counts less, so that what hides the surface from some does not hide it from all.

    Args:
        useful: bool [V], views that show anything to look at.
    """
    angle = np.degrees(np.arccos(np.clip(cameras.outward @ cameras.outward.T, -1.0, 1.0)))
    off = np.abs(np.log(np.maximum(angle, 1e-3) / BEST))
    off[(angle < NEAREST) | (angle > FARTHEST) | ~useful[None, :]] = np.inf
    sources = np.full((len(cameras), SLOTS), -1, dtype=np.int32)
    for view in range(len(cameras)):
        left = off[view].copy()
        for slot in range(SLOTS):
            best = int(np.argmin(left))
            if not np.isfinite(left[best]):
                break
            sources[view, slot] = best
            left[best] = np.inf
            left[angle[best] < 0.7 * BEST] += CROWDED
    return sources
