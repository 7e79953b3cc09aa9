"""Carry the first masks from view to view over a surface that is known already.

What a mask says of its pixels it says of the surface behind them. A view beside it sees most of that surface again, so
its own mask has to be found only where new surface comes into sight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from nto3d.geometry.cameras import RayCaster
from nto3d.stages.views.projection import Projection, surface_places
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray

FEWEST_CELLS, MOST_CELLS = 32, 192  # along an axis of [-1, 1]^3; between them, a cell is as large as a pixel
BLUR = 1.0  # cells: standard deviation of the blur that lets a vote count for its neighbours
LEAST_VOTES = 0.05
COARSE = 4  # cells that are one where views are counted: a view's pixels do not hit every cell of a surface
MOST, FEWEST = 0.5, 2  # share of the other views that see a place, and how many they are at least


class SurfaceVotes:
    """Votes of masks on the surface: a voxel grid of how often each place was inside and outside a mask."""

    def __init__(self, cameras: Cameras) -> None:
        self._caster = RayCaster(cameras, "cpu")
        density = np.median(cameras.intrinsics[:, 0, 0] / np.linalg.norm(cameras.centers, axis=1).clip(1e-3))
        self._cells = int(np.clip(2.0 * density, FEWEST_CELLS, MOST_CELLS))  # along an axis
        self._votes = np.zeros((2, *[self._cells] * 3), dtype=np.float32)  # outside, inside
        self._views = np.zeros([self._cells // COARSE + 1] * 3, dtype=np.int64)
        self._blurred: FloatArray | None = None

    def add(self, seen: Projection, mask: BoolArray, weight: float = 1.0) -> None:
        """Let a mask [h, w], in the projection's pixels, vote for the surface behind it."""
        cells, valid = self._place(seen)
        flat = np.ravel_multi_index(tuple(cells[valid].T), (self._cells,) * 3)
        inside = mask[valid]
        for label in (0, 1):
            np.add.at(self._votes[label].reshape(-1), flat[inside == bool(label)], weight)
        sign = 1 if weight > 0.0 else -1  # a vote may be taken back
        self._views[tuple(np.unique(cells[valid] // COARSE, axis=0).T)] += sign
        self._blurred = None

    def ask(self, seen: Projection) -> FloatArray:
        """How likely the target is in each pixel of a view, float32 [h, w]: 0.5 where nobody has voted, 0 beyond."""
        if self._blurred is None:
            self._blurred = np.stack([ndimage.gaussian_filter(votes, BLUR) for votes in self._votes])
        cells, valid = self._place(seen)
        outside, inside = self._blurred[(slice(None), *cells[valid].T)]
        total = outside + inside
        answer = np.zeros(seen.target.shape, dtype=np.float32)
        answer[valid] = np.where(total > LEAST_VOTES, inside / np.maximum(total, 1e-9), 0.5)
        return answer

    def voters(self, seen: Projection) -> IntArray:
        """How many masks have voted about where the surface in each pixel is, [h, w]."""
        cells, valid = self._place(seen)
        return np.where(
            valid, self._views[tuple(np.moveaxis(np.where(valid[..., None], cells, 0) // COARSE, -1, 0))], 0
        )

    def _place(self, seen: Projection) -> tuple[IntArray, BoolArray]:
        """Cell [h, w, 3] of the surface in each pixel, and where there is one."""
        points, valid = surface_places(self._caster, seen)
        cells = np.floor((points + 1.0) * (self._cells / 2.0)).astype(np.int64)
        return cells, valid & ((cells >= 0) & (cells < self._cells)).all(axis=-1)


def without_color_errors(
    seen: Mapping[int, Projection], cameras: Cameras, held_out: Sequence[int] = ()
) -> dict[int, Projection]:
    """The projections without those differences from the pictures that most other views see in the same place.

    What stands in front of a surface hides it from a few views. Where most of them differ, the fields' own colours are
    not right yet.

    Args:
        cameras: of the projections (reduced). held_out: views of which nothing is learned.
    """
    votes = SurfaceVotes(cameras)
    for view, found in seen.items():
        if view not in held_out:
            votes.add(found, found.differs)
    clean = {}
    for view, found in seen.items():
        own = int(view not in held_out)
        others = votes.voters(found) - own
        share = (votes.ask(found) * (others + own) - own) / others.clip(1)  # without the view's own vote
        faults = (others >= FEWEST) & (share >= MOST)
        clean[view] = replace(found, differs=found.differs & ~faults)
    return clean
