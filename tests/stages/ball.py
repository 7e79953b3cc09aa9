"""A ball that is half target (x > 0), half not: what cameras around it see is known by hand."""

from __future__ import annotations

import numpy as np
import torch

from nto3d.geometry.cameras import RayCaster
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, Cameras

RADIUS = 0.5


def look(cameras: Cameras, view: int) -> tuple[Projection, BoolArray]:
    """What a view sees of the ball, and which of its pixels [H, W] show the half with x > 0."""
    size = cameras.size
    y, x = np.mgrid[: size[0], : size[1]]
    xy = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2)).float()
    rays = RayCaster(cameras, "cpu")(torch.full((len(xy),), view), xy)
    origins, directions = (value.double().numpy() for value in rays)
    along = -(origins * directions).sum(axis=1)
    square = RADIUS**2 - ((origins + along[:, None] * directions) ** 2).sum(axis=1)
    hit = square > 0
    depth = np.where(hit, along - np.sqrt(np.maximum(square, 0.0)), 0.0)
    target = hit & ((origins + depth[:, None] * directions)[:, 0] > 0)
    maps = [values.reshape(size).astype(np.float32) for values in (np.zeros(len(xy)), depth, hit)]
    return Projection(view, maps[0], maps[1], maps[2], np.zeros(size, dtype=np.bool_)), target.reshape(size)
