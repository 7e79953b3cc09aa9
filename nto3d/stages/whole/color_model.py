"""Colours of things in a scene: what two of them have in common, and how clearly a target stands out."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from nto3d.segment.grabcut.first_mask import separation
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray

TONES = 3  # bits of a colour channel
AROUND = 0.5  # of a mask's box on either side: what its colours are told from
OVER = 5  # pixels over which likelihoods are averaged


def tones(image: ByteArray, size: tuple[int, int]) -> IntArray:
    """The number, 0..8**TONES - 1, of the colour in each pixel of a picture [H, W, 3], reduced to a size (h, w)."""
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.int64)
    numbers: IntArray = (small >> (8 - TONES)) @ [4**TONES, 2**TONES, 1]
    return numbers


def piece_colours(count: int, told: Mapping[int, tuple[IntArray, BoolArray]], images: ByteArray) -> FloatArray:
    """How often each colour was seen on each of `count` pieces, float64 [count, T].

    Args:
        told: of each view, the pieces in its pixels [h, w] and where they are known [h, w]. images: uint8 [V, H, W, 3].
    """
    found = np.zeros((count, 8**TONES))
    for view, (pieces, known) in told.items():
        np.add.at(found, (pieces[known], tones(images[view], known.shape)[known]), 1.0)
    return found


def common(colours: FloatArray, other: FloatArray) -> FloatArray:
    """What colours [N, T] have in common with others [T]: Bhattacharyya's coefficient [N], 0..1."""
    shares = colours / colours.sum(axis=1, keepdims=True).clip(1.0)
    common: FloatArray = np.sqrt(shares * (other / max(1.0, other.sum()))).sum(axis=1)
    return common


def apart(image: ByteArray, target: BoolArray) -> float:
    """How different, 0..1, the colours of a picture [H, W, 3] are inside and around a target [h, w]."""
    small = cv2.resize(image, target.shape[::-1], interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(target)
    margin = round(AROUND * max(np.ptp(rows), np.ptp(columns)) + 1)
    box = tuple(slice(max(0, some.min() - margin), some.max() + margin + 1) for some in (rows, columns))
    return separation(small[box], target[box])


def elsewhere(
    images: ByteArray, inside: Mapping[int, BoolArray], known: Mapping[int, BoolArray]
) -> dict[int, FloatArray]:
    """How much rather each pixel has the colours of what is not the target than the target's own, 0..1, [h, w] a view.

    Args:
        images: uint8 [V, H, W, 3]. inside: where each view shows the target, [h, w]. known: where that can be told;
            nothing is learned of views that it lacks.
    """
    numbers = {view: tones(images[view], mask.shape) for view, mask in inside.items()}
    counts = np.ones((2, 8**TONES))  # outside, inside
    for view, where in known.items():
        for label in (0, 1):
            counts[label] += np.bincount(numbers[view][where & (inside[view] == bool(label))], minlength=8**TONES)
    shares = counts / counts.sum(axis=1, keepdims=True)
    ratio = (shares[0] / shares.sum(axis=0)).astype(np.float32)
    return {view: cv2.blur(ratio[number], (OVER, OVER)) for view, number in numbers.items()}
