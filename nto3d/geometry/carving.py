"""The photo hull: a hull without what the pictures see through.

Space carving (Kutulakos & Seitz 2000) with rough depth maps as witnesses. Training starts from it: concavities, which
no mask shows, are open already, and where the pictures are plain nothing is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nto3d.geometry.cameras import pixels_of
from nto3d.geometry.hull import cell_centers
from nto3d.types import BoolArray, Cameras, FloatArray

CLEARANCE = 1.5  # cells by which a cell must lie before a depth to count as seen through, at most to count as on it
WITNESSES = 2  # views that must say so
CRUMB = 0.01  # pieces smaller than this share of the largest are dropped


@dataclass(frozen=True)
class DepthMaps:
    """Reduced views and their depths.

    Attributes:
        cameras: of the V reduced views.
        depths: float32 [V, h, w], z along the optical axis, normalized units, 0 = unknown.
    """

    cameras: Cameras
    depths: FloatArray


def photo_hull(hull: BoolArray, maps: DepthMaps, backed: bool = False) -> BoolArray:
    """The cells of a hull that at least two views, and more than see a surface there, do not see through.

    Args:
        hull: bool [G, G, G] over [-1, 1]^3. maps: depths.
        backed: keep only cells that lie on or behind a surface of at least two views; for hulls of cameras, most of
            which is air in front of a plain background.
    """
    size = 2.0 / len(hull)
    index = np.flatnonzero(hull)
    centers = cell_centers(len(hull)).reshape(-1, 3)[index].astype(np.float64)
    before, on, behind = (np.zeros(len(index), dtype=np.int64) for _ in range(3))
    for view, depth in enumerate(maps.depths):
        inside, row, column, z = pixels_of(maps.cameras, view, centers)
        there = depth[row[inside], column[inside]]
        gap = np.where(there > 0, there - z[inside], np.nan)
        before[inside] += gap > CLEARANCE * size
        on[inside] += np.abs(gap) <= CLEARANCE * size
        behind[inside] += gap < -CLEARANCE * size
    keep = (before < WITNESSES) | (before <= on)
    if backed:
        keep &= on + behind >= WITNESSES
    solid = np.zeros_like(hull)
    solid.reshape(-1)[index] = keep
    return _without_crumbs(solid)


def _without_crumbs(solid: BoolArray) -> BoolArray:
    """A solid of cells without its pieces that are small beside the largest."""
    labels, count = ndimage.label(solid)
    if count < 2:
        return solid
    cells = np.bincount(labels.reshape(-1))
    cells[0] = 0
    kept: BoolArray = (cells >= CRUMB * cells.max())[labels]
    return kept


def signed_distance(solid: BoolArray, smooth: float = 1.0) -> FloatArray:
    """Distance float32 [G, G, G] of the cells' centres to the surface of a solid of cells, negative inside.

    Args:
        solid: bool [G, G, G] over [-1, 1]^3. smooth: standard deviation of a blur that takes its stairs off, cells.

    Returns:
        Normalized units. Where the solid is empty or fills everything, a distance of 2 everywhere.
    """
    if solid.all() or not solid.any():
        return np.full(solid.shape, -2.0 if solid.any() else 2.0, dtype=np.float32)
    inside, outside = ndimage.distance_transform_edt(solid), ndimage.distance_transform_edt(~solid)
    # The surface lies half a cell from the last centre on either side.
    distance = np.where(solid, 0.5 - inside, outside - 0.5) * (2.0 / len(solid))
    blurred: FloatArray = ndimage.gaussian_filter(distance, smooth, mode="nearest").astype(np.float32)
    return blurred
