"""Read a scene in the DTU layout of IDR and NeuS.

SCENE/
    cameras_sphere.npz   (or cameras.npz, cameras_large.npz) for each view i: world_mat_i [4, 4] = K [R | t], which
                         projects world points, and scale_mat_i [4, 4], a similarity, world from normalized
    image/ or images/    PNG or JPEG, in the order of the cameras when sorted by number
    mask/ or masks/      optional; white on the target
    depth/               optional; NNN.npy, z along the optical axis in world units, 0 = unknown
    gt_mesh.ply          optional; the true surface in world units
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.data.images import (
    PICTURE_SUFFIXES,
    common_size,
    read_depth,
    read_images,
    read_masks,
    reduce_depth,
    reduced_size,
)
from nto3d.data.splits import split
from nto3d.data.viewpoints import check_hands, check_masks_in_front, check_same_frame, check_stored, check_viewpoints
from nto3d.errors import InputError
from nto3d.geometry.cameras import scale_intrinsics
from nto3d.geometry.poses import is_mirrored, normalize_cameras, split_similarity
from nto3d.parsers.archives import Archive
from nto3d.parsers.guard import parsing
from nto3d.parsers.meshes import load_mesh
from nto3d.parsers.text import read_json_object
from nto3d.types import BoolArray, Cameras, FloatArray, Mesh, Scene

CAMERA_FILES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
IMAGE_FOLDERS = ("image", "images")
MASK_FOLDERS = ("mask", "masks")
DEPTH_SUFFIXES = (".npy", ".png")
_LARGEST_UNIT = 1e30  # of depth pictures; beyond it depths leave float32
MATRIX_BYTES = 1 << 12  # of a camera matrix in its file, 128 are needed


def read_dtu(
    path: Path, *, downscale: int = 1, masks: bool = True, test_views: Sequence[int] | None = None, name: str = "scene"
) -> Scene:
    """The scene in a folder of the DTU layout (see above).

    Args:
        path: the folder.
        downscale: whole factor by which pictures, masks and depths are reduced; intrinsics follow.
        masks: whether masks are required. Where there are some they are always read, for the evaluation's sake.
        test_views: held-out views; see `splits.split`.
        name: of the scene.

    Raises:
        InputError: anything is missing or cannot be used; the message names the file and what was expected.
    """
    if not path.is_dir():
        raise InputError(f"scene.path: expected a folder, there is none at {path}")
    image_files = picture_files(path, IMAGE_FOLDERS)
    if image_files is None:
        raise InputError(f"{path}: expected a folder {' or '.join(IMAGE_FOLDERS)} with pictures, there is none")
    views = len(image_files)
    intrinsics, cam_to_world, world_from_normalized, opposite = _read_cameras(_camera_file(path), views)
    train, test = split(views, test_views)
    full_size = common_size(image_files)
    if not 1 <= downscale <= min(full_size):
        raise InputError(f"scene.downscale: expected 1 to {min(full_size)} for {path}, got {downscale}")
    mask_maps = _read_masks(path, views, downscale, full_size, masks)
    cameras = Cameras(
        intrinsics=scale_intrinsics(intrinsics, 1 / downscale, 1 / downscale),
        cam_to_world=cam_to_world,
        size=reduced_size(full_size, downscale),
    )
    if mask_maps is not None:
        check_masks_in_front(_camera_file(path), cameras, mask_maps)
    check_hands(_camera_file(path), cameras, opposite, mask_maps)
    images = read_images(image_files, downscale)
    return Scene(
        name=name,
        images=images,
        cameras=cameras,
        masks=mask_maps,
        depths=_read_depths(path, views, downscale, full_size, split_similarity(world_from_normalized).scale),
        names=tuple(file.name for file in image_files),
        train=train,
        test=test,
        world_from_normalized=world_from_normalized,
        gt_mesh=read_surface(path / "gt_mesh.ply"),
    )


def _natural(file: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort key: numbers in a name by their value, so that 9 comes before 10; what is no decimal digit is text."""
    parts = re.split(r"(\d+)", file.stem)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def picture_files(path: Path, folders: Sequence[str]) -> list[Path] | None:
    """The pictures in the first of the folders that exists, in the order of the cameras; None where none exists.

    Args:
        path: of the scene. folders: names in it.

    Raises:
        InputError: there is no picture in the folder.
    """
    folder = next((path / folder for folder in folders if (path / folder).is_dir()), None)
    if folder is None:
        return None
    candidates = (file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    # Names with a leading dot are left behind by some file systems and hold no picture.
    files = sorted((file for file in candidates if not file.name.startswith(".")), key=_natural)
    if not files:
        raise InputError(f"{folder}: expected PNG or JPEG pictures, there are none")
    return files


def _camera_file(path: Path) -> Path:
    for name in CAMERA_FILES:
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: expected a camera file {', '.join(CAMERA_FILES[:-1])} or {CAMERA_FILES[-1]}, none is there"
    )


def _load_matrices(file: Path, views: int) -> tuple[list[FloatArray], list[FloatArray]]:
    """world_mat_i and scale_mat_i of all views as stored, each checked to be numbers of the right shape."""
    archive = Archive(file, "an npz archive of cameras", MATRIX_BYTES)
    found = sum(re.fullmatch(r"world_mat_\d+", key) is not None for key in archive.names)
    if found == 0:
        raise InputError(f"{file}: expected keys world_mat_0, scale_mat_0, ..., got {sorted(archive.names)[:6]}")
    if found != views:
        raise InputError(f"{file}: expected a camera for each of the {views} pictures, got {found} cameras")
    names = [f"{kind}_{view}" for kind in ("world_mat", "scale_mat") for view in range(views)]
    matrices = [_checked(matrix, name, file) for name, matrix in zip(names, archive.read(names), strict=True)]
    return matrices[:views], matrices[views:]


def _checked(matrix: NDArray[Any], key: str, file: Path) -> FloatArray:
    if matrix.shape != (4, 4):
        raise InputError(f"{file}: expected shape [4, 4] for {key}, got {list(matrix.shape)}")
    if not np.issubdtype(matrix.dtype, np.floating) and not np.issubdtype(matrix.dtype, np.integer):
        raise InputError(f"{file}: expected numbers for {key}, got {matrix.dtype}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{file}: expected finite numbers for {key}, got NaN or infinity")
    return matrix


def _read_cameras(file: Path, views: int) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Intrinsics [V, 3, 3] of the full-size pictures, cam_to_world [V, 3, 4], world_from_normalized [4, 4].

    And [V], whether a matrix has the sign of a mirror.
    """
    stored, scale_mats = _load_matrices(file, views)
    check_same_frame(file, scale_mats)
    world_mats = [matrix.astype(np.float64) for matrix in stored]
    try:
        world_from_normalized = split_similarity(scale_mats[0]).matrix
    except ValueError as error:
        raise InputError(f"{file}: scale_mat_0: {error}") from error
    check_stored(file, stored, world_from_normalized)
    try:
        intrinsics, cam_to_world = normalize_cameras(world_mats, world_from_normalized)
    except ValueError as error:
        raise InputError(f"{file}: world_mat: {error}") from error
    check_viewpoints(file, world_mats, cam_to_world)
    opposite = np.array([is_mirrored(matrix) for matrix in world_mats])
    return intrinsics, cam_to_world, world_from_normalized, opposite


def _read_masks(path: Path, views: int, downscale: int, full_size: tuple[int, int], required: bool) -> BoolArray | None:
    files = picture_files(path, MASK_FOLDERS)
    if files is None:
        if required:
            raise InputError(
                f"{path}: expected a folder {' or '.join(MASK_FOLDERS)}, there is none; "
                "pass scene.masks=none to reconstruct without masks, or segmenter=grabcut to start from a click"
            )
        return None
    if len(files) != views:
        raise InputError(f"{files[0].parent}: expected a mask for each of the {views} pictures, got {len(files)} masks")
    masks = read_masks(files, downscale, full_size)
    if not masks.any():
        raise InputError(f"{files[0].parent}: expected masks that are white on the target, all {views} are empty")
    return masks


def _read_depths(path: Path, views: int, downscale: int, full_size: tuple[int, int], scale: float) -> FloatArray | None:
    """z-depths [V, H, W] float32 in normalized units, or None where there is no depth folder."""
    folder = path / "depth"
    if not folder.is_dir():
        return None
    files = sorted((file for file in folder.iterdir() if file.suffix in DEPTH_SUFFIXES), key=_natural)
    if len(files) != views:
        raise InputError(
            f"{folder}: expected a depth map for each of the {views} pictures, got {len(files)} (npy or png)"
        )
    unit = _depth_unit(path / "scene.json") if files[0].suffix == ".png" else 1.0
    depths = np.empty((views, *reduced_size(full_size, downscale)), dtype=np.float32)
    for view, file in enumerate(files):
        depth = read_depth(file, unit)
        if depth.shape != full_size:
            raise InputError(f"{file}: expected [H, W] = {list(full_size)} like its picture, got {list(depth.shape)}")
        depths[view] = reduce_depth(depth, downscale) / scale
    return depths


def _depth_unit(file: Path) -> float:
    """World units per step of the depth pictures."""
    what = "JSON with depth.scale, the world units per step of the pictures in depth/"
    try:
        unit = read_json_object(file, what)["depth"]["scale"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: expected {what}, it is not there") from error
    if isinstance(unit, bool) or not isinstance(unit, int | float) or not 0 < unit < _LARGEST_UNIT:
        raise InputError(f"{file}: expected a positive number for depth.scale, got {unit!r}")
    return float(unit)


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
