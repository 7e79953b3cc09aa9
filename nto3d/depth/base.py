"""What every source of depth gives: a point for each pixel of one picture.

Letters: H, W picture height and width in pixels. Pixel coordinates: integers are pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nto3d.geometry.cameras import unproject
from nto3d.types import BoolArray, ByteArray, FloatArray, Mesh

SEEN_SIDE = 240  # pixels a side that are looked at in a surface of seen points
JUMP = 8.0  # pixel widths of depth between neighbours, above which they are not joined
BAND = 256  # rows that are taken to float64 at a time: a large picture as a whole would need gigabytes


@dataclass(frozen=True)
class PointMap:
    """The points that one picture shows.

    Attributes:
        points: [H, W, 3] float32, camera frame, OpenCV axes (x right, y down, z forward), in the depth's own unit;
            0 where there is no point.
        valid: [H, W] bool, where there is a point. It lies before the camera (z > 0).

    Raises:
        ValueError: a shape or a type is wrong, a value is not finite, a valid point has no positive z, or a pixel
            without a point is not 0.
    """

    points: FloatArray
    valid: BoolArray

    def __post_init__(self) -> None:
        height, width = self.valid.shape if self.valid.ndim == 2 else (0, 0)
        if self.valid.dtype != np.bool_ or height * width == 0:
            raise ValueError(f"expected valid [H, W] of bool, got {list(self.valid.shape)} of {self.valid.dtype}")
        if self.points.dtype != np.float32 or self.points.shape != (height, width, 3):
            raise ValueError(
                f"expected points [{height}, {width}, 3] of float32, "
                f"got {list(self.points.shape)} of {self.points.dtype}"
            )
        if not np.isfinite(self.points).all():
            raise ValueError("expected finite points, got NaN or infinity")
        if not np.array_equal(self.points[..., 2] > 0, self.valid):
            raise ValueError("expected z > 0 at valid pixels and 0 elsewhere, got points that do not fit valid")
        if self.points[~self.valid].any():
            raise ValueError("expected 0 where there is no point, got other values")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        height, width = self.valid.shape
        return height, width


class Depth(Protocol):
    """A source of depth."""

    def point_map(self, image: ByteArray, intrinsics: FloatArray) -> PointMap:
        """The points of one picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            intrinsics: [3, 3] float64, pixels of `image`.

        Raises:
            InputError: the source has no depth for this picture.
            ValueError: the picture or the intrinsics are of another shape or type.
        """
        ...


def picture_size(image: ByteArray) -> tuple[int, int]:
    """(H, W) of a picture uint8 [H, W, 3].

    Raises:
        ValueError: it is something else.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected a picture uint8 [H, W, 3], got {list(image.shape)} of {image.dtype}")
    return image.shape[0], image.shape[1]


def back_project(depth: FloatArray, intrinsics: FloatArray) -> PointMap:
    """The points behind a depth map.

    Args:
        depth: [H, W], z along the optical axis in any unit. Where it is not finite or not above 0 there is no point.
        intrinsics: [3, 3], pixels of the depth map; integers are pixel centres.

    Raises:
        ValueError: a shape is wrong, or the intrinsics are no camera's (not finite, no focal length).
    """
    if depth.ndim != 2 or depth.size == 0:
        raise ValueError(f"expected a depth map [H, W], got {list(depth.shape)}")
    _check_intrinsics(intrinsics)
    height, width = depth.shape
    identity = np.eye(3, 4)
    points = np.zeros((height, width, 3), dtype=np.float32)
    valid = np.zeros((height, width), dtype=np.bool_)
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        y, x = np.mgrid[rows, 0:width]
        z = depth[rows]
        known = np.isfinite(z) & (z > 0)
        xy = np.stack([x, y], axis=-1).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a depth too large for float32 is as good as infinite
            band = unproject(intrinsics, identity, xy, np.where(known, z, 0)).astype(np.float32)
        known &= np.isfinite(band).all(axis=-1) & (band[..., 2] > 0)
        band[~known] = 0
        points[rows], valid[rows] = band, known
    return PointMap(points, valid)


def seen_surface(found: PointMap, mask: BoolArray, image: ByteArray) -> Mesh:
    """The seen points of the target as an open surface, to look at; torn where the depth jumps.

    Args:
        found: the points. mask: [H, W] of the target. image: uint8 [H, W, 3], their colours.

    Returns:
        Camera frame, the depth's unit; every `step`-th pixel, so that it has at most some SEEN_SIDE squared vertices.
    """
    step = max(1, -(-max(mask.shape) // SEEN_SIDE))
    points, kept = found.points[::step, ::step].astype(np.float64), (mask & found.valid)[::step, ::step]
    number = np.cumsum(kept).reshape(kept.shape) - 1
    corners = [(slice(None, -1), slice(None, -1)), (slice(1, None), slice(None, -1))]
    corners += [(slice(1, None), slice(1, None)), (slice(None, -1), slice(1, None))]
    depth = np.stack([points[corner][..., 2] for corner in corners])
    whole = np.all([kept[corner] for corner in corners], axis=0)
    # a step along the surface changes the depth by about a pixel's width; a jump by many
    widths = np.linalg.norm(points[corners[2]] - points[corners[0]], axis=-1)
    flat = whole & (np.ptp(depth, axis=0) < JUMP * np.median(widths[whole])) if whole.any() else whole
    quads = np.stack([number[corner][flat] for corner in corners], axis=1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])  # counter-clockwise seen from the camera
    return Mesh(points[kept], faces, image[::step, ::step][kept])


def _check_intrinsics(intrinsics: FloatArray) -> None:
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all():
        raise ValueError(f"expected finite intrinsics [3, 3], got {list(intrinsics.shape)}: {intrinsics.tolist()}")
    if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0 or not np.allclose(intrinsics[2], [0.0, 0.0, 1.0], atol=1e-9):
        raise ValueError(
            f"expected intrinsics of positive focal lengths with a last row 0 0 1, got {intrinsics.tolist()}"
        )
