"""Rough depth maps by plane sweeping: how far away do neighbouring pictures agree?

Collins 1996 (the sweep), with zero-mean normalised cross-correlation as the agreement. The maps are small, coarse and
have holes where nothing distinguishes one depth from another; what they say elsewhere was confirmed by other views.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from nto3d.geometry.cameras import pixels_of, scale_intrinsics, unproject
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray

PIXELS_PER_UNIT = 72.0  # of the reduced pictures, at the origin; the region of interest is two units wide
PLANES = 112  # through the unit sphere
WINDOW = (7, 7)  # pixels
NEIGHBOURS = 4
NEAREST, FARTHEST, BEST = 5.0, 45.0, 17.0  # degrees between the directions from the origin to two cameras
AGREEMENT = 0.6  # least correlation
FLAT = 1.5  # grey values: a window that varies less than this says nothing
CONFIRMED = 2  # views whose own depth must agree
MOST_THREADS = 8  # each holds the scores of all planes
SAME = 2.0 / PIXELS_PER_UNIT  # depths that differ less are the same, normalized units


@dataclass(frozen=True)
class DepthMaps:
    """Reduced views and their depths.

    Attributes:
        cameras: of the V reduced views.
        depths: float32 [V, h, w], z along the optical axis, normalized units, 0 = unknown.
    """

    cameras: Cameras
    depths: FloatArray


@dataclass(frozen=True)
class _Picture:
    """A reduced grey picture [h, w] float32 with the mean and the variance of the window around every pixel."""

    grey: FloatArray
    mean: FloatArray
    variance: FloatArray

    @staticmethod
    def of(grey: FloatArray) -> _Picture:
        mean = cv2.blur(grey, WINDOW)
        return _Picture(grey, mean, cv2.blur(grey * grey, WINDOW) - mean * mean)


def depth_maps(
    images: ByteArray, cameras: Cameras, views: Sequence[int], beyond: bool = False, threads: int = 1
) -> DepthMaps:
    """Depth maps of some views.

    Args:
        images: uint8 [V, H, W, 3]. cameras: their cameras. views: indices to use.
        beyond: look behind the unit sphere, too. threads: views at a time, at most 8; the result is the same.

    Returns:
        Maps of the used views, in their order. A depth is known where the pictures of neighbouring views agree on it
        and at least two of these (one, where there is only one) have it in their own map. Views that no other view is
        5 to 45 degrees away from know none.
    """
    pictures, small = _reduced(images, cameras, views)
    around = [_neighbours(small, view) for view in range(len(small))]
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pictures are small: one view a thread is faster than many threads a picture
    try:
        with ThreadPoolExecutor(min(MOST_THREADS, threads)) as pool:
            found = list(pool.map(partial(_sweep, pictures, small, around, beyond), range(len(small))))
    finally:
        cv2.setNumThreads(before)
    depths = [_confirmed(found, small, around, view) for view in range(len(small))]
    return DepthMaps(small, np.stack(depths))


def _reduced(images: ByteArray, cameras: Cameras, views: Sequence[int]) -> tuple[list[_Picture], Cameras]:
    """Pictures of the used views, as coarse as the sweep needs, and their cameras."""
    used = list(views)
    distance = np.linalg.norm(cameras.centers[used], axis=1).clip(1e-3)
    density = cameras.intrinsics[used, 0, 0] / distance  # pixels per unit
    factor = min(1.0, PIXELS_PER_UNIT / float(np.median(density)))
    height, width = cameras.size
    size = max(8, round(width * factor)), max(8, round(height * factor))
    intrinsics = scale_intrinsics(cameras.intrinsics[used], size[0] / width, size[1] / height)
    pictures = []
    for view in used:
        grey = cv2.cvtColor(images[view], cv2.COLOR_RGB2GRAY)
        pictures.append(_Picture.of(cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)))
    return pictures, Cameras(intrinsics, cameras.cam_to_world[used], (size[1], size[0]))


def _neighbours(cameras: Cameras, view: int) -> list[int]:
    """Views that look from some 17 degrees beside a view: enough parallax, and still the same picture."""
    towards = cameras.centers / np.linalg.norm(cameras.centers, axis=1, keepdims=True).clip(1e-3)
    angle = np.degrees(np.arccos(np.clip(towards @ towards[view], -1.0, 1.0)))
    off = np.abs(np.log(np.maximum(angle, 1e-3) / BEST))
    off[(angle < NEAREST) | (angle > FARTHEST)] = np.inf
    order = np.argsort(off, kind="stable")[:NEIGHBOURS]
    return [int(other) for other in order if np.isfinite(off[other])]


def _planes(cameras: Cameras, view: int, beyond: bool) -> FloatArray:
    """Inverse depths [D] of planes through the unit sphere, equally spaced; on to infinity, half as dense, if asked."""
    pose = cameras.cam_to_world[view]
    middle = float(-pose[:, 3] @ pose[:, 2])
    inverse = np.linspace(1.0 / max(middle - 1.0, 0.05), 1.0 / max(middle + 1.0, 0.1), PLANES)
    if beyond:
        inverse = np.append(inverse, np.arange(inverse[-1], 1e-3, 2.0 * (inverse[1] - inverse[0]))[1:])
    return inverse


def _sweep(pictures: list[_Picture], cameras: Cameras, around: list[list[int]], beyond: bool, view: int) -> FloatArray:
    """Depth [h, w] of the best agreement, 0 where there is none."""
    own, others = pictures[view], around[view]
    if not others:
        return np.zeros_like(own.grey)
    inverse = _planes(cameras, view, beyond)
    half = (len(others) + 1) // 2  # something may hide the place from the rest
    scores = np.empty((len(inverse), *own.grey.shape), dtype=np.float32)
    for plane, depth in enumerate(1.0 / inverse):
        found = [
            _correlation(own, pictures[other].grey, _homography(cameras, view, other, float(depth))) for other in others
        ]
        scores[plane] = np.sort(found, axis=0)[-half:].mean(axis=0)
    best = scores.argmax(axis=0)
    inner = best.clip(1, len(inverse) - 2)
    rows, columns = np.indices(best.shape)
    # A parabola through the best plane and its two neighbours, over the plane's number.
    low, middle, high = (scores[inner + step, rows, columns] for step in (-1, 0, 1))
    bend = np.minimum(low - 2.0 * middle + high, -1e-6)
    where = inner + (0.5 * (low - high) / bend).clip(-0.5, 0.5)
    depth = 1.0 / np.interp(where, np.arange(len(inverse)), inverse)
    known = (scores.max(axis=0) > AGREEMENT) & (best == inner)
    return np.where(known, depth, 0.0).astype(np.float32)


def _correlation(own: _Picture, other: FloatArray, homography: FloatArray) -> FloatArray:
    """Normalised cross-correlation [h, w] of the windows of a picture with those of another, warped; 0 if flat."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    their = _Picture.of(cv2.warpPerspective(other, homography, own.grey.shape[::-1], flags=flags))
    both = cv2.blur(own.grey * their.grey, WINDOW) - own.mean * their.mean
    textured = (own.variance > FLAT**2) & (their.variance > FLAT**2)
    result = np.zeros_like(both)
    np.divide(both, np.sqrt(np.abs(own.variance * their.variance)), out=result, where=textured)
    return result


def _homography(cameras: Cameras, view: int, other: int, depth: float) -> FloatArray:
    """[3, 3]: pixel of another view, of the point at a depth behind a pixel of a view (Hartley & Zisserman 13.2)."""
    here, there = cameras.cam_to_world[view], cameras.cam_to_world[other]
    rotation = there[:, :3].T @ here[:, :3]
    shift = there[:, :3].T @ (here[:, 3] - there[:, 3])
    plane = rotation + np.outer(shift, [0.0, 0.0, 1.0 / depth])
    matrix: FloatArray = cameras.intrinsics[other] @ plane @ np.linalg.inv(cameras.intrinsics[view])
    return matrix


def _confirmed(depths: list[FloatArray], cameras: Cameras, around: list[list[int]], view: int) -> FloatArray:
    """The depths [h, w] of a view that its neighbours share."""
    own = depths[view]
    rows, columns = np.nonzero(own > 0)
    xy = np.stack([columns, rows], axis=-1).astype(np.float64)
    points = unproject(cameras.intrinsics[view], cameras.cam_to_world[view], xy, own[rows, columns])
    votes = np.zeros(len(rows), dtype=np.int64)
    for other in around[view]:
        votes += _on_surface(depths[other], cameras, other, points)
    enough = votes >= min(CONFIRMED, len(around[view]))
    kept = np.zeros_like(own)
    kept[rows[enough], columns[enough]] = own[rows[enough], columns[enough]]
    return kept


def _on_surface(depth: FloatArray, cameras: Cameras, view: int, points: FloatArray) -> BoolArray:
    """Which points [P, 3] lie on the depth [h, w] that a view has there."""
    inside, row, column, z = pixels_of(cameras, view, points)
    there = depth[row[inside], column[inside]]
    on = np.zeros(len(points), dtype=bool)
    on[inside] = (there > 0) & (np.abs(there - z[inside]) < SAME)
    return on
