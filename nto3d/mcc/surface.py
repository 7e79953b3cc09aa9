"""From the answer of a sweep to a closed mesh on the object.

The network calls occupied what is near the surface, inside and outside of it: a shell. Here the inside is filled, and
the surface is where the filled solid is a half width deep: its outer boundary moved back. The *ridge* is where places
of the solid have their nearest boundary on both sides. The *crop* is the part of the lattice that holds the solid.

Letters: A B C places of the crop, R of those at a ridge, M vertices.
"""

from __future__ import annotations

import math

import mcubes
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import expit

from nto3d.errors import InputError
from nto3d.mcc.query import Sweep
from nto3d.mcc.shell.depth import OPPOSITE, Band, find_band, neighbours
from nto3d.mcc.shell.solid import filled_shell
from nto3d.types import ByteArray, FloatArray, Mesh

HALF_WIDTH = 0.1  # of the shell, normalized units, as the published model was trained
KEPT = 0.9  # finer places of the solid kept on both sides of a ridge; above sqrt(3) / 2 a rod has no gaps
SHALLOWEST = 0.5  # half widths; what is nowhere deeper is noise
NEAREST = 4  # occupied places that a vertex takes its colour from


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
    field, start = filled_shell(sweep, max(1, min(round(half_width / spacing), len(sweep.axis))))
    band = find_band(field, spacing, half_width)
    vertices, faces = mcubes.marching_cubes(_depth_below_surface(band, half_width), 0.0)
    if len(faces) == 0:
        raise InputError(
            f"what is occupied at the threshold {threshold:.3g} holds no surface: expected a shell about"
            f" {2 * half_width:g} thick, got {2 * band.depth.max():.2g} at most; try a lower threshold"
        )
    vertices = sweep.axis[0] + start * spacing + vertices * band.spacing
    return Mesh(vertices, faces.astype(np.int64), _colors(sweep, vertices))


def _depth_below_surface(band: Band, half_width: float) -> NDArray[np.float32]:
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
    least = np.float32(1e-3 * band.spacing)  # as in `filled_shell`
    exact = np.abs(field) < least
    field[exact] = np.copysign(least, field[exact])
    return field


def _thin_ridge(band: Band, half_width: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places at ridges less deep than the surface needs: rows [R] of the band and the ridge's depth [R] there.

    Between neighbours on the two sides of a ridge the depth is a tent: it rises from either at the rate at which the
    way leads away from its nearest boundary; the ridge is as deep as the tent is high.
    """
    highest = half_width + KEPT * band.spacing
    depth = band.depth.reshape(-1)[band.index]
    height = np.full(len(band.index), np.inf, dtype=np.float32)
    for offset, first, second, cosine in neighbours(band, np.flatnonzero((depth > 0) & (depth < highest))):
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
