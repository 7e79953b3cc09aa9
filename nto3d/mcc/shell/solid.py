"""The solid that a shell encloses: its pinholes and its inside filled."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nto3d.mcc.query import Sweep
from nto3d.types import BoolArray, IntArray

CLIP = 4.0  # logits around the threshold: further off they say how sure, not how far
LEAST = np.float32(1e-3)  # no vertex comes to lie on a place, where several would coincide
CLOSINGS = (1, 2)  # places; half the widest leak
LEAK_SHARE = 3  # a cavity is at least so many times as wide as the leaks into it; otherwise they are its mouth
WALLED = 4  # of six neighbours occupied: a missing place, or the end of a slot one place wide
PINHOLE_ROUNDS = 2
MARGIN = 4  # empty places around the crop, more than a closing reaches


def filled_shell(sweep: Sweep, beyond: int) -> tuple[NDArray[np.float32], IntArray]:
    """The shell with its pinholes and its inside filled, on a crop of the lattice.

    Returns:
        float32 [a, b, c], positive inside, in -CLIP..CLIP, never on the border; and the lattice index [3] of its first
        place. Where the solid reaches the lattice's border it goes on for `beyond` places, so that the surface, so
        much below its boundary, is closed at the border.
    """
    spans = []
    for axis in range(3):
        used = np.flatnonzero(sweep.occupied.any(axis=tuple({0, 1, 2} - {axis})))
        spans.append(slice(max(int(used[0]) - MARGIN, 0), int(used[-1]) + MARGIN + 1))
    logit = np.nan_to_num(sweep.logit[tuple(spans)] - np.float32(sweep.level), nan=-CLIP).clip(-CLIP, CLIP)
    field = np.where(np.abs(logit) < LEAST, np.where(logit > 0, LEAST, -LEAST), logit)
    _fill_pinholes(field)
    wall = field > 0
    inside = _enclosed(wall)
    for reach in CLOSINGS:
        inside |= _enclosed_but_for_leaks(wall | inside, reach)
    field[inside] = CLIP
    field = np.pad(np.pad(field, beyond, mode="edge"), 1, constant_values=-CLIP)
    return field, np.array([span.start for span in spans]) - beyond - 1


def _fill_pinholes(field: NDArray[np.float32]) -> None:
    """Give missing places the median of those around (which is exact at a flat boundary), in place."""
    cross = ndimage.generate_binary_structure(3, 1).astype(np.uint8)
    cross[1, 1, 1] = 0
    around = np.array([offset for offset in itertools.product((0, 1, 2), repeat=3) if offset != (1, 1, 1)])
    for _ in range(PINHOLE_ROUNDS):
        neighbours = ndimage.convolve((field > 0).astype(np.uint8), cross, mode="constant")
        holes = np.argwhere((field <= 0) & (neighbours >= WALLED))
        values = np.pad(field, 1, mode="edge")[tuple((holes[:, None] + around).T)]  # [26, holes]
        field[tuple(holes.T)] = np.maximum(np.median(values, axis=0), LEAST)


def _enclosed(wall: BoolArray) -> BoolArray:
    """What is neither wall nor outside: not connected to where most of the border is free.

    What an object that leaves the lattice cuts off from the rest of the border is its inside.
    """
    labels, _ = ndimage.label(~wall)
    border = np.ones(wall.shape, dtype=np.bool_)
    border[1:-1, 1:-1, 1:-1] = False
    counts = np.bincount(labels[border])
    counts[0] = 0  # the wall
    enclosed: BoolArray = (labels > 0) & (labels != counts.argmax())
    return enclosed


def _enclosed_but_for_leaks(wall: BoolArray, reach: int) -> BoolArray:
    """Cavities that a closing by `reach` places encloses, with the plugs of their leaks.

    Only cavities several times wider than what the closing closes, so that slots, bores and necks stay as they are.
    """
    padded = np.pad(wall, 2 * reach, mode="edge")
    closed = ndimage.binary_closing(padded, ndimage.generate_binary_structure(3, 2), iterations=reach)
    closed = closed[(slice(2 * reach, -2 * reach),) * 3]
    labels, count = ndimage.label(_enclosed(closed))
    if count == 0:
        return np.zeros_like(wall)
    radii = ndimage.maximum(ndimage.distance_transform_edt(~wall), labels, np.arange(1, count + 1))
    cavities = np.isin(labels, np.flatnonzero(np.asarray(radii) >= LEAK_SHARE * reach) + 1)
    plugs, _ = ndimage.label(closed & ~wall)
    touching = np.unique(plugs[ndimage.binary_dilation(cavities)])
    filled: BoolArray = cavities | np.isin(plugs, touching[touching > 0])
    return filled
