"""Coordinates that float32 cannot hold, in every kind of file."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nto3d.export.coordinates import is_coarse
from nto3d.export.mesh_io import read_mesh, write_mesh, write_meshes, write_points
from nto3d.types import Mesh

UTM = np.array([450000.3, 5400000.7, 300.0])  # metres


def ball(radius: float, center: np.ndarray) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    count = len(shape.vertices)
    colors = np.random.default_rng(0).integers(0, 256, (count, 3), dtype=np.uint8)
    return Mesh(np.asarray(shape.vertices) + center, shape.faces.astype(np.int64), colors, np.arange(count))


def tree_of(path: Path) -> dict:
    """The JSON of a GLB file."""
    content = path.read_bytes()
    return json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
@pytest.mark.parametrize("radius", [0.05, 1.0, 40.0])
def test_a_mesh_in_utm_keeps_its_shape_and_place(tmp_path: Path, suffix: str, radius: float) -> None:
    mesh, path = ball(radius, UTM), tmp_path / f"mesh{suffix}"
    write_mesh(mesh, path)
    again = read_mesh(path)
    np.testing.assert_allclose(again.vertices, mesh.vertices, rtol=0, atol=2e-7 * radius)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.colors, mesh.colors)
    assert (again.seen is not None) == (suffix == ".ply")


def test_ply_holds_doubles_that_other_readers_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = ball(1.0, UTM)
    with caplog.at_level(logging.INFO, logger="nto3d"):
        write_mesh(mesh, tmp_path / "mesh.ply")
        write_mesh(replace(mesh, colors=None, seen=None), tmp_path / "bare.ply")
    assert "mesh.ply: coordinates are doubles, float32 would come in steps of 0.5" in caplog.text
    header = (tmp_path / "mesh.ply").read_bytes().split(b"end_header")[0].decode()
    assert "property double x\n" in header
    assert "property ushort seen\n" in header
    loaded = trimesh.load(tmp_path / "mesh.ply", process=False)
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.visual.vertex_colors[:, :3], mesh.colors)
    assert read_mesh(tmp_path / "mesh.ply").seen.tolist() == mesh.seen.tolist()
    bare = read_mesh(tmp_path / "bare.ply")
    assert bare.colors is None
    np.testing.assert_array_equal(bare.vertices, mesh.vertices)


def test_a_glb_node_is_moved_by_a_round_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="nto3d"):
        write_mesh(ball(40.0, UTM), tmp_path / "mesh.glb")
    (node,) = [node for node in tree_of(tmp_path / "mesh.glb")["nodes"] if "mesh" in node]
    assert node["translation"] == [450000, 5400000, 300]
    assert (
        "mesh.glb: the node mesh is moved by (450000, 5400000, 300), its vertices are relative to that" in caplog.text
    )


def test_named_objects_keep_their_places(tmp_path: Path) -> None:
    parts = {"cup": ball(0.1, UTM), "jug": ball(0.3, UTM + 1.0)}
    write_meshes(parts, tmp_path / "mesh.glb")
    scene = trimesh.load_scene(tmp_path / "mesh.glb", process=False)
    for name, mesh in parts.items():
        matrix, geometry = scene.graph[name]
        vertices = scene.geometry[geometry].vertices @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(vertices, mesh.vertices, rtol=0, atol=1e-7)
    both = np.concatenate([mesh.vertices for mesh in parts.values()])
    again = read_mesh(tmp_path / "mesh.glb").vertices
    np.testing.assert_allclose(np.sort(again, axis=0), np.sort(both, axis=0), rtol=0, atol=1e-7)


@pytest.mark.parametrize("coarse", [True, False])
def test_points_keep_their_places(tmp_path: Path, coarse: bool) -> None:
    points = np.random.default_rng(1).normal(size=(50, 3)) + (UTM if coarse else 0.0)
    colors = np.random.default_rng(2).integers(0, 256, (50, 3), dtype=np.uint8)
    write_points(points, colors, tmp_path / "points.ply")
    cloud = trimesh.load(tmp_path / "points.ply")
    np.testing.assert_allclose(cloud.vertices, points, rtol=0, atol=0 if coarse else 1e-6)
    np.testing.assert_array_equal(cloud.colors[:, :3], colors)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1e6])
def test_any_unit_will_do(tmp_path: Path, suffix: str, scale: float) -> None:
    """Also tiny ones, of which eight decimals of an OBJ file would leave steps."""
    mesh, path = ball(60.0 * scale, np.array([512.3, -311.7, 803.1]) * scale), tmp_path / f"mesh{suffix}"
    write_mesh(mesh, path)
    np.testing.assert_allclose(read_mesh(path).vertices / scale, mesh.vertices / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", ["ply", "obj", "glb"])
def test_ordinary_meshes_keep_their_bits(tmp_path: Path, suffix: str) -> None:
    """Trimesh's own files, as ever: a DTU scan in millimetres, and an object of 3 cm in metres."""
    for number, mesh in enumerate(
        (ball(60.0, np.array([512.3, -311.7, 803.1])), ball(0.03, np.array([0.4, 0.1, 0.9])))
    ):
        assert not is_coarse(mesh.vertices)
        mesh, path = replace(mesh, seen=None), tmp_path / f"{number}.{suffix}"
        write_mesh(mesh, path)
        shape = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=mesh.colors, process=False)
        expected = shape.export(file_type=suffix)
        assert path.read_bytes() == (expected.encode() if isinstance(expected, str) else expected)
