"""Mesh files: PLY (binary), OBJ (colours behind the coordinates) and GLB; and colours for a mesh's vertices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nto3d.errors import InputError
from nto3d.export.coordinates import double_ply, float32_step, is_coarse, near_origin, obj_digits, only_moved
from nto3d.files import write_arrays, write_atomic
from nto3d.parsers.guard import parsing
from nto3d.parsers.meshes import load_mesh
from nto3d.types import ByteArray, FloatArray, IntArray, Mesh

log = logging.getLogger("nto3d")
FORMATS = (".ply", ".obj", ".glb")


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh; the suffix says how. Coordinates are written unchanged (no axis is turned, GLB included).

    PLY and GLB hold float32 coordinates and uint8 colours, OBJ eight decimals (more for what is small) and
    `v x y z r g b`. Where float32 is too coarse (`coordinates.is_coarse`), PLY holds doubles, and GLB a node that is
    moved, with vertices relative to it; the log says so. PLY also holds `seen`, a vertex property ushort. Colours are
    written as they are, that is sRGB, also in GLB.

    Raises:
        InputError: the suffix is none of .ply, .obj, .glb, the mesh is empty, or the file cannot be written.
    """
    suffix = _suffix(path)
    if len(mesh.faces) == 0:
        raise InputError(f"{path}: expected a mesh with faces to write, got none")
    write_atomic(path, _exported(mesh, suffix, path))


def write_meshes(meshes: Mapping[str, Mesh], path: Path) -> None:
    """Write meshes as the named nodes of one GLB file, coordinates and colours as of `write_mesh`.

    Raises:
        InputError: a mesh is empty, or the file cannot be written.
    """
    for name, mesh in meshes.items():
        if len(mesh.faces) == 0:
            raise InputError(f"{path}: expected a mesh of {name} with faces to write, got none")
    write_atomic(path, _nodes(meshes, path))


def write_mesh_arrays(mesh: Mesh, path: Path) -> None:
    """Write a mesh as a .npz file.

    It holds `vertices` [M, 3] float64, `faces` [F, 3] int32, and where the mesh has them `colors` [M, 3] uint8 and
    `seen` [M] uint16.

    Raises:
        InputError: it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {
        "vertices": mesh.vertices.astype(np.float64),
        "faces": mesh.faces.astype(np.int32),
    }
    if mesh.colors is not None:
        arrays["colors"] = mesh.colors
    if mesh.seen is not None:
        arrays["seen"] = _short(mesh.seen)
    write_arrays(path, arrays)


def write_points(points: FloatArray, colors: ByteArray, path: Path) -> None:
    """Write points [K, 3] with colours uint8 [K, 3] as a PLY file, in double where float32 is too coarse for them.

    Raises:
        InputError: it cannot be written.
    """
    import trimesh

    coarse = is_coarse(points)
    content: bytes
    content = double_ply(points, None, colors) if coarse else trimesh.PointCloud(points, colors).export(file_type="ply")
    write_atomic(path, content)


def read_mesh(path: Path) -> Mesh:
    """Read a .ply, .obj or .glb file; vertex colours and `seen` come back where the file has them.

    Raises:
        InputError: the file is missing, of another type, damaged, or has no triangles.
    """
    expected = f"a {_suffix(path)[1:].upper()} mesh"
    loaded = load_mesh(path, expected)
    with parsing(path, expected):
        vertices = np.asarray(loaded.vertices, dtype=np.float64)
        faces = np.asarray(loaded.faces, dtype=np.int64)
        colors = None
        if loaded.visual.kind == "vertex":
            colors = np.ascontiguousarray(loaded.visual.vertex_colors[:, :3], dtype=np.uint8)
        mesh = Mesh(vertices, faces, colors, _read_seen(loaded))
    if len(mesh.faces) == 0:
        raise InputError(f"{path}: expected a mesh with faces, got {len(mesh.vertices)} vertices and no face")
    return mesh


def vertex_colors(
    mesh: Mesh,
    color_fn: Callable[[Tensor], Tensor],
    *,
    device: torch.device | str = "cpu",
    chunk: int = 2**16,
) -> Mesh:
    """The mesh with colours from a function.

    Args:
        mesh: in the frame of the function (normalized).
        color_fn: [N, 3] float32 positions -> RGB [N, 3] in 0..1.
        device: where the function is called.
        chunk: vertices a call.
    """
    positions = torch.from_numpy(mesh.vertices.astype(np.float32))
    colors = np.empty((len(positions), 3), dtype=np.uint8)
    with torch.no_grad():
        for start in range(0, len(positions), chunk):
            rgb = color_fn(positions[start : start + chunk].to(device)).float().clamp(0, 1)
            colors[start : start + chunk] = (rgb * 255).round().to(torch.uint8).cpu().numpy()
    return Mesh(mesh.vertices, mesh.faces, colors, mesh.seen)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: expected a mesh file ending in {', '.join(FORMATS)}, got {suffix or 'no suffix'!r}")
    return suffix


def _exported(mesh: Mesh, suffix: str, path: Path) -> bytes | str:
    """A mesh as the content of a file of the suffix; the path is for the log."""
    import trimesh

    if suffix == ".glb" and is_coarse(mesh.vertices):
        return _nodes({path.stem: mesh}, path)
    if suffix == ".ply" and is_coarse(mesh.vertices):
        step = float32_step(mesh.vertices)
        log.info("%s: coordinates are doubles, float32 would come in steps of %.2g", path.name, step)
        counts = None if mesh.seen is None else {"seen": _short(mesh.seen)}
        return double_ply(mesh.vertices, mesh.faces, mesh.colors, counts)
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=mesh.colors, process=False)
    if suffix == ".ply" and mesh.seen is not None:
        shape.vertex_attributes["seen"] = _short(mesh.seen)
    digits = {"digits": obj_digits(mesh.vertices)} if suffix == ".obj" else {}
    content: bytes | str = shape.export(file_type=suffix[1:], **digits)
    return content


def _nodes(meshes: Mapping[str, Mesh], path: Path) -> bytes:
    """Meshes as the named nodes of a GLB file; where float32 is too coarse the node is moved, and the log says so."""
    import trimesh

    scene = trimesh.Scene()
    for name, mesh in meshes.items():
        vertices, place = mesh.vertices, np.eye(4)
        if is_coarse(vertices):
            place[:3, 3], vertices = near_origin(vertices)
            where = ", ".join(f"{value:.12g}" for value in place[:3, 3])
            log.info("%s: the node %s is moved by (%s), its vertices are relative to that", path.name, name, where)
        shape = trimesh.Trimesh(vertices, mesh.faces, vertex_colors=mesh.colors, process=False)
        scene.add_geometry(shape, node_name=name, geom_name=name, transform=place)
    content: bytes = scene.export(file_type="glb", tree_postprocessor=only_moved)
    return content


def _short(counts: IntArray) -> NDArray[np.uint16]:
    """Counts [M] as uint16; what is larger becomes its largest."""
    return counts.clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def _read_seen(loaded: Any) -> IntArray | None:
    """The counts [M] in what trimesh read of a PLY file, or None."""
    raw = loaded.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    names = getattr(getattr(raw, "dtype", None), "names", None) or ()
    return np.asarray(raw["seen"], dtype=np.uint16).reshape(-1) if "seen" in names else None
