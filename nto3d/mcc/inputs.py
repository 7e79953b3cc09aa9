"""What MCC gets to see of one picture with depth: a square crop of colours and points, normalized.

The published model was trained on CO3D, whose camera axes are PyTorch3D's: x left, y up, z forward. Only this file
knows that frame: points come in and places go out in the camera's (OpenCV: x right, y down, z forward).

Letters: H W picture, S side of the network's picture, P side of its point map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.geometry.cameras import PYTORCH3D_AXES
from nto3d.mcc.hints import Hints, thinned
from nto3d.mcc.model import MccSizes
from nto3d.types import BoolArray, ByteArray, FloatArray

MARGIN = 40  # pixels around the mask, as the published demo cuts it out
SHARE = 0.09  # margin of our own networks, of the longer side of the mask's box: 8 pixels in their training
FIRST = 800  # pixels a side that the published code brings every crop to, before it makes it as small as the network's
FEWEST = 16  # points of a target


@dataclass(frozen=True)
class SeenView:
    """A view as the network takes it, and the way back.

    Attributes:
        image: float32 [3, S, S], colours in 0..1. points: float32 [P, P, 3], normalized: their standard deviation is 1
            (mean over the axes), their mean 0; PyTorch3D's axes. valid: bool [P, P], where there is a point of the
            target. seen: [S, 3] points of the target, all of them or thinned, for hints and colours; the same
            frame. rgb: uint8 [S, 3], theirs.
        center: [3], and scale: camera frame = (normalized * scale + center) with x and y turned; the depth's unit.
    """

    image: Tensor
    points: Tensor
    valid: Tensor
    center: FloatArray
    scale: float
    seen: FloatArray
    rgb: ByteArray

    @property
    def eye(self) -> FloatArray:
        """The camera's centre [3], normalized."""
        return self.from_camera(np.zeros(3))

    @property
    def hints(self) -> Hints:
        """What the seen points alone say about places."""
        return Hints(self.seen, self.eye)

    def to_camera(self, places: FloatArray) -> FloatArray:
        """Normalized places [..., 3] in the camera's frame (OpenCV axes) and the depth's unit."""
        camera: FloatArray = (np.asarray(places, dtype=np.float64) * self.scale + self.center) * PYTORCH3D_AXES
        return camera

    def from_camera(self, places: FloatArray) -> FloatArray:
        """The other way."""
        normalized: FloatArray = (np.asarray(places, dtype=np.float64) * PYTORCH3D_AXES - self.center) / self.scale
        return normalized


def seen_view(image: ByteArray, points: FloatArray, mask: BoolArray, sizes: MccSizes, margin: int = MARGIN) -> SeenView:
    """Cut the target out of a picture and normalize its points, as the published demo does.

    Args:
        image: uint8 [H, W, 3]. points: [H, W, 3] camera frame, OpenCV axes, any unit. mask: bool [H, W], the target's
            pixels that have a point. sizes: of the network. margin: pixels around the mask.

    Raises:
        InputError: the mask has next to no points, or all in one place.
    """
    height, width = mask.shape
    if image.shape != (height, width, 3) or points.shape != (height, width, 3):
        raise ValueError(f"expected picture and points {[height, width, 3]}, got {image.shape} and {points.shape}")
    if np.count_nonzero(mask) < FEWEST:
        raise InputError(f"the target: expected at least {FEWEST} pixels with a depth, got {np.count_nonzero(mask)}")
    turned = points.astype(np.float64) * PYTORCH3D_AXES
    seen = turned[mask]
    scale = float(seen.std(axis=0, ddof=1).mean())
    if not np.isfinite(scale) or scale <= 0.0:
        raise InputError(f"the target: expected points that are not all in one place, got a spread of {scale:g}")
    center = seen.mean(axis=0)
    thin = thinned(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    normalized = np.where(mask[..., None], (turned - center) / scale, 0.0)[part].astype(np.float32)
    colors = _square(torch.from_numpy(np.array(image[part])).permute(2, 0, 1).float() / 255)
    places = _square(torch.from_numpy(normalized).permute(2, 0, 1))
    known = _square(torch.from_numpy(np.array(mask[part])).float()[None])
    resize = _resizing(colors.shape[1], sizes.image)
    colors = resize @ colors @ resize.T
    small, whole = (
        functional.interpolate(value[None], sizes.points, mode="bilinear", align_corners=False)[0]
        for value in (places, known)
    )
    valid = whole[0] > 1.0 - 1e-4  # a mean over pixels of which one has no point is none
    kept, spread = small.permute(1, 2, 0) * valid[..., None], (turned[thin] - center) / scale
    return SeenView(colors, kept, valid, center, scale, spread, image[thin])


def relative_margin(mask: BoolArray) -> int:
    """Pixels around a mask [H, W] that our own networks get to see, whatever the size of the picture."""
    sides = [np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (0, 1) if mask.any()]
    return round(SHARE * float(max(sides, default=0)))


@lru_cache(maxsize=64)
def _resizing(side: int, image: int) -> Tensor:
    """The published code's two bilinear resizes, side -> FIRST -> image, as one matrix [image, side].

    As a product it needs no picture of FIRST x FIRST pixels.
    """
    rows = functional.interpolate(torch.eye(side)[:, None], FIRST, mode="linear", align_corners=False)
    if image != FIRST:
        # The published code names the factor and lets the size follow; for some sizes that is one pixel too few
        rows = functional.interpolate(rows, image, mode="linear", align_corners=False)
    return rows[:, 0].T.contiguous()


def _square(values: Tensor) -> Tensor:
    """[K, h, w] padded with zeros at the right or at the bottom."""
    side = max(values.shape[1:])
    return functional.pad(values, (0, side - values.shape[2], 0, side - values.shape[1]))
