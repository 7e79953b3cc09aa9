"""What the seen points alone say about a place: how far it is from them, and whether it is before or beside them.

A place before the seen surface, or beside the outline, is empty; a place on a seen point is not. A large network finds
that out by itself, a small one is told. The published model takes no hints.

Letters: S seen points, Q places.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from nto3d.types import BoolArray, FloatArray

COUNT = 18  # numbers that a place comes with
MOST = 2000  # seen points to look at, at least, where there are so many
_SCALES = (0.1, 0.3, 1.0)  # of the distances, the network's unit: fine near the surface, rough far away
_NEAR = 0.2
_FAR = 4.0  # distances above say no more


class Hints:
    """Answers for one view, in the network's frame or any affine image of it.

    Args:
        points: [S, 3] seen points. eye: [3] the camera's centre.
    """

    def __init__(self, points: FloatArray, eye: FloatArray) -> None:
        self._points = np.asarray(points, dtype=np.float64)
        self._eye = np.asarray(eye, dtype=np.float64)
        rays = self._points - self._eye
        self._lengths = np.linalg.norm(rays, axis=1)
        # Plain halving: built for few questions, and three times as fast to build
        self._tree = cKDTree(self._points, balanced_tree=False, compact_nodes=False)
        self._rays = cKDTree(rays / self._lengths.clip(1e-9)[:, None], balanced_tree=False, compact_nodes=False)

    def at(self, places: FloatArray) -> FloatArray:
        """Hints float32 [Q, COUNT] for places [Q, 3].

        The way to the nearest seen point (3), the same on a fine scale (3); then at four scales (none, 0.1, 0.3, 1) its
        length, how far the place is from the nearest seen ray, and how far behind the point seen along that ray.
        """
        asked = np.asarray(places, dtype=np.float64)
        distance, nearest = self._tree.query(asked)
        way = self._points[nearest] - asked
        ray = asked - self._eye
        length = np.linalg.norm(ray, axis=1)
        chord, along = self._rays.query(ray / length.clip(1e-9)[:, None])
        # the chord between unit vectors: cosine 1 - chord^2 / 2
        cosine = 1.0 - 0.5 * chord**2
        aside = length * np.sqrt((1.0 - cosine**2).clip(0.0))
        behind = length * cosine - self._lengths[along]
        lengths = np.stack([distance, aside, behind], axis=1)
        told = [
            way.clip(-_FAR, _FAR),
            np.tanh(way / _NEAR),
            lengths.clip(-_FAR, _FAR),
            *(np.tanh(lengths / scale) for scale in _SCALES),
        ]
        return np.concatenate(told, axis=1).astype(np.float32)


def thinned(mask: BoolArray, most: int = MOST) -> BoolArray:
    """Every m-th row and column of a mask [H, W], so that about `most` to four times as many pixels are left.

    In the picture's plane, not along the list of its pixels: that would leave stripes of a mask with straight sides.
    """
    step = max(1, int((np.count_nonzero(mask) / most) ** 0.5))
    kept = np.zeros_like(mask)
    kept[::step, ::step] = mask[::step, ::step]
    return kept if kept.any() else mask
