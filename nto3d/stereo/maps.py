"""Depth maps with normals by PatchMatch stereo, coarse to fine (Xu & Tao 2019), kept where views agree.

Letters: V used views, h w size of the finest level, P = V h w.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import warp as wp
from torch import Tensor

from nto3d.geometry.cameras import unproject
from nto3d.geometry.normals import unit
from nto3d.kernels.launch import start
from nto3d.kernels.patchmatch.patchmatch import NONE, Planes, Views
from nto3d.kernels.patchmatch.steps import confirm, improve, sweep
from nto3d.stereo.pictures import Level, choose_sources, pyramid
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, IntArray

PIXELS = 1_800_000  # looked at on the finest level
ITERATIONS = ((4, 3), (2, 1), (1, 0))  # and random changes in each, on the coarsest level, on others, on the finest
REACH = (1, 2, 2)  # pixels between the samples of a patch, likewise
STEP, MOST_PLANES = 1.25, 160  # pixels of parallax between the planes of the sweep
AMOUNT = 1.0  # pixels of parallax: the largest random change of a plane
OFFSET, RELATIVE, ALIGNED, WORST = 1.0, 0.01, 0.82, 0.5  # see `confirm`; normals within 35 degrees
CONFIRMED = 2  # sources that must agree (one, where there is only one)
FARTHEST = 1e-3  # inverse depth of what counts as infinitely far
PLAIN = 4.0  # deviation of a patch, grey values, that is half sure
SPECKLE = 12  # pixels: smaller pieces are dropped


@dataclass(frozen=True)
class StereoMaps:
    """What stereo knows of V reduced pictures.

    Attributes:
        cameras: of the reduced pictures.
        depths: float32 [V, h, w], z along the optical axis, normalized units, 0 = unknown.
        normals: float32 [V, h, w, 3], unit, axes of the normalized frame, towards the camera; 0 where unknown.
        confidence: float32 [V, h, w] in 0..1, 0 where unknown.
    """

    cameras: Cameras
    depths: FloatArray
    normals: FloatArray
    confidence: FloatArray

    def points(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Known points [N, 3], view after view, normalized frame, float32.

        And their normals [N, 3], unit directions to the cameras that see them [N, 3], and confidence [N].
        """
        found, towards = [], []
        for view, depth in enumerate(self.depths):
            rows, columns = np.nonzero(depth > 0)
            xy = np.stack([columns, rows], axis=-1).astype(np.float64)
            pose = self.cameras.cam_to_world[view]
            found.append(unproject(self.cameras.intrinsics[view], pose, xy, depth[rows, columns]))
            towards.append(unit(pose[:, 3] - found[-1]))
        known = self.depths > 0
        positions, ways = (np.concatenate(values).astype(np.float32) for values in (found, towards))
        return positions, self.normals[known], ways, self.confidence[known]


@dataclass(frozen=True)
class _State:
    """Planes [P, 3] (inverse depth w and its gradient by x and y), cost [P] and chosen sources [P]."""

    plane: Tensor
    cost: Tensor

    @classmethod
    def empty(cls, count: int, device: torch.device) -> _State:
        return cls(torch.zeros(count, 3, device=device), torch.full((count,), NONE, device=device))

    def struct(self) -> Any:
        """For the kernels."""
        planes = Planes()
        planes.plane, planes.cost = wp.from_torch(self.plane, dtype=wp.vec3), wp.from_torch(self.cost)
        return planes


def stereo_maps(
    images: ByteArray,
    cameras: Cameras,
    views: Sequence[int],
    *,
    masks: BoolArray | None = None,
    unknown: BoolArray | None = None,
    beyond: bool = False,
    pixels: int = PIXELS,
    seed: int = 0,
    device: torch.device | None = None,
) -> StereoMaps:
    """Depths and normals of some views.

    Args:
        images: uint8 [V', H, W, 3]. cameras: their cameras. views: the V indices to use.
        masks: bool [V', H, W]: only what they show is looked at; None: everything.
        unknown: bool [V', H, W], where masks say nothing, or None. beyond: look behind the unit sphere, too.
        pixels: to look at on the finest level. seed: of the random changes. device: of the kernels, default CPU.

    Returns:
        Maps of the used views, in their order. A depth is known where pictures of neighbouring views agree on it and
        at least two of these (one, where there is only one) have it in their own map. The same for any number of
        threads (on the CPU: those of torch).
    """
    start()
    device = device or torch.device("cpu")
    levels = pyramid(images, cameras, views, masks, unknown, pixels)
    sources = choose_sources(levels[0].cameras, np.asarray(levels[0].wanted.any(axis=(1, 2))))
    state, before = None, None
    iteration = 0
    for number, level in enumerate(levels):
        which = 0 if number == 0 else 2 if number == len(levels) - 1 else 1
        struct, spans = _views(level, sources, beyond, device)
        colours = _colours(level, device)
        if state is None or before is None:
            state = _State.empty(level.grey.size, device)
            count = int(np.ceil(float(np.median((spans[:, 1] - spans[:, 0]) / spans[:, 2])) / STEP))
            sweep(torch.cat(colours), struct, state.struct(), REACH[which], min(count, MOST_PLANES))
        else:
            state = _finer(state, before, level, device)
        known = state.struct()
        rounds, tries = ITERATIONS[which]
        for turn in range(rounds):
            amount = AMOUNT * 0.6**turn
            improve(colours, struct, known, REACH[which], amount, tries, number == 0, seed, iteration)
            iteration += 1
        before = level
    assert state is not None
    return _kept(levels[-1], struct, state, sources, device)


def _views(level: Level, sources: IntArray, beyond: bool, device: torch.device) -> tuple[Any, FloatArray]:
    """The pictures for the kernels, and each view's span [V, 3] of inverse depths, see `patchmatch.Views`."""
    cameras = level.cameras
    rotation, center = cameras.cam_to_world[:, :, :3], cameras.cam_to_world[:, :, 3]
    inverse = np.linalg.inv(cameras.intrinsics)
    other = sources.clip(0)
    turned = np.einsum("vsji,vjk->vsik", rotation[other], rotation)
    turn = cameras.intrinsics[other] @ turned @ inverse[:, None]
    moved = np.einsum("vsji,vsj->vsi", rotation[other], center[:, None] - center[other])
    shift = np.einsum("vsij,vsj->vsi", cameras.intrinsics[other], moved)
    span = _spans(cameras, turn, shift, sources >= 0, beyond)

    def put(values: FloatArray, dtype: Any) -> Any:
        return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=dtype, device=_name(device))

    views = Views()
    (views.height, views.width), views.slots = cameras.size, sources.shape[1]
    views.grey = wp.array(level.grey.reshape(-1), dtype=wp.float32, device=_name(device))
    views.sources = wp.array(sources, dtype=wp.int32, device=_name(device))
    views.turn, views.back = put(turn, wp.mat33), put(np.linalg.inv(turn), wp.mat33)
    views.shift = put(shift, wp.vec3)
    views.intrinsics, views.inverse = put(cameras.intrinsics, wp.mat33), put(inverse, wp.mat33)
    views.span = put(span, wp.vec3)
    return views, span


def _name(device: torch.device) -> str:
    return str(device) if device.type == "cuda" else "cpu"


def _spans(cameras: Cameras, turn: FloatArray, shift: FloatArray, exists: BoolArray, beyond: bool) -> FloatArray:
    """Least and greatest inverse depth of each view, and the inverse depth of a pixel of parallax."""
    pose = cameras.cam_to_world
    middle = -np.einsum("vi,vi->v", pose[:, :, 3], pose[:, :, 2])
    least = np.full(len(cameras), FARTHEST) if beyond else 1.0 / np.maximum(middle + 1.0, 0.1)
    greatest = 1.0 / np.maximum(middle - 1.0, 0.05)
    height, width = cameras.size
    point = turn @ np.array([(width - 1) / 2, (height - 1) / 2, 1.0])
    seen = point + shift / np.maximum(middle, 0.1)[:, None, None]
    slide = (shift[..., :2] * seen[..., 2:] - seen[..., :2] * shift[..., 2:]) / seen[..., 2:] ** 2
    speed = np.where(exists, np.linalg.norm(slide, axis=-1), 0.0).sum(axis=1) / exists.sum(axis=1).clip(1)
    return np.stack([least, greatest, 1.0 / speed.clip(1e-3)], axis=-1)


def _colours(level: Level, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices int32 of the wanted pixels on the two colours of a chequerboard."""
    _, row, column = np.nonzero(level.wanted)
    index = np.flatnonzero(level.wanted).astype(np.int32)
    red = (row + column) % 2 == 0
    return torch.from_numpy(index[red]).to(device), torch.from_numpy(index[~red]).to(device)


def _finer(state: _State, before: Level, level: Level, device: torch.device) -> _State:
    """The planes of a coarser level at the pixels of the next."""
    new = _State.empty(level.grey.size, device)
    index = torch.from_numpy(np.flatnonzero(level.wanted)).to(device)
    (height, width), (low, narrow) = level.cameras.size, before.cameras.size
    row, column = index // width % height, index % width
    scale_x, scale_y = narrow / width, low / height
    x, y = (column + 0.5) * scale_x - 0.5, (row + 0.5) * scale_y - 0.5
    near_x, near_y = x.round().long().clamp(0, narrow - 1), y.round().long().clamp(0, low - 1)
    there = (index // (height * width) * low + near_y) * narrow + near_x
    plane = state.plane[there]
    w = plane[:, 0] + plane[:, 1] * (x - near_x) + plane[:, 2] * (y - near_y)
    new.plane[index] = torch.stack([w, plane[:, 1] * scale_x, plane[:, 2] * scale_y], dim=1).float()
    new.cost[index] = state.cost[there]
    return new


def _kept(level: Level, views: Any, state: _State, sources: IntArray, device: torch.device) -> StereoMaps:
    """What neighbouring views confirm."""
    index = torch.from_numpy(np.flatnonzero(level.wanted).astype(np.int32)).to(device)
    normals = torch.zeros_like(state.plane)
    normals[index.long()] = _normals(level, state.plane[index.long()], index.long())
    limits = (OFFSET, RELATIVE, ALIGNED, WORST)
    agreeing, mean = confirm(index, views, state.struct(), normals, limits)
    shape = level.grey.shape
    count = agreeing.cpu().numpy().reshape(shape)
    enough = count >= np.minimum(CONFIRMED, (sources >= 0).sum(axis=1).clip(1))[:, None, None]
    keep = _without_speckles(enough & level.inside, state.plane[:, 0].cpu().numpy().reshape(shape))
    depths = np.zeros(shape, dtype=np.float32)
    depths[keep] = 1.0 / mean.cpu().numpy().reshape(shape)[keep]
    kept_normals = np.where(keep[..., None], normals.cpu().numpy().reshape(*shape, 3), np.float32(0.0))
    correlation = 1.0 - state.cost.cpu().numpy().reshape(shape)
    sure = ((correlation - (1.0 - WORST)) / WORST).clip(0.0, 1.0)
    deviation = np.stack([_deviation(grey) for grey in level.grey])
    agreed = (count / 4.0).clip(0.0, 1.0)
    confidence = np.where(keep, sure * agreed * deviation / (deviation + PLAIN), 0.0).astype(np.float32)
    return StereoMaps(level.cameras, depths, kept_normals, confidence)


def _normals(level: Level, plane: Tensor, index: Tensor) -> Tensor:
    """Unit normals [N, 3] towards the camera, normalized frame, of planes [N, 3] of pixels [N]."""
    height, width = level.cameras.size
    view, row, column = index // (height * width), index // width % height, index % width
    line = torch.stack([plane[:, 1], plane[:, 2], plane[:, 0] - plane[:, 1] * column - plane[:, 2] * row], dim=1)
    # n . X = 1 with X = z K^-1 p and w = line . p gives n = K^T line
    to_world = np.einsum("vij,vkj->vik", level.cameras.cam_to_world[:, :, :3], level.cameras.intrinsics)
    matrix = torch.from_numpy(to_world.astype(np.float32)).to(plane.device)
    normal = torch.einsum("nij,nj->ni", matrix[view], line.float())
    return -torch.nn.functional.normalize(normal, dim=1, eps=1e-12)


def _deviation(grey: FloatArray) -> FloatArray:
    """Standard deviation of a picture [h, w] around every pixel."""
    size = (9, 9)
    mean = cv2.blur(grey, size)
    return np.sqrt(np.maximum(cv2.blur(grey * grey, size) - mean * mean, 0.0))


def _without_speckles(keep: BoolArray, inverse: FloatArray) -> BoolArray:
    """Known pixels [V, h, w] without small pieces."""
    out = np.zeros_like(keep)
    for view, known in enumerate(keep):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(known.astype(np.uint8), connectivity=8)
        large = stats[:, cv2.CC_STAT_AREA] >= SPECKLE
        large[0] = False
        out[view] = large[labels]
    return out
