"""Rays through pixels, projection, and how intrinsics follow a resize.

Letters: V views, R rays, P points, H W picture height and width.

This module owns the pixel-centre convention: **integer coordinates are pixel centres**. Pixel (0, 0) covers
[-0.5, 0.5] x [-0.5, 0.5], and a picture's top left corner is (-0.5, -0.5). Camera axes are OpenCV's (x right, y down,
z forward). See Hartley and Zisserman, Multiple View Geometry, chapter 6, for the pinhole model.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nto3d.types import BoolArray, Cameras, FloatArray, IntArray

PYTORCH3D_AXES = (-1.0, -1.0, 1.0)  # turn OpenCV's axes to PyTorch3D's (x left, y up, z forward), and back
FOV_RANGE = (1.0, 179.0)  # degrees, both ends left out


class RayCaster:
    """Makes rays of a set of cameras; everything that does not depend on the pixel is computed once.

    Args:
        cameras: the V cameras.
        device: where the rays are made.
    """

    def __init__(self, cameras: Cameras, device: torch.device | str) -> None:
        self._set(cameras.intrinsics, cameras.cam_to_world, torch.device(device))

    @classmethod
    def from_matrices(cls, intrinsics: FloatArray, cam_to_world: FloatArray, device: torch.device | str) -> RayCaster:
        """A caster of plain matrices: intrinsics [V, 3, 3] (pixels), cam_to_world [V, 3, 4]."""
        caster = cls.__new__(cls)
        caster._set(intrinsics, cam_to_world, torch.device(device))
        return caster

    def _set(self, intrinsics: FloatArray, cam_to_world: FloatArray, device: torch.device) -> None:
        # Inverted and multiplied in float64: a principal point of some 1000 pixels costs float32 three digits.
        poses = np.asarray(cam_to_world, dtype=np.float64)
        world_from_pixel = poses[:, :, :3] @ np.linalg.inv(np.asarray(intrinsics, dtype=np.float64))
        # One row a view holds all 12 numbers, so that a batch needs a single gather.
        rows = np.concatenate([world_from_pixel.transpose(0, 2, 1).reshape(-1, 9), poses[:, :, 3]], axis=1)
        self._rows = torch.from_numpy(rows.astype(np.float32)).to(device)  # [V, 12]: columns x, y, 1 and the centre

    def __call__(self, view: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Rays through pixels.

        Args:
            view: [R] int64, index of each ray's camera.
            xy: [R, 2] pixel coordinates, integers are pixel centres.

        Returns:
            Origins [R, 3] and unit directions [R, 3], float32, in the frame of the poses.
        """
        rows = self._rows.index_select(0, view)
        xy = xy.to(rows.dtype)
        directions = torch.addcmul(rows[:, 6:9], rows[:, 0:3], xy[:, 0:1])
        directions = torch.addcmul(directions, rows[:, 3:6], xy[:, 1:2])
        return rows[:, 9:12], directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)


def pixel_rays(intrinsics: Tensor, cam_to_world: Tensor, view: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Rays through pixels, for occasional use; a loop keeps a `RayCaster`.

    Args:
        intrinsics: [V, 3, 3], pixels. cam_to_world: [V, 3, 4].
        view: [R] int64. xy: [R, 2] pixel coordinates, integers are pixel centres.

    Returns:
        Origins [R, 3] and unit directions [R, 3], float32, on the device of `view`.
    """
    matrices = (intrinsics.detach().cpu().double().numpy(), cam_to_world.detach().cpu().double().numpy())
    return RayCaster.from_matrices(*matrices, device=view.device)(view, xy)


def project(intrinsics: FloatArray, cam_to_world: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where one camera sees points.

    Args:
        intrinsics: [3, 3], pixels. cam_to_world: [3, 4]. points: [..., 3] in the frame of the pose.

    Returns:
        Pixel coordinates [..., 2] and z [...] along the optical axis; a point counts as seen only where z > 0.
        Points with z = 0 have no picture: their coordinates are not finite.
    """
    local = (points - cam_to_world[:, 3]) @ cam_to_world[:, :3]
    homogeneous = local @ intrinsics.T
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = homogeneous[..., :2] / homogeneous[..., 2:]
    return xy, local[..., 2]


def pixels_of(cameras: Cameras, view: int, points: FloatArray) -> tuple[BoolArray, IntArray, IntArray, FloatArray]:
    """Which of the points [P, 3] a view's picture holds; row and column (rounded) and z of each."""
    xy, z = project(cameras.intrinsics[view], cameras.cam_to_world[view], points)
    front = z > 1e-6
    height, width = cameras.size
    column = np.rint(np.where(front, xy[:, 0], -1.0)).clip(-1, width).astype(np.int64)
    row = np.rint(np.where(front, xy[:, 1], -1.0)).clip(-1, height).astype(np.int64)
    inside = front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return inside, row, column, z


def unproject(intrinsics: FloatArray, cam_to_world: FloatArray, xy: FloatArray, z: FloatArray) -> FloatArray:
    """The points [..., 3] that one camera sees at pixels [..., 2] at z [...] along its optical axis."""
    homogeneous = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)
    local = homogeneous @ np.linalg.inv(intrinsics).T * np.asarray(z)[..., None]
    return local @ cam_to_world[:, :3].T + cam_to_world[:, 3]


def scale_intrinsics(intrinsics: FloatArray, factor_x: float, factor_y: float) -> FloatArray:
    """Intrinsics after a resize: the width becomes factor_x times as large, the height factor_y times.

    The picture's corner (-0.5, -0.5) stays where it is, so pixel x moves to (x + 0.5) * factor_x - 0.5.

    Args:
        intrinsics: [..., 3, 3], pixels.
        factor_x, factor_y: new size / old size; 0.25 for a reduction by 4.

    Raises:
        ValueError: a factor is not positive.
    """
    if not (factor_x > 0 and factor_y > 0):
        raise ValueError(f"expected positive resize factors, got {factor_x} and {factor_y}")
    shift_x, shift_y = 0.5 * factor_x - 0.5, 0.5 * factor_y - 0.5
    resize = np.array([[factor_x, 0.0, shift_x], [0.0, factor_y, shift_y], [0.0, 0.0, 1.0]])
    return resize @ intrinsics


def intrinsics_from_fov(size: tuple[int, int], degrees: float) -> FloatArray:
    """Intrinsics [3, 3] float64 of a camera of which only the field of view is known.

    The field of view spans the picture's longer side, from the outer edge of the first pixel to that of the last
    (-0.5 to N - 0.5). The principal point is the picture's middle, ((W - 1) / 2, (H - 1) / 2), and pixels are square.

    Args:
        size: (H, W), pixels.
        degrees: the field of view along the longer side, between 1 and 179.

    Raises:
        ValueError: the field of view is out of range, or the size is not positive.
    """
    height, width = size
    if min(height, width) < 1:
        raise ValueError(f"expected a positive picture size (H, W), got {size}")
    if not FOV_RANGE[0] < degrees < FOV_RANGE[1]:
        raise ValueError(f"expected a field of view between 1 and 179 degrees, got {degrees}")
    focal = max(height, width) / 2 / np.tan(np.radians(degrees) / 2)
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def every_pixel(size: tuple[int, int], step: int, device: torch.device) -> tuple[Tensor, tuple[int, int]]:
    """Coordinates (x, y) [h * w, 2] of every `step`-th pixel of pictures (H, W), and (h, w)."""
    rows, columns = torch.arange(0, size[0], step), torch.arange(0, size[1], step)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float().to(device), (len(rows), len(columns))
