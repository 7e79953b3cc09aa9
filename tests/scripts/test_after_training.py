"""The scripts that work on a finished run or on a mesh: what they print and write. The rest: tests/runs/after."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from nto3d.export.mesh_io import read_mesh
from nto3d.trials.places import SAMPLE
from tests.scripts.conftest import Script

TRUTH = f"mesh={SAMPLE / 'gt_mesh.ply'}"


def test_a_mesh_is_exported_again(script: Script, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert script("export_mesh", f"run={run}", "export.format=obj", "device=cpu") == 0
    assert capfd.readouterr().out == f"{run / 'mesh.obj'}\n"
    assert len(read_mesh(run / "mesh.obj").faces) == len(read_mesh(run / "mesh.ply").faces)
    assert script("export_mesh") == 2
    assert script("export_mesh", f"run={run}", "export.format=stl") == 2
    missing, form = capfd.readouterr().err.splitlines()
    assert missing.startswith("error: run is missing")
    assert "export.format" in form


def test_a_run_and_a_mesh_are_measured(
    script: Script, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert script("evaluate", f"run={run}", f"out={out}", "device=cpu") == 0
    metrics = json.loads(out.read_text())
    assert metrics.items() <= json.loads((run / "metrics.json").read_text()).items()
    assert capfd.readouterr().out.splitlines() == [f"{name:<18} {value:.4f}" for name, value in metrics.items()]
    assert script("evaluate", TRUTH, f"truth={run / 'mesh.ply'}") == 0
    assert capfd.readouterr().out.startswith("accuracy           ")
    assert script("evaluate") == 2
    assert script("evaluate", TRUTH) == 2
    neither, nothing = capfd.readouterr().err.splitlines()
    assert neither == "error: expected run=RUN or mesh=FILE"
    assert nothing.startswith("error: nothing to compare with: give truth=FILE")


def test_pictures_of_a_mesh_stand_side_by_side(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "view.png"
    assert script("view_mesh", TRUTH, "frames=2", "size=40", f"out={out}") == 0
    assert capfd.readouterr().out == f"{out}\n"
    assert cv2.imread(str(out)).shape == (40, 80, 3)
    assert script("view_mesh", TRUTH, "frames=0") == 2
    assert capfd.readouterr().err.startswith("error: frames: expected a number from 1 to 360, got 0")
