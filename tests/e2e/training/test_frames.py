"""The same scene in another world, in a folder with every kind of letter, gives the same mesh there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from nto3d.cli import main
from nto3d.data.dtu import read_dtu
from nto3d.export.mesh_io import read_mesh, write_mesh
from tests.e2e.conftest import TINY
from tests.helpers import write_dtu_scene

UTM, METRES = np.array([450000.0, 5400000.0, 300.0]), 0.01
FOLDER = "my folder (2)=x%, 'it'"


def scene(path: Path, world: np.ndarray) -> None:
    def move(entries: dict) -> dict:
        moved = {}
        for key, old in entries.items():
            exact = old.astype(np.float64)
            moved[key] = exact @ np.linalg.inv(world) if key.startswith("world") else world @ exact
        return moved

    write_dtu_scene(path, 9, (48, 64), mesh=True, edit_cameras=move)
    write_mesh(read_mesh(path / "gt_mesh.ply").transformed(world), path / "gt_mesh.ply")


@pytest.mark.usefixtures("box")
def test_a_scene_in_utm_gives_the_same_mesh(capfd: pytest.CaptureFixture[str]) -> None:
    world = np.diag([METRES, METRES, METRES, 1.0])
    world[:3, 3] = UTM
    scene(Path("plain"), np.eye(4))
    scene(Path(FOLDER), world)
    small = (*TINY, "trainer.steps=20", "field.start=sphere", "field.exposure=off", "export.resolution=24")
    measured = ("evaluate.enabled=true", "export.format=glb")
    assert main([*small, *measured, "scene.path=plain", "output=first"]) == 0
    assert main([*small, *measured, f"scene.path={FOLDER}", f"output={FOLDER}/run"]) == 0
    assert "mesh.glb: the node mesh is moved by (450000" in capfd.readouterr().err
    assert read_dtu(Path(FOLDER)).gt_mesh is not None
    plain = read_mesh(Path("first/mesh.ply"))
    size = float(np.ptp(plain.vertices, axis=0).max())
    for name in ("mesh.ply", "mesh.glb"):
        back = read_mesh(Path(FOLDER) / "run" / name).transformed(np.linalg.inv(world))
        distances, _ = cKDTree(back.vertices).query(plain.vertices)
        assert distances.max() < 0.01 * size, name
    with np.load(Path(FOLDER) / "run" / "mesh.npz") as arrays:
        np.testing.assert_array_equal(arrays["vertices"], read_mesh(Path(FOLDER) / "run" / "mesh.ply").vertices)
    assert main([f"resume={FOLDER}/run"]) == 0
