"""A run measured again, with and without named objects, and any mesh."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nto3d.cli import main
from nto3d.export.mesh_io import read_mesh, write_mesh
from nto3d.runs import stored
from nto3d.runs.after.evaluate import evaluate
from nto3d.trials.places import SAMPLE
from nto3d.types import BoolArray, Mesh
from tests.halves import write_halves
from tests.runs.pointing import refusal

CLICKED = 3
# Geometry that is right from the start
BALL = ("field.start=sphere", "field.sphere_radius=0.5", "field.init_inv_std=100", "lift.scene_steps=1")
QUICK = (
    *("scene=dtu", "trainer=smoke", "trainer.steps=20", "lift.max_rounds=0", "device=cpu", "threads=1"),
    *("logger=none", "evaluate.report=false", "evaluate.max_views=1", *BALL),
)


def metrics_of(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that are read."""
    paths: list[Path] = []
    load = stored.load_checkpoint

    def counted(path: Path, *rest: object) -> object:
        paths.append(path)
        return load(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "load_checkpoint", counted)
    return paths


def test_an_evaluation_repeats_that_of_the_run(run: Path, reads: list[Path]) -> None:
    before = metrics_of(run)
    found = evaluate(run, None, None, ["evaluate.chamfer_samples=4000"])
    after = metrics_of(run)
    assert found.items() <= after.items()
    assert before.keys() == after.keys()
    for key in ("psnr", "psnr_mask", "ssim", "mask_iou", "train_seconds"):
        assert after[key] == pytest.approx(before[key], rel=1e-4), key
    assert after["chamfer"] != before["chamfer"]  # drawn anew, from fewer points
    assert after["chamfer"] == pytest.approx(before["chamfer"], rel=0.1)
    assert reads == [run / "checkpoint.pt"]


def test_another_mesh_of_the_scene_needs_no_checkpoint(run: Path) -> None:
    before = (run / "metrics.json").read_bytes()
    (run / "checkpoint.pt").unlink()
    found = evaluate(run, SAMPLE / "gt_mesh.ply", None, [])
    assert found["chamfer_relative"] < 1e-2
    assert "psnr" not in found
    assert (run / "metrics.json").read_bytes() == before


def middle(mask: BoolArray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [int(np.rint(columns.mean())), int(np.rint(rows.mean()))]


def test_named_objects_are_measured_each_and_together(tmp_path: Path, reads: list[Path]) -> None:
    scene, run = tmp_path / "halves", tmp_path / "run"
    masks = write_halves(scene, 12, (48, 64))
    clicks = [{"index": CLICKED, "point": [middle(masks[name][CLICKED])], "object": name} for name in masks]
    (scene / "prompts.json").write_text(json.dumps({"frames": clicks}))
    assert main([*QUICK, f"scene.path={scene}", f"output={run}"]) == 0
    before = metrics_of(run)
    found = evaluate(run, None, None, [])
    assert metrics_of(run).keys() == before.keys()
    assert reads == [run / "checkpoint.pt"]
    for key in ("red.vertices", "blue.volume", "red.lift_mask_iou", "volume_in_common", "mask_iou", "psnr_mask"):
        assert found[key] == pytest.approx(before[key], rel=1e-4, abs=1e-6), key
    for key in ("red.chamfer", "blue.chamfer", "chamfer"):
        assert found[key] == pytest.approx(before[key], rel=0.1), key
    for name in masks:
        assert found[f"{name}.faces"] == len(read_mesh(run / f"mesh_{name}.ply").faces)
    # another mesh: the true one of both together
    true = [read_mesh(scene / f"gt_mesh_{name}.ply") for name in masks]
    faces = np.concatenate([true[0].faces, true[1].faces + len(true[0].vertices)])
    write_mesh(Mesh(np.concatenate([one.vertices for one in true]), faces), tmp_path / "both.ply")
    other = evaluate(run, tmp_path / "both.ply", None, [])
    assert other["chamfer"] < 0.5 * found["chamfer"]
    assert not [key for key in other if "." in key]
    (run / "mesh_red.ply").unlink()
    assert "mesh_red.ply: expected a PLY mesh" in refusal(evaluate, run, None, None, [])


def test_a_mesh_against_another_and_points(tmp_path: Path) -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    mesh, truth, points = (tmp_path / name for name in ("a.ply", "b.ply", "points.npz"))
    write_mesh(Mesh(square, faces), mesh)
    write_mesh(Mesh(square + [0, 0, 0.1], faces), truth)
    np.savez(points, xyz=np.array([[0.5, 0.5, 0.3], [0.5, 0.5, -0.1]]))
    metrics = evaluate(None, mesh, truth, [f"evaluate.points={points}"])
    assert metrics["points_mean"] == pytest.approx(0.2, abs=1e-6)
    assert metrics["chamfer"] == pytest.approx(0.1, abs=2e-3)
    assert metrics["normal_error"] == pytest.approx(0.0, abs=1e-6)
    for arguments, words in (
        ((None, mesh, None, []), "nothing to compare with"),
        ((None, None, truth, []), "expected run=RUN or mesh=FILE"),
        ((None, mesh, truth, ["seed=1"]), "seed: expected evaluate.*"),
        ((None, Path("gone.ply"), truth, []), "gone.ply: expected a PLY mesh"),
        ((tmp_path, None, truth, []), "truth: cannot be used together with run"),
        ((tmp_path, None, None, ["seed=1"]), "seed: cannot be changed"),
    ):
        assert words in refusal(evaluate, *arguments)


def test_broken_metrics_of_a_run_are_one_line(run: Path) -> None:
    (run / "metrics.json").write_text("{")
    assert "metrics.json: expected the metrics that train.py writes" in refusal(evaluate, run, None, None, [])
