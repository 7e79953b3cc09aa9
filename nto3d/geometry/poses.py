"""Projection matrices to calibration and pose, and similarities between the world and the normalized frame.

A similarity is a [4, 4] matrix x -> scale * rotation @ x + translation; `rotation` is proper (no mirror).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from nto3d.types import FloatArray

SINGULAR = 1e-7  # smallest accepted ratio of singular values: float32 rounds at 6e-8, focal lengths alone make 1e-5
NOT_SIMILAR = 1e-3  # largest accepted relative deviation from scale * rotation; the files hold float32


@dataclass(frozen=True)
class Similarity:
    """A uniform scale, a rotation [3, 3] and a translation [3]: x -> scale * rotation @ x + translation."""

    scale: float
    rotation: FloatArray
    translation: FloatArray

    @property
    def matrix(self) -> FloatArray:
        """The [4, 4] matrix."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * self.rotation
        matrix[:3, 3] = self.translation
        return matrix

    def inverse(self) -> Similarity:
        """The similarity that undoes this one."""
        rotation = self.rotation.T
        return Similarity(1.0 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def apply(self, points: FloatArray) -> FloatArray:
        """Points [..., 3] mapped."""
        return self.scale * (points @ self.rotation.T) + self.translation

    def apply_to_poses(self, cam_to_world: FloatArray) -> FloatArray:
        """Poses [..., 3, 4] of the same cameras in the frame mapped to; rotations stay orthonormal."""
        rotations = self.rotation @ cam_to_world[..., :3]
        return np.concatenate([rotations, self.apply(cam_to_world[..., 3])[..., None]], axis=-1)


def split_similarity(matrix: FloatArray) -> Similarity:
    """Scale, rotation and translation of a [4, 4] similarity.

    Raises:
        ValueError: the shape is not [4, 4], a value is not finite, the last row is not 0 0 0 1, or the upper left
            part is singular, mirrors, or is not a uniform scale times a rotation.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"expected a [4, 4] matrix, got shape {list(matrix.shape)}")
    if not np.isfinite(matrix).all():
        raise ValueError("expected finite values, got NaN or infinity")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise ValueError(f"expected 0 0 0 1 as the last row, got {matrix[3].tolist()}")
    left, stretch, right = np.linalg.svd(matrix[:3, :3])
    if stretch[0] == 0 or stretch[2] < SINGULAR * stretch[0]:
        raise ValueError("expected an invertible matrix, got a singular one")
    if stretch[0] - stretch[2] > NOT_SIMILAR * stretch[0]:
        raise ValueError(
            f"expected one uniform scale without skew, got scales from {stretch[2]:.4g} to {stretch[0]:.4g}"
        )
    rotation = left @ right  # the nearest orthogonal matrix
    if np.linalg.det(rotation) < 0:
        raise ValueError("expected a proper rotation, got a mirrored one")
    return Similarity(float(stretch.mean()), rotation, matrix[:3, 3].copy())


def decompose_projection(projection: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Calibration and pose of a projection matrix P ~ K [R | t] (Hartley and Zisserman, section 6.2.4).

    A projection matrix is known up to a factor, of either sign.

    Args:
        projection: [3, 4], or [4, 4] whose last row is ignored.

    Returns:
        Intrinsics [3, 3] with a positive diagonal and K[2, 2] = 1, world to camera rotation [3, 3] (proper) and
        translation [3]; the camera's centre is -rotation.T @ translation.

    Raises:
        ValueError: a wrong shape, values that are not finite, or a singular left 3 x 3 part.
    """
    projection = np.asarray(projection, dtype=np.float64)
    if projection.shape not in ((3, 4), (4, 4)):
        raise ValueError(f"expected a [3, 4] or [4, 4] projection matrix, got shape {list(projection.shape)}")
    if not np.isfinite(projection).all():
        raise ValueError("expected a finite projection matrix, got NaN or infinity")
    projection = projection[:3]
    stretch = np.linalg.svd(projection[:, :3], compute_uv=False)
    if stretch[0] == 0 or stretch[2] < SINGULAR * stretch[0]:
        raise ValueError("expected an invertible projection, got a singular 3 x 3 part")
    if np.linalg.det(projection[:, :3]) < 0:
        projection = -projection
    upper, rotation = scipy.linalg.rq(projection[:, :3])
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)  # their product is 1, since both determinants are positive
    upper, rotation = upper * signs, signs[:, None] * rotation
    translation = np.linalg.solve(upper, projection[:, 3])
    return upper / upper[2, 2], rotation, translation


def is_mirrored(projection: FloatArray) -> bool:
    """Whether a projection matrix [4, 4] K [R | t], padded by 0 0 0 1, has a mirror for R.

    As a projection matrix alone it may have either sign; but a factor is in the last row, too.
    """
    sign = -1.0 if projection.shape == (4, 4) and projection[3, 3] < 0 else 1.0
    return bool(sign * np.linalg.det(projection[:3, :3]) < 0)


def pixel_error(projection: FloatArray, kind: np.dtype[Any], point: FloatArray) -> float:
    """By how many pixels a point [3] may be off because a projection matrix was stored as numbers of this kind."""
    rows, place = projection[:3], np.append(point, 1.0)
    whole = np.issubdtype(kind, np.integer)
    rounded = np.full(rows.shape, 0.5) if whole else np.abs(rows) * (float(np.finfo(kind).eps) / 2)
    x, y, depth = rows @ place
    wrong = rounded @ np.abs(place)
    if depth == 0.0:
        return 0.0  # it has no picture
    return float((wrong[:2].max() + max(abs(x), abs(y)) / abs(depth) * wrong[2]) / abs(depth))


def pose_from_projection(projection: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intrinsics [3, 3] and camera to world [3, 4] of a projection matrix; see `decompose_projection`."""
    intrinsics, rotation, translation = decompose_projection(projection)
    return intrinsics, np.column_stack([rotation.T, -rotation.T @ translation])


def normalize_cameras(world_mats: Sequence[FloatArray], scale_mat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cameras in the normalized frame.

    Args:
        world_mats: V matrices K [R | t], [3, 4] or [4, 4], that project world points.
        scale_mat: [4, 4] similarity, world from normalized.

    Returns:
        Intrinsics [V, 3, 3] and camera to world [V, 3, 4], float64, normalized frame.

    Raises:
        ValueError: a matrix cannot be used; a world matrix is named by its index.
    """
    normalized_from_world = split_similarity(scale_mat).inverse()
    intrinsics, poses = [], []
    for view, world_mat in enumerate(world_mats):
        try:
            calibration, pose = pose_from_projection(world_mat)
        except ValueError as error:
            raise ValueError(f"camera {view}: {error}") from error
        intrinsics.append(calibration)
        poses.append(normalized_from_world.apply_to_poses(pose))
    return np.array(intrinsics).reshape(-1, 3, 3), np.array(poses).reshape(-1, 3, 4)
