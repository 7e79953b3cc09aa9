"""Readers of files beside a scene: depth of one picture, meshes, check points, caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from nto3d.data.synthetic import pool
from nto3d.depth.file import FileDepth
from nto3d.evaluate.geometry import load_points
from nto3d.export.mesh_io import read_mesh, write_meshes
from nto3d.segment.embeddings import EmbeddingCache
from nto3d.types import Mesh
from tests.fuzz.harness import Case, Reader
from tests.fuzz.mutate.archives import npy, npz
from tests.fuzz.mutate.meshes import glb, lines, ply
from tests.fuzz.mutate.pictures import png
from tests.fuzz.readers.scenes import SIZE, encoded, ply_seeds, saved

PICTURE = np.zeros((*SIZE, 3), dtype=np.uint8)
CALIBRATION = np.array([[8.0, 0, 4], [0, 8.0, 3], [0, 0, 1]])


def _depth(folder: Path, name: str, seeds: list[bytes]) -> Case:
    path = folder / name
    return Case(path, seeds, lambda: FileDepth(path, 0.5).point_map(PICTURE, CALIBRATION))


def _grid() -> np.ndarray:
    """A vertex for each pixel, [H * W, 3]."""
    return np.random.default_rng(2).random((SIZE[0] * SIZE[1], 3)) + 1.0


def _depth_png(folder: Path) -> Case:
    ramp = np.arange(1, 49).reshape(SIZE)
    return _depth(folder, "a.png", [encoded((ramp * 1000).astype(np.uint16)), encoded(ramp.astype(np.uint8))])


def _depth_array(folder: Path, kind: str) -> Case:
    depth = np.linspace(0, 3, 48).reshape(SIZE)
    if kind == "npy":
        arrays = [depth, depth.astype(np.float32), np.asfortranarray(depth.astype(np.float16))]
        return _depth(folder, "a.npy", [saved(lambda to, some=some: np.save(to, some)) for some in arrays])
    seeds = [
        saved(lambda to: np.savez(to, depth=depth)),
        saved(lambda to: np.savez_compressed(to, depth=depth, a=depth)),
    ]
    return _depth(folder, "a.npz", seeds)


def _depth_ply(folder: Path) -> Case:
    cloud = trimesh.PointCloud(_grid())
    return _depth(
        folder, "a.ply", [bytes(cloud.export(file_type="ply")), bytes(cloud.export(file_type="ply", encoding="ascii"))]
    )


def _obj(points: np.ndarray, rest: str = "") -> bytes:
    return "".join(f"v {' '.join(f'{value:g}' for value in row)}\n" for row in points).encode() + rest.encode()


def _depth_obj(folder: Path) -> Case:
    grid = _grid()
    return _depth(folder, "a.obj", [_obj(grid), _obj(np.hstack([grid, grid / 2]), "f 1 2 3\n# end\n")])


def _mesh(folder: Path, name: str, seeds: list[bytes]) -> Case:
    path = folder / name
    return Case(path, seeds, lambda: read_mesh(path))


def _mesh_obj(folder: Path) -> Case:
    box = trimesh.creation.box()
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in box.faces + 1)
    textured = "vt 0 0\nvt 1 1\nvn 0 0 1\n" + "".join(f"f {a}/1/1 {b}/2/1 {c}/1/1\n" for a, b, c in box.faces + 1)
    colored = np.hstack([box.vertices, np.full((8, 3), 0.5)])
    named = "mtllib a.mtl\no a\nusemtl b\n" + faces + "f 1 2 3 4\n"
    return _mesh(folder, "a.obj", [_obj(box.vertices, faces), _obj(box.vertices, textured), _obj(colored, named)])


def _mesh_glb(folder: Path) -> Case:
    box = trimesh.creation.box()
    plain = Mesh(box.vertices, box.faces.astype(np.int64), np.full((8, 3), 7, dtype=np.uint8))
    write_meshes({"a": plain, "b": plain}, folder / "two.glb")
    moved = trimesh.Scene()
    moved.add_geometry(box, transform=np.diag([2.0, 2.0, 2.0, 1.0]), node_name="a")
    return _mesh(folder, "a.glb", [(folder / "two.glb").read_bytes(), moved.export(file_type="glb")])


def _points(folder: Path) -> Case:
    path, xyz = folder / "a.npz", np.random.default_rng(3).random((9, 3))
    kinds = [
        saved(lambda to: np.savez(to, xyz=xyz)),
        saved(lambda to: np.savez_compressed(to, xyz=xyz.astype(np.float32), a=1)),
    ]
    return Case(path, kinds, lambda: load_points(path))


def _embedding(folder: Path) -> Case:
    cache = EmbeddingCache(folder, "0" * 64, {"precision": "float32"})
    values = np.random.default_rng(4).random((3, 2, 2)).astype(np.float32)
    cache.store("1" * 64, values)
    path = next(folder.rglob("*.npz"))
    return Case(path, [path.read_bytes()], lambda: cache.load("1" * 64, (3, 2, 2)))


def _pool(folder: Path) -> Case:
    spec = pool.PoolSpec(views=1, side=16, points=50, cells=24, cache=folder)
    pool.one_object(1, spec)
    path = next(folder.rglob("*.npz"))
    return Case(path, [path.read_bytes()], lambda: pool._read(path, spec))


FILES: dict[str, Reader] = {
    "single_depth_png": Reader(_depth_png, (png,)),
    "single_depth_npy": Reader(lambda folder: _depth_array(folder, "npy"), (npy,)),
    "single_depth_npz": Reader(lambda folder: _depth_array(folder, "npz"), (npz,)),
    "single_depth_ply": Reader(_depth_ply, (ply,)),
    "single_depth_obj": Reader(_depth_obj, (lines,)),
    "mesh_ply": Reader(lambda folder: _mesh(folder, "a.ply", ply_seeds()), (ply,)),
    "mesh_obj": Reader(_mesh_obj, (lines,)),
    "mesh_glb": Reader(_mesh_glb, (glb,), pace=0.5),
    "check_points": Reader(_points, (npz,)),
    "embedding": Reader(_embedding, (npz,)),
    "pool": Reader(_pool, (npz,)),
}
