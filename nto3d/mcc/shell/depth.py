"""How deep places lie below the boundary of a solid, and in which direction the boundary is nearest.

Letters: A B C places of a lattice, N places measured, S samples of the boundary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import mcubes
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from nto3d.types import BoolArray, FloatArray, IntArray

STEPS = 4  # places of the finer lattice per half width, so that what is left of thin parts can be told
MOST_STEPS = 4  # from a place of the sweep to the next
MOST = 256  # places of the finer lattice along an axis, unless the sweep has more
OPPOSITE = -0.5  # cosine between the ways from the boundary on the two sides of a ridge; edges of a box are no ridge
SMOOTH = 1.01  # half widths; on a coarser lattice depths are measured, not interpolated
CREASE = 0.5  # cosine as above; where the depth bends less, interpolation between places of the sweep will do
_ALL = np.ones((3, 3, 3), dtype=np.bool_)
_HALF_OFFSETS = [np.array(offset) for offset in itertools.product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


@dataclass(frozen=True)
class Band:
    """How deep places of a lattice lie below the solid's boundary.

    Attributes:
        depth: float32 [A, B, C], negative outside; normalized units. spacing: between places.
        index: [N] flat, of places whose nearest boundary is known. inward: float32 [N, 3], unit directions from there.
    """

    depth: NDArray[np.float32]
    spacing: float
    index: NDArray[np.int64]
    inward: NDArray[np.float32]


def find_band(field: NDArray[np.float32], spacing: float, half_width: float) -> Band:
    """Depths on a finer lattice: from the lattice's own, measured anew where the boundary is near on two sides."""
    factor = min(math.ceil(STEPS * spacing / half_width - 1e-6), MOST_STEPS, max(MOST // max(field.shape), 1))
    tree = cKDTree(_boundary_samples(field, max(factor, 2)) * spacing)
    most = half_width + 2 * spacing
    inside = field > 0
    depth = np.where(inside, np.float32(most), np.float32(-most))
    # The nearest place outside is at most one place beyond the boundary.
    near = ndimage.binary_dilation(inside, _ALL) & (ndimage.distance_transform_edt(inside) * spacing < most + spacing)
    index = np.flatnonzero(near)
    inward = _measure(depth, index, spacing, tree)
    band = Band(depth, spacing, index, inward)
    if factor == 1:
        return band
    creased = near if spacing > SMOOTH * half_width else _creased(band)
    depth, spacing = _refined(depth, factor), spacing / factor
    own = [np.rint(np.arange(length) / factor).astype(np.int64) for length in depth.shape]
    index = np.flatnonzero(creased[np.ix_(*own)] & (depth > 0) & (depth < most))
    return Band(depth, spacing, index, _measure(depth, index, spacing, tree))


def _measure(depth: NDArray[np.float32], index: NDArray[np.int64], spacing: float, tree: cKDTree) -> FloatArray:
    """Put distances to the tree's points at the places `index` [N], keeping the sign; returns directions [N, 3]."""
    places = np.stack(np.unravel_index(index, depth.shape), axis=1) * spacing
    distance, sample = tree.query(places)
    flat = depth.reshape(-1)
    flat[index] = np.copysign(np.maximum(distance, 1e-6), flat[index])
    return ((places - tree.data[sample]) / flat[index][:, None]).astype(np.float32)


def _creased(band: Band) -> BoolArray:
    """Where the depth is not smooth: at places, and next to those, whose neighbour's nearest boundary is elsewhere."""
    depth = band.depth.reshape(-1)[band.index]
    found = np.zeros(band.depth.shape, dtype=np.bool_)
    flat = found.reshape(-1)
    for _, first, second, cosine in neighbours(band, np.flatnonzero(depth > 0)):
        deep = np.minimum(depth[first], depth[second]) > band.spacing / 2  # above, the direction is not exact enough
        turned = (cosine < OPPOSITE) | ((cosine < CREASE) & deep)
        flat[band.index[first[turned]]] = flat[band.index[second[turned]]] = True
    creased: BoolArray = ndimage.binary_dilation(found, _ALL, iterations=2) if found.any() else found
    return creased


def _boundary_samples(field: NDArray[np.float32], parts: int) -> FloatArray:
    """Points [S, 3] on the boundary, in places of the crop: a grid on every face, `parts` steps along its edges."""
    vertices, faces = mcubes.marching_cubes(field, 0.0)
    corners = vertices[faces.astype(np.int64)]
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2)[faces < np.roll(faces, -1, axis=1)]
    steps = np.arange(1, parts)
    along = np.stack([steps, parts - steps], axis=1) / parts  # of each edge once: it has two faces
    within = [(i, j, parts - i - j) for i, j in itertools.product(steps, steps) if i + j < parts]
    weights = np.array(within, dtype=np.float64).reshape(-1, 3) / parts
    return np.concatenate([vertices, (along @ ends).reshape(-1, 3), (weights @ corners).reshape(-1, 3)])


def _refined(field: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Linearly interpolated [(a - 1) * factor + 1, ...] with `factor` steps between places."""
    for axis in range(3):
        shape = list(field.shape)
        shape[axis] = (shape[axis] - 1) * factor + 1
        finer = np.empty(shape, dtype=np.float32)
        target, source = np.moveaxis(finer, axis, 0), np.moveaxis(field, axis, 0)  # views
        target[::factor] = source
        for step in range(1, factor):
            target[step::factor] = source[:-1] + np.float32(step / factor) * (source[1:] - source[:-1])
        field = finer
    return field


def neighbours(band: Band, candidates: IntArray) -> Iterator[tuple[IntArray, IntArray, IntArray, FloatArray]]:
    """Per offset [3] of the 13: the rows of `candidates` that are neighbours by it, and the cosine of their ways."""
    if len(candidates) == 0:
        return
    row = np.full(band.depth.size, -1, dtype=np.int32)
    row[band.index[candidates]] = candidates
    strides = np.array([band.depth.shape[1] * band.depth.shape[2], band.depth.shape[2], 1])
    for offset in _HALF_OFFSETS:  # inside is never at the border of the crop
        second = row[band.index[candidates] + int(offset @ strides)]
        first, second = candidates[second >= 0], second[second >= 0]
        yield offset, first, second, np.einsum("ij,ij->i", band.inward[first], band.inward[second])
