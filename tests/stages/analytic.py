"""A floor and what stands on it as signed distances: depths and pictures of any view are known by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from nto3d.geometry.cameras import RayCaster, every_pixel
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, Mask, Prompts
from tests.helpers import look_at

SIZE, VIEWS = (60, 80), 8
SKY = (200, 220, 255)


@dataclass(frozen=True)
class Thing:
    """A shape (points [..., 3] to distances), its colour, and whether it is no more than a mistake of the geometry."""

    shape: Callable[[FloatArray], FloatArray]
    colour: tuple[int, int, int]
    made_up: bool = False


def ball(center: tuple[float, float, float], radius: float) -> Callable[[FloatArray], FloatArray]:
    return lambda points: np.linalg.norm(points - np.array(center), axis=-1) - radius


def box(center: tuple[float, float, float], half: tuple[float, float, float]) -> Callable[[FloatArray], FloatArray]:
    def distance(points: FloatArray) -> FloatArray:
        off = np.abs(points - np.array(center)) - np.array(half)
        return np.linalg.norm(off.clip(0.0), axis=-1) + off.max(axis=-1).clip(max=0.0)

    return distance


FLOOR = Thing(lambda points: points[..., 2] + 0.5, (120, 120, 120))


@dataclass(frozen=True)
class Analytic:
    """What cameras on a ring see of things.

    Attributes:
        cameras: their pictures are not reduced further. images: uint8 [V, H, W, 3]. seen: by view.
        shows: by the thing's name, bool [V, H, W] where the pictures show it. model: has their signed distance.
    """

    cameras: Cameras
    images: ByteArray
    seen: dict[int, Projection]
    shows: dict[str, BoolArray]
    model: Any


def look(things: Mapping[str, Thing], views: int = VIEWS) -> Analytic:
    """Pictures and projections of things."""
    intrinsics = np.array([[90.0, 0.0, 39.5], [0.0, 90.0, 29.5], [0.0, 0.0, 1.0]])
    angles = 2.0 * np.pi * np.arange(views) / views
    heights = np.where(np.arange(views) % 2, 1.5, 0.9)
    target = np.array([0.0, 0.0, -0.2])
    poses = np.stack(
        [look_at(np.array([2.0 * np.cos(a), 2.0 * np.sin(a), h]), target) for a, h in zip(angles, heights, strict=True)]
    )
    cameras = Cameras(np.repeat(intrinsics[None], views, axis=0), poses, SIZE)
    real = {name: thing for name, thing in things.items() if not thing.made_up}
    images = np.zeros((views, *SIZE, 3), dtype=np.uint8)
    shows = {name: np.zeros((views, *SIZE), dtype=bool) for name in real}
    seen = {}
    for view in range(views):
        depth, number = _traced(cameras, view, list(real.values()))
        images[view] = np.array([*(thing.colour for thing in real.values()), SKY], dtype=np.uint8)[number]
        for index, name in enumerate(real):
            shows[name][view] = number == index
        depth, number = _traced(cameras, view, list(things.values()))
        opacity = (number < len(things)).astype(np.float32)
        zero = np.zeros(SIZE, dtype=np.float32)
        seen[view] = Projection(view, zero, depth.astype(np.float32), opacity, np.zeros(SIZE, dtype=bool))
    return Analytic(cameras, images, seen, shows, _Model(list(things.values())))


def _traced(cameras: Cameras, view: int, things: list[Thing]) -> tuple[FloatArray, FloatArray]:
    """Depth [H, W] and the number [H, W] of the thing that each pixel shows, that after the last one for the sky."""
    xy, _ = every_pixel(SIZE, 1, torch.device("cpu"))
    rays = RayCaster(cameras, "cpu")(torch.full((len(xy),), view), xy)
    origins, directions = (value.double().numpy() for value in rays)
    depth = np.full(len(xy), 0.5)
    for _ in range(150):
        points = origins + directions * depth[:, None]
        depth += 0.9 * np.min([thing.shape(points) for thing in things], axis=0)
    points = origins + directions * depth[:, None]
    values = np.stack([thing.shape(points) for thing in things])
    hit = (np.linalg.norm(points, axis=1) < 1.0) & (values.min(axis=0) < 1e-3)
    return depth.reshape(SIZE), np.where(hit, values.argmin(axis=0), len(things)).reshape(SIZE)


class _Model:
    """Stands in for a model whose surface is that of the things."""

    def __init__(self, things: list[Thing]) -> None:
        self._things = things
        self.variance = torch.zeros(1)
        self.sdf = SimpleNamespace(sdf=self._sdf)

    def _sdf(self, points: Tensor) -> Tensor:
        values = np.min([thing.shape(points.double().numpy()) for thing in self._things], axis=0)
        return torch.from_numpy(values).float()


class ColourSegmenter:
    """Goes by what it is asked with: a prior where that is sure, elsewhere the colours of it or of positive points."""

    def embed(self, image: ByteArray) -> ByteArray:
        return image

    def segment(self, embedded: ByteArray, prompts: Prompts) -> Mask:
        columns, rows = np.rint(prompts.points[prompts.labels == 1]).astype(int).T
        if prompts.prior is None:
            like = _coloured(embedded, np.unique(embedded[rows, columns], axis=0))
            parts, _ = ndimage.label(like)
            return Mask(prompts.view, np.isin(parts, np.setdiff1d(parts[rows, columns], 0)), 0.9)
        sure = prompts.prior > 0.5
        unsure = (prompts.prior > 0.3) & ~sure
        colours, counts = np.unique(embedded[sure], axis=0, return_counts=True)
        like = _coloured(embedded, colours[counts > 0.05 * counts.sum()])
        return Mask(prompts.view, sure | (unsure & like), 0.9)


def _coloured(image: ByteArray, colours: ByteArray) -> BoolArray:
    return (image[:, :, None] == colours).all(axis=-1).any(axis=-1)
