"""A run folder that an earlier version wrote (commit faa4091) still resumes, exports and is evaluated.

`earlier_run/` is a lift and a reconstruction of the tests' ball that Ctrl-C stopped after step 9 of 12, with keys that
have other names today (`config.renamed`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from nto3d.cli import main
from nto3d.config.renamed import RENAMED, with_present_names
from nto3d.export.mesh_io import read_mesh
from nto3d.runs.after.evaluate import evaluate
from nto3d.runs.after.export import export_run
from nto3d.runs.folder import load_run_config
from nto3d.runs.stored import open_run
from tests.helpers import write_dtu_scene

EARLIER = Path(__file__).with_name("earlier_run")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_dtu_scene(tmp_path / "ball", 8, (48, 64))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(EARLIER, tmp_path / "run"))


def test_it_goes_on_and_is_exported_and_evaluated(run: Path) -> None:
    assert main([f"resume={run}"]) == 0
    assert json.loads((run / "metrics.json").read_text())["lift_rounds"] == 1
    before = read_mesh(run / "mesh.ply")
    assert len(before.faces) > 50
    (run / "mesh.ply").unlink()
    export_run(run, [])
    assert read_mesh(run / "mesh.ply").faces.tolist() == before.faces.tolist()
    assert {"psnr", "mask_iou"} <= set(evaluate(run, None, None, []))
    steps = [line.split(",")[0] for line in (run / "scalars.csv").read_text().splitlines()[1:]]
    assert steps[0] == "4"
    assert steps[-1] == "12"


def test_its_model_opens_without_pictures(run: Path) -> None:
    shutil.rmtree(run.parent / "ball")
    config = load_run_config(run)
    assert (config.lift.transfer_views, config.lift.geometry_gradient) == (2, 0.2)
    stored = open_run(run, config, torch.device("cpu"))
    assert stored.visibility is not None
    assert stored.world_from_normalized.shape == (4, 4)
    assert yaml.safe_load((run / "config.yaml").read_text())["lift"]["witnesses"] == 2


def test_a_key_s_earlier_name_is_told_the_present_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift.witnesses=3"]) == 2
    assert "error: unknown key lift.witnesses: it is called lift.transfer_views now" in capsys.readouterr().err


def test_names_change_in_place_only() -> None:
    tree = {"lift": {"witnesses": 3, "tol": 0.1}, "seed": 1}
    assert with_present_names(tree) == {"lift": {"transfer_views": 3, "tol": 0.1}, "seed": 1}
    assert tree["lift"] == {"witnesses": 3, "tol": 0.1}
    assert with_present_names({"seed": 1}) == {"seed": 1}
    assert not set(RENAMED) & set(RENAMED.values())
