from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from nto3d.errors import InputError
from nto3d.export.mesh_io import read_mesh, vertex_colors, write_mesh, write_mesh_arrays, write_meshes
from nto3d.types import Mesh

CENTER = np.array([512.3, -311.7, 803.1])  # as DTU's millimetres


def ball(colored: bool) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=2, radius=60.0)
    colors = np.random.default_rng(0).integers(0, 256, (len(shape.vertices), 3), dtype=np.uint8) if colored else None
    return Mesh(np.asarray(shape.vertices) + CENTER, shape.faces.astype(np.int64), colors)


@pytest.mark.parametrize("colored", [True, False])
@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".PLY"])
def test_round_trip(tmp_path: Path, suffix: str, colored: bool) -> None:
    mesh, path = ball(colored), tmp_path / f"mesh{suffix}"
    write_mesh(mesh, path)
    again = read_mesh(path)
    np.testing.assert_allclose(again.vertices, mesh.vertices, rtol=1.2e-7)  # float32 of ~800 mm: 0.06 micrometres
    np.testing.assert_array_equal(again.faces, mesh.faces)
    if colored:
        np.testing.assert_array_equal(again.colors, mesh.colors)
    else:
        assert again.colors is None
    corners = again.vertices[again.faces] - CENTER
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(4 / 3 * np.pi * 60**3, rel=0.05)  # outward faces
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_meshes_are_named_nodes_of_one_file(tmp_path: Path) -> None:
    """Each at its own place: what reads all of it gets the same coordinates as from files of their own."""
    one = ball(True)
    two = replace(one, vertices=one.vertices + 200.0)
    write_meshes({"cup": one, "\u8336": two}, tmp_path / "mesh.glb")
    scene = trimesh.load_scene(tmp_path / "mesh.glb", process=False)
    assert set(scene.graph.nodes_geometry) == {"cup", "\u8336"}
    for name, mesh in (("cup", one), ("\u8336", two)):
        matrix, geometry = scene.graph[name]
        np.testing.assert_array_equal(matrix, np.eye(4))
        np.testing.assert_allclose(scene.geometry[geometry].vertices, mesh.vertices, rtol=1.2e-7)
        np.testing.assert_array_equal(scene.geometry[geometry].visual.vertex_colors[:, :3], mesh.colors)
    again = read_mesh(tmp_path / "mesh.glb")
    both = np.concatenate([one.vertices, two.vertices])[:, 0]
    np.testing.assert_allclose(np.sort(again.vertices[:, 0]), np.sort(both), rtol=1e-6)
    before = (tmp_path / "mesh.glb").read_bytes()
    with pytest.raises(InputError, match=r"mesh\.glb: expected a mesh of jug with faces to write"):
        write_meshes({"cup": one, "jug": replace(one, faces=one.faces[:0])}, tmp_path / "mesh.glb")
    assert (tmp_path / "mesh.glb").read_bytes() == before


def test_ply_is_binary_float32_with_byte_colors(tmp_path: Path) -> None:
    write_mesh(ball(True), tmp_path / "mesh.ply")
    header = (tmp_path / "mesh.ply").read_bytes().split(b"end_header")[0].decode()
    assert "format binary_little_endian 1.0" in header
    assert "property float x" in header
    assert "property uchar red" in header


def test_obj_holds_colors_behind_the_coordinates(tmp_path: Path) -> None:
    write_mesh(ball(True), tmp_path / "mesh.obj")
    lines = (tmp_path / "mesh.obj").read_text().splitlines()
    assert len(next(line for line in lines if line.startswith("v ")).split()) == 7


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
@pytest.mark.parametrize(
    "content", [b"", b"garbage \x00\xff", b"ply\nformat ascii 1.0\nelement vertex 9\nend_header\n"]
)
def test_damaged_files_are_input_errors(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"bad{suffix}: expected"):
        read_mesh(path)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_truncated_files_are_input_errors(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    write_mesh(ball(True), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=f"cut{suffix}: expected"):
        read_mesh(path)


def test_missing_files_and_unknown_types_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.ply: expected a PLY mesh, there is no such file"):
        read_mesh(tmp_path / "absent.ply")
    for path in (tmp_path / "mesh.stl", tmp_path / "mesh"):
        with pytest.raises(InputError, match=r"ending in \.ply, \.obj, \.glb"):
            write_mesh(ball(False), path)


def test_a_mesh_without_faces_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with faces"):
        write_mesh(Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64)), tmp_path / "mesh.ply")
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*mesh\.ply"):
        write_mesh(ball(False), tmp_path / "absent" / "mesh.ply")


def test_vertex_colors_are_rounded_and_clipped() -> None:
    mesh = Mesh(np.array([[0.0, 0.5, 1.0], [-1.0, 2.0, 0.25], [0.1, 0.2, 0.3]]), np.array([[0, 1, 2]]))
    calls: list[int] = []

    def color(x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32
        calls.append(len(x))
        return x

    colored = vertex_colors(mesh, color, chunk=2)
    assert colored.colors is not None
    np.testing.assert_array_equal(colored.colors, [[0, 128, 255], [0, 255, 64], [26, 51, 76]])
    assert calls == [2, 1]


@pytest.mark.parametrize("colored", [True, False])
def test_ply_keeps_how_many_views_see_a_vertex(tmp_path: Path, colored: bool) -> None:
    plain = ball(colored)
    mesh = replace(plain, seen=np.arange(len(plain.vertices)) * 1000)
    write_mesh(mesh, tmp_path / "mesh.ply")
    assert b"property ushort seen" in (tmp_path / "mesh.ply").read_bytes()
    again = read_mesh(tmp_path / "mesh.ply")
    assert again.seen is not None
    assert mesh.seen is not None
    np.testing.assert_array_equal(again.seen, mesh.seen.clip(0, 65535))
    assert (again.colors is None) == (plain.colors is None)
    for path in (tmp_path / "mesh.glb", tmp_path / "mesh.obj", tmp_path / "plain.ply"):
        write_mesh(plain if path.stem == "plain" else mesh, path)
        assert read_mesh(path).seen is None


def test_arrays_of_a_mesh(tmp_path: Path) -> None:
    plain = ball(True)
    mesh = replace(plain, seen=np.arange(len(plain.vertices)))
    write_mesh_arrays(mesh, tmp_path / "mesh.npz")
    with np.load(tmp_path / "mesh.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["colors", "faces", "seen", "vertices"]
        np.testing.assert_array_equal(arrays["vertices"], mesh.vertices)
        np.testing.assert_array_equal(arrays["faces"], mesh.faces)
        np.testing.assert_array_equal(arrays["colors"], plain.colors)
        np.testing.assert_array_equal(arrays["seen"], mesh.seen)
        assert (arrays["faces"].dtype, arrays["seen"].dtype) == (np.int32, np.uint16)
    write_mesh_arrays(ball(False), tmp_path / "mesh.npz")
    with np.load(tmp_path / "mesh.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["faces", "vertices"]
    with pytest.raises(InputError, match=r"cannot write .*mesh\.npz"):
        write_mesh_arrays(mesh, tmp_path / "absent" / "mesh.npz")
