"""How pictures differ in exposure, from the colours in which neighbouring views show the same places.

The model is affine, one gain g and one offset o a view and colour channel: picture = g * appearance + o. Rough depth
maps tell which pixels show the same place (their agreement, normalised cross-correlation, does not depend on g, o), so

    a_v c_v + b_v = a_w c_w + b_w    with a = 1 / g, b = -o / g

for all places that views v and w show in the colours c_v and c_w: linear least squares over all pairs of neighbours,
as Brown and Lowe 2007 (gain compensation) do with gains alone, here with weights that let go of highlights and wrong
depths.

Letters: V views, P places, C the three colour channels. Colours are in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nto3d.geometry.cameras import pixels_of, scale_intrinsics, unproject
from nto3d.geometry.carving import DepthMaps
from nto3d.types import ByteArray, Cameras, FloatArray

PIXELS_PER_UNIT = 40.0  # of the pictures that are compared, at the origin: colours need no fine depths
NEIGHBOURS, FARTHEST = 6, 45.0  # views that a view is compared with, and degrees between them
SAME = 0.02  # depths that differ less are the same, normalized units
LEAST, MOST = 0.03, 0.97  # colours beyond may be clipped
FEWEST = 20  # places that a pair of views must share
SCATTER = 0.03  # differences of colour that are small, so that places that differ more count less
ROUNDS = 12  # of reweighted least squares
RIDGE = 1e-4  # towards identity, as a share of the mean weight: what no pair tells stays
# Relative difference in brightness between neighbours (median) from which on the pictures differ in exposure.
# Measured: 0.004 on the sample, 0.03 on DTU, whose lamps are fixed; 0.19 with random gains of 0.7 to 1.4
DIFFERENT = 0.08
EXPLAINED = 0.3  # of the differences in colour at most so much may be left
Pairs = dict[tuple[int, int], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Exposures:
    """Gain and offset of every view and colour channel: picture = gain * appearance + offset.

    Attributes:
        gain, offset: float64 [V, 3], colours in 0..1. Their mean over the training views is identity (of the gains'
            logarithms).
        left: what they leave of the differences in colour between views, as a share, median.
        difference: how much brighter or darker than a neighbour a view is because of them, median, as a share.
    """

    gain: FloatArray
    offset: FloatArray
    difference: float = 0.0
    left: float = 0.0

    @property
    def differ(self) -> bool:
        """Whether the pictures differ by more than what comes from looking from elsewhere, and exposures explain it.

        They do not where stereo took different places for the same, as on patterns that repeat.
        """
        return self.difference > DIFFERENT and self.left < EXPLAINED


def shared_colors(images: ByteArray, cameras: Cameras, maps: DepthMaps) -> Pairs:
    """For pairs (v, w) of neighbours the colours, [P, 3] each in 0..1, in which they show the same places.

    Args:
        images: uint8 [V, H, W, 3], at least as large as the maps. cameras: their cameras. maps: depths of all V views.
    """
    size = maps.cameras.size
    pictures = [cv2.GaussianBlur(_resized(image, size), (0, 0), 0.7).astype(np.float32) / 255.0 for image in images]
    pairs: Pairs = {}
    for view, depth in enumerate(maps.depths):
        rows, columns = np.nonzero(depth > 0)
        xy = np.stack([columns, rows], axis=-1).astype(np.float64)
        pose = maps.cameras.cam_to_world[view]
        points = unproject(maps.cameras.intrinsics[view], pose, xy, depth[rows, columns])
        for other in _neighbours(cameras, view):
            inside, row, column, z = pixels_of(maps.cameras, other, points)
            inside[inside] = np.abs(maps.depths[other][row[inside], column[inside]] - z[inside]) < SAME
            here = pictures[view][rows[inside], columns[inside]]
            pairs[view, other] = here, pictures[other][row[inside], column[inside]]
    return pairs


def solve_exposures(pairs: Pairs, views: int, train: Sequence[int]) -> Exposures:
    """Exposures of V = `views` views from the colours that pairs of them share, see `shared_colors`."""
    pairs = {pair: colors for pair, colors in pairs.items() if len(colors[0]) >= FEWEST}
    gain: FloatArray = np.ones((views, 3))
    offset: FloatArray = np.zeros((views, 3))
    if not pairs:
        return Exposures(gain, offset)
    for channel in range(3):
        of_channel = {pair: _unclipped(a[:, channel], b[:, channel]) for pair, (a, b) in pairs.items()}
        scale, shift = _solve_channel(of_channel, views)
        gain[:, channel], offset[:, channel] = 1.0 / scale, -shift / scale
    gain, offset = _centered(gain, offset, list(train))
    usual = np.median(np.concatenate([here for here, _ in pairs.values()]), axis=0).clip(0.05)
    bright = ((gain * usual + offset) / usual).mean(axis=1)
    apart = [abs(float(bright[view] - bright[other])) for view, other in pairs]
    return Exposures(gain, offset, float(np.median(apart)), _left(pairs, gain, offset))


def _left(pairs: Pairs, gain: FloatArray, offset: FloatArray) -> float:
    """Median difference of the colours that pairs share with their exposures taken off, as a share of that before."""
    before = np.concatenate([np.abs(here - there).mean(axis=1) for here, there in pairs.values()])
    after = [
        np.abs((here - offset[view]) / gain[view] - (there - offset[other]) / gain[other]).mean(axis=1)
        for (view, other), (here, there) in pairs.items()
    ]
    return float(np.median(np.concatenate(after)) / max(float(np.median(before)), 1e-6))


def _solve_channel(pairs: dict[tuple[int, int], tuple[FloatArray, FloatArray]], views: int) -> tuple[FloatArray, ...]:
    """a [V] and b [V] of one channel, mean 1 and 0; Geman and McClure's weights."""
    identity: FloatArray = np.concatenate([np.ones(views), np.zeros(views)])
    solution: FloatArray = identity
    constraint = np.zeros((2, 2 * views))
    constraint[0, :views] = constraint[1, views:] = 1.0
    for number in range(ROUNDS):
        normal = np.zeros((2 * views, 2 * views))
        for (view, other), (here, there) in pairs.items():
            terms = np.stack([here, np.ones_like(here), -there, -np.ones_like(there)], axis=1)
            index = [view, views + view, other, views + other]
            off = terms @ solution[index]
            weight = (1.0 + (off / SCATTER) ** 2) ** -2 if number else np.ones_like(off)
            normal[np.ix_(index, index)] += (terms * weight[:, None]).T @ terms
        ridge = RIDGE * max(float(np.trace(normal)) / (2 * views), 1e-6)
        system = np.block([[normal + ridge * np.eye(2 * views), constraint.T], [constraint, np.zeros((2, 2))]])
        solved = np.linalg.solve(system, np.concatenate([ridge * identity, [views, 0.0]]))
        scale, shift = (
            solved[:views].clip(0.1, 10.0),  # positive, whatever the colours say
            solved[views : 2 * views],
        )
        solution = np.concatenate([scale, shift])
    return solution[:views], solution[views:]


def _centered(gain: FloatArray, offset: FloatArray, train: list[int]) -> tuple[FloatArray, FloatArray]:
    """The same exposures of another appearance: that of which the training views are the mean."""
    factor = np.exp(np.log(gain[train]).mean(axis=0))
    gain = gain / factor
    shift = offset[train].mean(axis=0) / gain[train].mean(axis=0)
    return gain, offset - gain * shift


def _unclipped(here: FloatArray, there: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The colours [P] of which neither may be clipped, float64."""
    kept = (np.minimum(here, there) > LEAST) & (np.maximum(here, there) < MOST)
    return here[kept].astype(np.float64), there[kept].astype(np.float64)


def _neighbours(cameras: Cameras, view: int) -> list[int]:
    """Views that look from nearly the same side."""
    angle = np.degrees(np.arccos(np.clip(cameras.outward @ cameras.outward[view], -1.0, 1.0)))
    near = [int(other) for other in np.argsort(angle, kind="stable") if other != view and angle[other] < FARTHEST]
    return near[:NEIGHBOURS]


def reduced_pictures(images: ByteArray, cameras: Cameras) -> tuple[ByteArray, Cameras]:
    """Pictures uint8 [V, h, w, 3] as small as exposures need them, and their cameras."""
    density = cameras.intrinsics[:, 0, 0] / np.linalg.norm(cameras.centers, axis=1).clip(1e-3)  # pixels per unit
    factor = min(1.0, PIXELS_PER_UNIT / float(np.median(density)))
    height, width = cameras.size
    size = max(8, round(height * factor)), max(8, round(width * factor))
    intrinsics = scale_intrinsics(cameras.intrinsics, size[1] / width, size[0] / height)
    return np.stack([_resized(image, size) for image in images]), Cameras(intrinsics, cameras.cam_to_world, size)


def _resized(image: ByteArray, size: tuple[int, int]) -> ByteArray:
    """A picture [H, W, 3] at the size (h, w)."""
    small: ByteArray = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return small
