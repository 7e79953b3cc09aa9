"""What is solid in a scene, above what it stands on, in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage

from nto3d.geometry.hull import cell_centers
from nto3d.stages.model import SurfaceModel
from nto3d.stages.whole.pieces import Pieces, split
from nto3d.stages.whole.support import Support, find_support
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray

CELLS = 128  # along an axis of [-1, 1]^3
CHUNK = 65536  # places at a time
INNER = 0.93  # surface farther out may be made up for what lies outside of the sphere, in front of it
RIM = 0.985  # surface farther out is not looked at
COARSE = 1 / 32  # width of the cells over which surface is thinned, normalized units
FEWEST = 3  # pixels that must see surface in such a cell
CLEAR = 0.025  # height above the support from which on something stands on it, normalized units
FOOT = 3.0  # cells above that: what reaches so low stands
FEET = 8  # cells there that are enough
NEAR = 2.5  # cells from a pixel's surface to the solid that it shows


@dataclass(frozen=True)
class Solid:
    """What is solid in a scene.

    Attributes:
        pieces: of the solid above the support. support: or None. nearest: flat index [G, G, G] of the nearest cell of a
            piece. distance: [G, G, G] to it, cells.
    """

    pieces: Pieces
    support: Support | None
    nearest: IntArray
    distance: FloatArray

    def at(self, points: FloatArray) -> IntArray:
        """The piece [...] that places [..., 3] of the surface belong to; 0: none."""
        flat = np.ravel_multi_index(tuple(np.moveaxis(_cells(points), -1, 0)), (CELLS,) * 3)
        close = self.distance.reshape(-1)[flat] <= NEAR
        if self.support is not None:
            close &= self.support.height(points) >= 0.5 * CLEAR
        return np.where(close, self.pieces.labels.reshape(-1)[self.nearest.reshape(-1)[flat]], 0)

    def held(self) -> BoolArray:
        """Which pieces [N + 1] reach down to the support, or leave the sphere, where something may hold them."""
        labels, count = self.pieces.labels, len(self.pieces) + 1
        feet, border = (np.bincount(labels[where], minlength=count) >= FEET for where in self._ends)
        held: BoolArray = feet | border
        return held

    @cached_property
    def _ends(self) -> tuple[BoolArray, BoolArray]:
        """Cells [G, G, G] right above the support, and at the border of the sphere."""
        centers = cell_centers(CELLS)
        low = np.zeros((CELLS,) * 3, dtype=bool)
        if self.support is not None:
            low = self.support.height(centers) < CLEAR + FOOT * 2.0 / CELLS
        return low, np.linalg.norm(centers, axis=-1) > 1.0 - 2.0 * 2.0 / CELLS

    def middle(self, pieces: BoolArray) -> FloatArray:
        """Centre of gravity of chosen pieces [N + 1] along the support, [2]."""
        return self._along(np.argwhere(pieces[self.pieces.labels])).mean(axis=0)

    def stands(self, pieces: BoolArray) -> bool:
        """Whether chosen pieces [N + 1] together would not fall over: their centre of gravity is above their feet."""
        chosen = pieces[self.pieces.labels]
        low, border = self._ends
        if np.count_nonzero(chosen & border) >= FEET:
            return True
        feet = self._along(np.argwhere(chosen & low))
        if len(feet) < FEET:
            return False
        outline = cv2.convexHull(feet.astype(np.float32))
        x, y = self.middle(pieces)
        return cv2.pointPolygonTest(outline, (float(x), float(y)), measureDist=False) >= 0

    def _along(self, cells: IntArray) -> FloatArray:
        """Coordinates [N, 2] along the support of cells [N, 3], normalized units."""
        assert self.support is not None
        _, _, axes = np.linalg.svd(self.support.normal[None])
        along: FloatArray = ((cells + 0.5) * (2.0 / CELLS) - 1.0) @ axes[1:].T
        return along


@torch.no_grad()
def distances(model: SurfaceModel) -> FloatArray:
    """The SDF at the centres of cells, float32 [G, G, G]."""
    centers = torch.from_numpy(cell_centers(CELLS).reshape(-1, 3)).to(model.variance.device)
    values = torch.cat([model.sdf.sdf(some).float().cpu() for some in centers.split(CHUNK)])
    return values.numpy().reshape((CELLS,) * 3)


def find_solid(
    sdf: FloatArray,
    surface: FloatArray,
    cameras: Cameras,
    clicked: tuple[FloatArray, FloatArray] | None = None,
    seed: int = 0,
) -> Solid:
    """Pieces of what stands in a scene.

    Args:
        sdf: [G, G, G]. surface: [N, 3] what the views see of it. clicked: places [P, 3] of it under positive and
            negative clicks: no piece has some of both. seed: of random choices.
    """
    centers = cell_centers(CELLS)
    inside = np.linalg.norm(centers, axis=-1) < 1.0
    points, normals = _spread(surface, sdf)
    certain = np.linalg.norm(points, axis=1) < INNER
    support = find_support(points, normals, cameras.centers, certain, seed)
    solid = (sdf < 0.0) & inside
    if support is not None:
        solid &= support.height(centers) > CLEAR
    if not solid.any():
        return Solid(split(solid), support, np.zeros((CELLS,) * 3, np.int64), np.full((CELLS,) * 3, np.inf, np.float32))
    found: Any = ndimage.distance_transform_edt(~solid, return_indices=True)
    distance, index = found
    seeds = []
    for places in clicked or ():
        cells = tuple(_cells(places).T)
        close = distance[cells] <= NEAR
        seeds.append(index[(slice(None), *cells)].T[close])
    pieces = split(solid, *seeds)
    return Solid(pieces, support, np.ravel_multi_index(tuple(index), (CELLS,) * 3), distance.astype(np.float32))


def _cells(points: FloatArray) -> IntArray:
    """The cell [..., 3] that places [..., 3] lie in; those beyond the grid the nearest one."""
    cells: IntArray = np.floor((points + 1.0) * (CELLS / 2)).astype(np.int64).clip(0, CELLS - 1)
    return cells


def _spread(surface: FloatArray, sdf: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places [M, 3] of the surface, one a coarse cell, and the unit normals [M, 3] there."""
    near = surface[np.linalg.norm(surface, axis=1) < RIM]
    side = round(2.0 / COARSE)
    flat = np.ravel_multi_index(tuple(np.floor((near + 1.0) / COARSE).astype(np.int64).T), (side,) * 3)
    _, index, count = np.unique(flat, return_inverse=True, return_counts=True)
    points = np.stack([np.bincount(index, near[:, axis]) for axis in range(3)], axis=1) / count[:, None]
    points = points[count >= FEWEST]
    cells = tuple(np.floor((points + 1.0) * (CELLS / 2)).astype(np.int64).T)
    slopes: Any = np.gradient(sdf)  # a list of three
    gradient = np.stack([slope[cells] for slope in slopes], axis=1)
    length = np.linalg.norm(gradient, axis=1)
    real = (np.abs(sdf[cells]) < 1.5 * (2.0 / CELLS)) & (length > 1e-9)  # means across an edge lie off the surface
    return points[real], gradient[real] / length[real, None]
