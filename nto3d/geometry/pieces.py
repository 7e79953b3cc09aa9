"""A solid of cells in pieces: where it is much thinner than on either side, two things touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nto3d.types import BoolArray, FloatArray, IntArray

NECK = 0.85  # of the thinner of two pieces' radii: a wider neck does not divide
SMOOTH = 1.0  # cells: blur of the depth, in which its peaks are looked for


@dataclass(frozen=True)
class Pieces:
    """Pieces of a solid.

    Attributes:
        labels: int32 [G, G, G], 0 = empty, 1..N. contact: [N + 1, N + 1], cells' faces that two pieces have in common.
    """

    labels: IntArray
    contact: IntArray

    def __len__(self) -> int:
        return len(self.contact) - 1


def split(solid: BoolArray) -> Pieces:
    """Pieces by the depth below the surface: peaks of the depth are one piece where the saddle between them is high.

    A limb is as thick as where it begins, so it is no piece of its own; two things that touch have a narrow neck.
    """
    depth = ndimage.distance_transform_edt(np.pad(solid, 1))[1:-1, 1:-1, 1:-1]
    basins, count = _basins(depth.astype(np.float32))
    parent = np.arange(count + 1)
    height = np.zeros(count + 1)
    np.maximum.at(height, basins.reshape(-1), depth.reshape(-1))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for saddle, one, other in _saddles(depth, basins):
        low, high = sorted((root(one), root(other)), key=lambda node: height[node])
        if low != high and saddle >= NECK * height[low]:
            parent[low] = high
    _, numbers = np.unique([root(node) for node in range(count + 1)], return_inverse=True)  # 0 stays 0
    labels: IntArray = numbers[basins].astype(np.int32)
    return Pieces(labels, _contact(labels, int(numbers.max(initial=0))))


def _basins(depth: FloatArray) -> tuple[IntArray, int]:
    """Cells by the peak that the steepest way up leads to, [G, G, G] from 1 on (0: outside), and how many there are."""
    height = ndimage.gaussian_filter(depth, SMOOTH) * (depth > 0)
    best, above = height.copy(), np.arange(depth.size).reshape(depth.shape)
    own = np.pad(above, 1)
    around = np.pad(height, 1)
    for shift in np.ndindex(3, 3, 3):
        window = tuple(slice(start, start + size) for start, size in zip(shift, depth.shape, strict=True))
        higher = around[window] > best
        best[higher], above[higher] = around[window][higher], own[window][higher]
    upwards = above.reshape(-1)
    while True:  # twice as far with every turn
        farther = upwards[upwards]
        if np.array_equal(farther, upwards):
            break
        upwards = farther
    inside = depth.reshape(-1) > 0
    peaks, number = np.unique(upwards[inside], return_inverse=True)
    basins = np.zeros(depth.size, dtype=np.int64)
    basins[inside] = number + 1
    return basins.reshape(depth.shape), len(peaks)


def _saddles(depth: FloatArray, basins: IntArray) -> list[tuple[float, int, int]]:
    """The depth of the way between each two neighbouring basins, the deepest first."""
    found: dict[tuple[int, int], float] = {}
    for axis in range(3):
        one, other = np.moveaxis(basins, axis, 0)[:-1], np.moveaxis(basins, axis, 0)[1:]
        there = (one != other) & (one > 0) & (other > 0)
        level = np.minimum(np.moveaxis(depth, axis, 0)[:-1], np.moveaxis(depth, axis, 0)[1:])[there]
        pairs = np.sort(np.stack([one[there], other[there]], axis=1), axis=1)
        keys, index = np.unique(pairs, axis=0, return_inverse=True)
        deepest = np.zeros(len(keys))
        np.maximum.at(deepest, index.reshape(-1), level)
        for (first, second), value in zip(keys, deepest, strict=True):
            pair = int(first), int(second)
            found[pair] = max(found.get(pair, 0.0), float(value))
    return sorted(((level, *pair) for pair, level in found.items()), reverse=True)


def _contact(labels: IntArray, count: int) -> IntArray:
    """How many faces of cells each two labels have in common, [count + 1, count + 1]; that with 0 is the surface."""
    contact = np.zeros((count + 1, count + 1), dtype=np.int64)
    for axis in range(3):
        one, other = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        different = one != other
        np.add.at(contact, (one[different], other[different]), 1)
    both: IntArray = contact + contact.T
    return both
