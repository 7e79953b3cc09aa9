"""Read a scene in the DTU layout of IDR and NeuS.

SCENE/
    cameras_sphere.npz   (or cameras.npz, cameras_large.npz) for each view i: world_mat_i [4, 4] = K [R | t], which
                         projects world points, and scale_mat_i [4, 4], a similarity, world from normalized
    image/ or images/    PNG or JPEG, numbered like the cameras or in their order (`files.pairing`)
    mask/ or masks/      optional; white on the target (`files.masks`), numbered like the pictures
    depth/               optional; NNN.npy or NNN.png, z along the optical axis in world units, 0 = unknown
    gt_mesh.ply          optional; the true surface in world units
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.data.files.depths import read_depths
from nto3d.data.files.inverted import check_sides
from nto3d.data.files.masks import check_extent, read_masks
from nto3d.data.files.views import IMAGE_FOLDERS, Views, find_views, picture_files
from nto3d.data.images import common_size, read_images, reduced_size
from nto3d.data.splits import split
from nto3d.data.viewpoints import check_hands, check_masks_in_front, check_same_frame, check_stored, check_viewpoints
from nto3d.errors import InputError
from nto3d.geometry.cameras import scale_intrinsics
from nto3d.geometry.poses import is_mirrored, normalize_cameras, split_similarity
from nto3d.parsers.archives import Archive
from nto3d.parsers.guard import parsing
from nto3d.parsers.meshes import load_mesh
from nto3d.types import BoolArray, Cameras, FloatArray, Mesh, Scene

log = logging.getLogger("nto3d")

CAMERA_FILES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
MATRIX_BYTES = 1 << 12  # of a camera matrix in its file, 128 are needed


def read_dtu(
    path: Path, *, downscale: int = 1, masks: bool = True, test_views: Sequence[int] | None = None, name: str = "scene"
) -> Scene:
    """The scene in a folder of the DTU layout (see above).

    Args:
        path: the folder.
        downscale: whole factor by which pictures, masks and depths are reduced; intrinsics follow.
        masks: whether masks are required: a view without one is left out. Where all views have one they are always
            read, for the evaluation's sake.
        test_views: held-out views; see `splits.split`.
        name: of the scene.

    Raises:
        InputError: anything is missing or cannot be used; the message names the file and what was expected.
    """
    if not path.is_dir():
        raise InputError(f"scene.path: expected a folder, there is none at {path}")
    pictures = picture_files(path, IMAGE_FOLDERS)
    if pictures is None:
        raise InputError(f"{path}: expected a folder {' or '.join(IMAGE_FOLDERS)} with pictures, there is none")
    archive = Archive(_camera_file(path), "an npz archive of cameras", MATRIX_BYTES)
    views = find_views(path, pictures, _camera_numbers(archive), archive.path, masks)
    intrinsics, cam_to_world, world_from_normalized, opposite = _read_cameras(archive, views.cameras)
    train, test = split(len(views.pictures), test_views)
    full_size = common_size(views.pictures)
    if not 1 <= downscale <= min(full_size):
        raise InputError(f"scene.downscale: expected 1 to {min(full_size)} for {path}, got {downscale}")
    intrinsics = scale_intrinsics(intrinsics, 1 / downscale, 1 / downscale)
    cameras = Cameras(intrinsics, cam_to_world, reduced_size(full_size, downscale))
    depths = None
    if views.depths is not None:
        scale = split_similarity(world_from_normalized).scale
        depths = read_depths(views.depths, path / "scene.json", downscale, full_size, scale)
    return Scene(
        name=name,
        images=read_images(views.pictures, downscale),
        cameras=cameras,
        masks=_read_masks(views, cameras, opposite, archive.path, downscale, full_size, masks),
        depths=depths,
        names=tuple(file.name for file in views.pictures),
        train=train,
        test=test,
        world_from_normalized=world_from_normalized,
        gt_mesh=read_surface(path / "gt_mesh.ply"),
    )


def _camera_file(path: Path) -> Path:
    for name in CAMERA_FILES:
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: expected a camera file {', '.join(CAMERA_FILES[:-1])} or {CAMERA_FILES[-1]}, none is there"
    )


def _camera_numbers(archive: Archive) -> list[int]:
    """The numbers i of the keys world_mat_i, ascending."""
    found = [match.group(1) for key in archive.names if (match := re.fullmatch(r"world_mat_(0|[1-9][0-9]*)", key))]
    if not found:
        some = sorted(archive.names)[:6]
        raise InputError(f"{archive.path}: expected keys world_mat_0, scale_mat_0, ..., got {some}")
    return sorted(int(number) for number in found)


def _load_matrices(archive: Archive, numbers: Sequence[int]) -> tuple[list[FloatArray], list[FloatArray]]:
    """world_mat_i and scale_mat_i of the views as stored, each checked to be numbers of the right shape."""
    names = [f"{kind}_{number}" for kind in ("world_mat", "scale_mat") for number in numbers]
    matrices = [_checked(matrix, name, archive.path) for name, matrix in zip(names, archive.read(names), strict=True)]
    return matrices[: len(numbers)], matrices[len(numbers) :]


def _checked(matrix: NDArray[Any], key: str, file: Path) -> FloatArray:
    if matrix.shape != (4, 4):
        raise InputError(f"{file}: expected shape [4, 4] for {key}, got {list(matrix.shape)}")
    if not np.issubdtype(matrix.dtype, np.floating) and not np.issubdtype(matrix.dtype, np.integer):
        raise InputError(f"{file}: expected numbers for {key}, got {matrix.dtype}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{file}: expected finite numbers for {key}, got NaN or infinity")
    return matrix


def _read_cameras(archive: Archive, numbers: Sequence[int]) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Intrinsics [V, 3, 3] of the full-size pictures, cam_to_world [V, 3, 4], world_from_normalized [4, 4].

    And [V], whether a matrix has the sign of a mirror.
    """
    file = archive.path
    stored, scale_mats = _load_matrices(archive, numbers)
    check_same_frame(file, numbers, scale_mats)
    world_mats = [matrix.astype(np.float64) for matrix in stored]
    try:
        world_from_normalized = split_similarity(scale_mats[0]).matrix
    except ValueError as error:
        raise InputError(f"{file}: scale_mat_0: {error}") from error
    check_stored(file, numbers, stored, world_from_normalized)
    try:
        intrinsics, cam_to_world = normalize_cameras(world_mats, world_from_normalized)
    except ValueError as error:
        raise InputError(f"{file}: world_mat: {error}") from error
    check_viewpoints(file, numbers, world_mats, cam_to_world)
    opposite = np.array([is_mirrored(matrix) for matrix in world_mats])
    return intrinsics, cam_to_world, world_from_normalized, opposite


def _read_masks(
    views: Views,
    cameras: Cameras,
    opposite: BoolArray,
    file: Path,
    downscale: int,
    full_size: tuple[int, int],
    required: bool,
) -> BoolArray | None:
    """The masks [V, H, W], compared with the cameras from `file`."""
    if views.masks is None:
        check_hands(file, views.cameras, cameras, opposite, None)
        return None
    folder = views.masks[0].parent
    masks = read_masks(views.masks, downscale, full_size)
    check_extent(masks, folder, "; pass scene.masks=none for an object that fills its pictures")
    check_masks_in_front(file, views.cameras, cameras, masks)
    check_hands(file, views.cameras, cameras, opposite, masks)
    try:
        check_sides(masks, cameras, folder)
    except InputError as error:
        if required:
            raise
        log.warning("%s; nothing but measurements comes of them here", error)
    return masks


def read_surface(file: Path) -> Mesh | None:
    """The ground-truth surface in world units, or None where there is no file."""
    if not file.exists():
        return None
    expected = "a triangle mesh in PLY format"
    loaded = load_mesh(file, expected)
    with parsing(file, expected):
        mesh = Mesh(np.asarray(loaded.vertices, dtype=np.float64), np.asarray(loaded.faces, dtype=np.int64))
    if len(mesh.faces) == 0:
        raise InputError(f"{file}: expected a triangle mesh, it holds no triangles")
    return mesh
