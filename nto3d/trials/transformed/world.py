"""Changes of the world's frame and of the cameras: the same scene in other numbers, or one that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from nto3d.export.mesh_io import read_mesh, write_mesh
from nto3d.files import write_arrays
from nto3d.trials.transformed.change import (
    CAMERAS,
    NOTES,
    Change,
    Entries,
    Expected,
    edit,
    edit_world_mats,
    in_turn,
    read_entries,
    read_notes,
)
from nto3d.types import FloatArray

Triple = tuple[float, float, float]
UTM = (450000.0, 5400000.0, 300.0)  # metres: a place in central Europe
SCALES = (1e-7, 1e-4, 1e-2, 1e2, 1e4, 1e6)
TURNS = {"90 degrees about x": (90.0, 0.0, 0.0), "200 degrees": (130.0, 90.0, 115.0), "35 degrees": (20.0, -25.0, 15.0)}


def similarity(
    scale: float = 1.0,
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0),
    shift: tuple[float, float, float] = (0, 0, 0),
) -> FloatArray:
    """A [4, 4] similarity; the degrees are those of a rotation vector."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_rotvec(degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def move_world(matrix: FloatArray, upright: bool = False) -> Callable[[Path], None]:
    """The world moved by a [4, 4] similarity; upright: scale_mat stays a scale and a translation."""
    inverse, scale = np.linalg.inv(matrix), float(np.cbrt(np.linalg.det(matrix[:3, :3])))

    def each(entries: Entries) -> None:
        for key, stored in entries.items():
            if key.startswith("world_mat_"):
                entries[key] = stored @ inverse
            elif key.startswith("scale_mat_"):
                moved = matrix @ stored
                if upright:
                    moved[:3, :3] = scale * stored[:3, :3]
                entries[key] = moved

    def rest(scene: Path) -> None:
        surface = scene / "gt_mesh.ply"
        write_mesh(read_mesh(surface).transformed(matrix), surface)
        notes = read_notes(scene)
        notes["depth"]["scale"] *= scale
        (scene / NOTES).write_text(json.dumps(notes), encoding="utf-8")

    return in_turn(edit(each), rest)


def _scale_mats(turn: FloatArray) -> Callable[[Path], None]:
    """Another normalized frame: its points, mapped by `turn` [4, 4], are those of the old one."""

    def each(entries: Entries) -> None:
        for key in entries:
            if key.startswith("scale_mat_"):
                entries[key] = entries[key] @ turn

    return edit(each)


def _stored_as(kind: str) -> Callable[[Path], None]:
    def change(entries: Entries) -> Entries:
        with np.errstate(over="ignore"):
            return {key: (np.rint(old) if kind == "int64" else old).astype(kind) for key, old in entries.items()}

    return edit(change)


def _left_handed(scene: Path) -> None:
    """The world's z turned round, as in a left-handed frame."""
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    entries = read_entries(scene)
    for key, stored in entries.items():
        entries[key] = stored @ flip if key.startswith("world_mat_") else flip @ stored @ flip
    write_arrays(scene / CAMERAS, entries)


def _camera_axes(*signs: float) -> Callable[[Path], None]:
    """Camera axes turned round: K diag(signs) [R | t]."""

    def change(view: int, stored: FloatArray) -> FloatArray:
        from nto3d.geometry.poses import decompose_projection

        intrinsics, rotation, translation = decompose_projection(stored)
        turned = stored.copy()
        turned[:3] = intrinsics @ np.diag(signs) @ np.column_stack([rotation, translation])
        return turned

    return edit_world_mats(change)


def _rows(factor: float) -> Callable[[int, FloatArray], FloatArray]:
    """A factor for the upper three rows alone."""
    return lambda view, stored: np.vstack([factor * stored[:3], stored[3:]])


def _more_keys(entries: Entries) -> None:
    for view in range(32):
        entries[f"camera_mat_{view}"] = entries[f"world_mat_inv_{view}"] = np.linalg.inv(entries[f"world_mat_{view}"])
    entries["comment"] = np.array("made by hand")


def _compressed(scene: Path) -> None:
    np.savez_compressed(scene / CAMERAS, allow_pickle=False, **read_entries(scene))


def _moved(name: str, matrix: FloatArray, upright: bool = False) -> Change:
    return Change(name, move_world(matrix, upright), world=matrix)


PERMUTED = np.eye(4)[[1, 2, 0, 3]]  # x, y, z become y, z, x
WORLD = (
    *(_moved(f"world scaled by {scale:g}", similarity(scale)) for scale in SCALES),
    *(_moved(f"world turned by {name}", similarity(degrees=turn)) for name, turn in TURNS.items()),
    _moved("world turned, scale_mat upright", similarity(degrees=(20.0, -25.0, 15.0)), upright=True),
    _moved("axes of the world swapped in turn", PERMUTED),
    _moved("shifted to UTM, in metres", similarity(1e-3, shift=UTM)),
    _moved("shifted to UTM, in millimetres", similarity(shift=UTM)),
    _moved("scaled by 7, turned, shifted to UTM", similarity(7.0, (20.0, -25.0, 15.0), UTM), upright=True),
    Change(
        "shifted to UTM, float32 cameras",
        in_turn(move_world(similarity(1e-3, shift=UTM)), _stored_as("float32")),
        Expected.refused,
        similarity(1e-3, shift=UTM),
    ),
    Change("left-handed world", _left_handed, Expected.refused),
    Change("normalized frame larger by 1.15", _scale_mats(similarity(1.15))),
    Change("normalized frame turned", _scale_mats(similarity(degrees=(10.0, 40.0, -20.0)))),
    Change("normalized frame shifted", _scale_mats(similarity(1.1, shift=(0.05, -0.04, 0.03)))),
)
CAMERA = (
    Change("world_mat scaled by 0.001", edit_world_mats(lambda view, stored: 1e-3 * stored)),
    Change("world_mat scaled by 7", edit_world_mats(lambda view, stored: 7.0 * stored)),
    Change("world_mat negated", edit_world_mats(lambda view, stored: -stored)),
    Change("world_mat negated without its last row", edit_world_mats(_rows(-1.0))),
    Change("every second world_mat negated", edit_world_mats(lambda view, stored: (-1.0) ** view * stored)),
    Change("every world_mat by another factor", edit_world_mats(lambda view, stored: (0.1 + view) * stored)),
    Change("cameras mirrored in x", _camera_axes(-1.0, 1.0, 1.0), Expected.refused),
    Change("cameras mirrored in y", _camera_axes(1.0, -1.0, 1.0), Expected.refused),
    Change("cameras mirrored in z", _camera_axes(1.0, 1.0, -1.0), Expected.refused),
    Change("cameras with OpenGL's axes", _camera_axes(1.0, -1.0, -1.0), Expected.refused),
    Change("cameras in float32", _stored_as("float32")),
    Change("cameras in float16", _stored_as("float16"), Expected.refused),
    Change("cameras in integers", _stored_as("int64"), Expected.refused),
    Change("further keys beside the cameras", edit(_more_keys)),
    Change("cameras in a compressed archive", _compressed),
    Change("cameras.npz for a name", lambda scene: (scene / CAMERAS).rename(scene / "cameras.npz")),
    Change(
        "cameras [3, 4]", edit(lambda entries: {key: stored[:3] for key, stored in entries.items()}), Expected.either
    ),
)
