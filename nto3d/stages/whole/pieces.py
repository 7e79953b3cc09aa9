"""A solid of cells in pieces: where it is much thinner than on either side, two things touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from nto3d.types import BoolArray, FloatArray, IntArray

NECK = 0.85  # of the thinner of two pieces' radii: a wider neck does not divide
FINE = 0.95  # ... where it is known that a piece belongs to two things
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


def split(solid: BoolArray, one: IntArray | None = None, other: IntArray | None = None) -> Pieces:
    """Pieces by the depth below the surface: peaks of the depth are one piece where the saddle between them is high.

    A limb is as thick as where it begins, so it is no piece of its own; two things that touch have a narrow neck.

    Args:
        solid: [G, G, G]. one, other: [P, 3] solid cells that belong to different things: no piece has some of both.
            What would be one falls into smaller ones; and off those with cells of the other thing comes what is as near
            to these as the piece is thick.
    """
    depth = ndimage.distance_transform_edt(np.pad(solid, 1))[1:-1, 1:-1, 1:-1]
    basins, count = _basins(depth.astype(np.float32))
    sides = [np.zeros((0, 3), np.int64) if some is None else some for some in (one, other)]
    count = _divide(basins, count, *sides)
    height = np.zeros(count + 1)
    np.maximum.at(height, basins.reshape(-1), depth.reshape(-1))
    saddles, necks = _saddles(depth, basins), np.full(count + 1, NECK)
    numbers = _merged(height, saddles, necks, np.zeros(count + 1, dtype=np.int64))
    first, second = (np.unique(basins[tuple(cells.T)]) for cells in sides)
    both = np.intersect1d(numbers[first], numbers[second])
    if len(both):
        side = np.isin(np.arange(count + 1), first).astype(np.int64) - np.isin(np.arange(count + 1), second)
        necks[np.isin(numbers, both)] = FINE
        numbers = _merged(height, saddles, necks, side)
    labels: IntArray = numbers[basins].astype(np.int32)
    for piece in np.unique(labels[tuple(sides[1].T)]) if len(both) else ():
        if np.isin(piece, numbers[necks == FINE]):
            _part(labels, depth, int(piece), sides[1])
    return Pieces(labels, _contact(labels, int(labels.max(initial=0))))


def _part(labels: IntArray, depth: FloatArray, piece: int, around: IntArray) -> None:
    """Make a piece of its own of what of a piece is as near to some of its cells [P, 3] as it is thick."""
    cells = np.argwhere(labels == piece)
    away, _ = KDTree(around[labels[tuple(around.T)] == piece]).query(cells)
    near = away <= depth[tuple(cells.T)].max()
    if not near.all():
        labels[tuple(cells[near].T)] = labels.max() + 1


def _merged(height: FloatArray, saddles: list[tuple[float, int, int]], necks: FloatArray, side: IntArray) -> IntArray:
    """The number of the piece, from 1 on, that each basin [N + 1] belongs to; that of 0 is 0.

    Args:
        height: [N + 1] of the basins' peaks. saddles: see `_saddles`. necks: [N + 1], see NECK.
        side: [N + 1], basins of 1 and of -1 must not be in the same piece.
    """
    parent, side = np.arange(len(height)), side.copy()

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for saddle, first, second in saddles:
        low, high = sorted((root(first), root(second)), key=lambda node: height[node])
        if low != high and saddle >= necks[low] * height[low] and side[low] * side[high] >= 0:
            parent[low] = high
            side[high] += side[low] * (side[high] == 0)
    _, numbers = np.unique([root(node) for node in range(len(height))], return_inverse=True)  # 0 stays 0
    return numbers


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


def _divide(basins: IntArray, count: int, one: IntArray, other: IntArray) -> int:
    """Give basins with cells [P, 3] of two things a part for the second: what is nearer to its cells. Returns `count`.

    Args:
        basins: [G, G, G], is changed. count: of basins.
    """
    for basin in np.intersect1d(basins[tuple(one.T)], basins[tuple(other.T)]):
        cells = np.argwhere(basins == basin)
        (near, _), (far, _) = (KDTree(some[basins[tuple(some.T)] == basin]).query(cells) for some in (one, other))
        count += 1
        basins[tuple(cells[far < near].T)] = count
    return count


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
