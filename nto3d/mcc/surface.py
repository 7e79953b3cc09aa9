"""From the answer of a sweep to a closed mesh on the object.

The network calls occupied what is near the surface, inside and outside of it: a shell. Here the inside is filled, and
the surface is where the filled solid is a half width deep: its outer boundary moved back. The *ridge* is where places
of the solid have their nearest boundary on both sides. The *crop* is the part of the lattice that holds the solid.

Letters: n places along an axis, S samples of the boundary, N places measured, R of those at a ridge, M vertices.
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
from scipy.special import expit

from nto3d.errors import InputError
from nto3d.mcc.query import Sweep
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray, Mesh

HALF_WIDTH = 0.1  # of the shell, normalized units, as the published model was trained
CLIP = 4.0  # logits around the threshold: further off they say how sure, not how far
LEAST = np.float32(1e-3)  # no vertex comes to lie on a place, where several would coincide
CLOSINGS = (1, 2)  # places; half the widest leak
LEAK_SHARE = 3  # a cavity is at least so many times as wide as the leaks into it; otherwise they are its mouth
WALLED = 4  # of six neighbours occupied: a missing place, or the end of a slot one place wide
PINHOLE_ROUNDS = 2
STEPS = 4  # places of the finer lattice per half width, so that what is left of thin parts can be told
MOST_STEPS = 4  # from a place of the sweep to the next
MOST = 256  # places of the finer lattice along an axis, unless the sweep has more
KEPT = 0.9  # finer places of the solid kept on both sides of a ridge; above sqrt(3) / 2 a rod has no gaps
SHALLOWEST = 0.5  # half widths; what is nowhere deeper is noise
OPPOSITE = -0.5  # cosine between the ways from the boundary on the two sides of a ridge; edges of a box are no ridge
SMOOTH = 1.01  # half widths; on a coarser lattice depths are measured, not interpolated
CREASE = 0.5  # cosine as above; where the depth bends less, interpolation between places of the sweep will do
NEAREST = 4  # occupied places that a vertex takes its colour from
MARGIN = 4  # empty places around the crop, more than a closing reaches
_ALL = np.ones((3, 3, 3), dtype=np.bool_)
_HALF_OFFSETS = [np.array(offset) for offset in itertools.product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


@dataclass(frozen=True)
class _Band:
    """How deep places of a lattice lie below the solid's boundary.

    Attributes:
        depth: float32 [A, B, C], negative outside; normalized units. spacing: between places.
        index: [N] flat, of places whose nearest boundary is known. inward: float32 [N, 3], unit directions from there.
    """

    depth: NDArray[np.float32]
    spacing: float
    index: NDArray[np.int64]
    inward: NDArray[np.float32]


def shell_surface(sweep: Sweep, half_width: float = HALF_WIDTH) -> Mesh:
    """The closed surface in the middle of the shell that a sweep found.

    Outside is what reaches the border of the lattice through places that are not occupied (those never asked are not);
    everything else is the solid. A cavity that leaks through a hole of up to four places is filled, too, if it is three
    times as wide as the hole; a cavity with a wider mouth, or as wide as its mouth, is open. The solid's boundary is
    where the logits cross the threshold; the mesh is where the distance to it is `half_width`, by marching cubes on a
    lattice of a quarter of that (Lorensen & Cline 1987). Where the shell leaves the lattice it is closed at the border.
    Concave edges come out rounded, by a radius of `half_width`: the shell does not show them sharper.

    Where the solid is thinner than 2 `half_width` (a thin object whose shell came out narrow, a shell seen from one
    side, which encloses nothing) that would leave nothing. There the mesh keeps the middle of it, KEPT finer places to
    each side: about 0.045 thick at a half width of 0.1. Objects thinner than that become so thick. Parts whose shell is
    nowhere even `half_width` thick in all (half of what it should be) are noise and vanish.

    Args:
        sweep: what was asked and found. half_width: of the shell, normalized units.

    Returns:
        Normalized frame of the network; faces counter-clockwise from outside; colours are means over the nearest
        occupied places. Separate parts stay separate.

    Raises:
        InputError: nothing is occupied, or it is nowhere as thick as a shell. ValueError: the width is impossible.
    """
    if not (math.isfinite(half_width) and half_width > 0):
        raise ValueError(f"expected a positive half width, got {half_width}")
    threshold = expit(sweep.level)
    if not sweep.occupied.any():
        most = expit(np.nanmax(sweep.logit, initial=-np.inf))
        raise InputError(
            f"nothing is occupied at the threshold {threshold:.3g}: expected a probability above it somewhere,"
            f" got at most {most:.3g}"
        )
    spacing = float(sweep.axis[1] - sweep.axis[0])
    field, start = _solid(sweep, max(1, min(round(half_width / spacing), len(sweep.axis))))
    band = _band(field, spacing, half_width)
    vertices, faces = mcubes.marching_cubes(_depth_below_surface(band, half_width), 0.0)
    if len(faces) == 0:
        raise InputError(
            f"what is occupied at the threshold {threshold:.3g} holds no surface: expected a shell about"
            f" {2 * half_width:g} thick, got {2 * band.depth.max():.2g} at most; try a lower threshold"
        )
    vertices = sweep.axis[0] + start * spacing + vertices * band.spacing
    return Mesh(vertices, faces.astype(np.int64), _colors(sweep, vertices))


def _solid(sweep: Sweep, beyond: int) -> tuple[NDArray[np.float32], IntArray]:
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


def _band(field: NDArray[np.float32], spacing: float, half_width: float) -> _Band:
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
    band = _Band(depth, spacing, index, inward)
    if factor == 1:
        return band
    creased = near if spacing > SMOOTH * half_width else _creased(band)
    depth, spacing = _refined(depth, factor), spacing / factor
    own = [np.rint(np.arange(length) / factor).astype(np.int64) for length in depth.shape]
    index = np.flatnonzero(creased[np.ix_(*own)] & (depth > 0) & (depth < most))
    return _Band(depth, spacing, index, _measure(depth, index, spacing, tree))


def _measure(depth: NDArray[np.float32], index: NDArray[np.int64], spacing: float, tree: cKDTree) -> FloatArray:
    """Put distances to the tree's points at the places `index` [N], keeping the sign; returns directions [N, 3]."""
    places = np.stack(np.unravel_index(index, depth.shape), axis=1) * spacing
    distance, sample = tree.query(places)
    flat = depth.reshape(-1)
    flat[index] = np.copysign(np.maximum(distance, 1e-6), flat[index])
    return ((places - tree.data[sample]) / flat[index][:, None]).astype(np.float32)


def _creased(band: _Band) -> BoolArray:
    """Where the depth is not smooth: at places, and next to those, whose neighbour's nearest boundary is elsewhere."""
    depth = band.depth.reshape(-1)[band.index]
    found = np.zeros(band.depth.shape, dtype=np.bool_)
    flat = found.reshape(-1)
    for _, first, second, cosine in _neighbours(band, np.flatnonzero(depth > 0)):
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


def _depth_below_surface(band: _Band, half_width: float) -> NDArray[np.float32]:
    """Field [A, B, C], positive inside the object: the depth less the half width, or less what a thin part allows."""
    field = band.depth - np.float32(half_width)
    rows, height = _thin_ridge(band, half_width)
    if len(rows):
        flat, index = field.reshape(-1), band.index[rows]
        lowered = (half_width + KEPT * band.spacing - height).astype(np.float32)
        own = flat[index] + lowered
        _lower_around(field, index, lowered)
        # The mean of a neighbourhood may be too little for one place; without it the sheet would have a hole.
        flat[index] = np.maximum(flat[index], own)
    least = np.float32(1e-3 * band.spacing)  # as in `_solid`
    exact = np.abs(field) < least
    field[exact] = np.copysign(least, field[exact])
    return field


def _thin_ridge(band: _Band, half_width: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places at ridges less deep than the surface needs: rows [R] of the band and the ridge's depth [R] there.

    Between neighbours on the two sides of a ridge the depth is a tent: it rises from either at the rate at which the
    way leads away from its nearest boundary; the ridge is as deep as the tent is high.
    """
    highest = half_width + KEPT * band.spacing
    depth = band.depth.reshape(-1)[band.index]
    height = np.full(len(band.index), np.inf, dtype=np.float32)
    for offset, first, second, cosine in _neighbours(band, np.flatnonzero((depth > 0) & (depth < highest))):
        across = cosine < OPPOSITE
        first, second = first[across], second[across]
        length = float(np.linalg.norm(offset))
        way = (offset / length).astype(np.float32)
        rise, fall = band.inward[first] @ way, -(band.inward[second] @ way)
        top = (depth[second] - depth[first] + fall * length * band.spacing) / np.maximum(rise + fall, 1e-6)
        tent = depth[first] + rise * top.clip(0.0, length * band.spacing)
        ridge = (rise > 0) & (fall > 0) & (tent >= SHALLOWEST * half_width) & (tent < highest)
        np.minimum.at(height, first[ridge], tent[ridge])
        np.minimum.at(height, second[ridge], tent[ridge])
    rows = np.flatnonzero(np.isfinite(height))
    return rows, height[rows]


def _neighbours(band: _Band, candidates: IntArray) -> Iterator[tuple[IntArray, IntArray, IntArray, FloatArray]]:
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


def _lower_around(field: NDArray[np.float32], index: NDArray[np.int64], lowered: NDArray[np.float32]) -> None:
    """Raise the field up to two places around the ridge's places [R] by the mean of `lowered` [R], in place."""
    places = np.stack(np.unravel_index(index, field.shape), axis=1)
    low = np.maximum(places.min(axis=0) - 2, 0)
    part = field[tuple(slice(*ends) for ends in zip(low, places.max(axis=0) + 3, strict=True))]
    total, count = np.zeros_like(part), np.zeros_like(part)
    total[tuple((places - low).T)], count[tuple((places - low).T)] = lowered, 1.0
    total, count = ndimage.uniform_filter(total, 5), ndimage.uniform_filter(count, 5)
    near = count > 0.5 / 5**3
    part[near] += total[near] / count[near]


def _colors(sweep: Sweep, vertices: FloatArray) -> ByteArray:
    """Colours uint8 [M, 3]: means over the nearest occupied places."""
    count = min(NEAREST, len(sweep.rgb))
    _, index = cKDTree(sweep.places).query(vertices, k=[*range(1, count + 1)])
    return np.rint(sweep.rgb[index].mean(axis=1)).astype(np.uint8)
