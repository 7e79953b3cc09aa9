"""The scripts that work on a finished run: export, evaluation, pictures."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from nto3d.export.mesh_io import read_mesh, write_mesh
from nto3d.types import Mesh
from tests.scripts.conftest import ROOT, Script

SAMPLE = ROOT / "datasets" / "sample"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    return folder


def test_an_export_needs_no_pictures_and_equals_the_run_s_own_mesh(script: Script, run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["scene"]["path"] = "gone"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = read_mesh(run / "mesh.ply")
    with np.load(run / "mesh.npz", allow_pickle=False) as arrays:
        counts = arrays["seen"]
    for name in ("mesh.ply", "mesh.npz"):
        (run / name).unlink()
    assert script("export_mesh", f"run={run}", "device=cpu") == 0
    after = read_mesh(run / "mesh.ply")
    assert np.array_equal(before.faces, after.faces)
    np.testing.assert_allclose(before.vertices, after.vertices, atol=1e-3)
    assert after.seen is not None
    assert before.seen is not None
    np.testing.assert_array_equal(before.seen, after.seen)
    np.testing.assert_array_equal(counts, after.seen)
    with np.load(run / "mesh.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["seen"], counts)
        np.testing.assert_allclose(arrays["vertices"], after.vertices, atol=1e-4)
        assert sorted(arrays) == ["colors", "faces", "seen", "vertices"]


def test_unseen_surface_can_be_trimmed_afterwards(script: Script, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "open.ply"
    closed = read_mesh(run / "mesh.ply")
    assert script("export_mesh", f"run={run}", "export.unseen=trim", f"export.output={path}") == 0
    trimmed = read_mesh(path)
    assert closed.seen is not None
    assert trimmed.seen is not None
    assert len(trimmed.faces) < len(closed.faces)
    assert (trimmed.seen > 0).mean() > (closed.seen > 0).mean()


def test_an_older_checkpoint_exports_what_it_can(script: Script, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["sight"]
    torch.save(state, run / "checkpoint.pt")
    assert script("export_mesh", f"run={run}") == 0
    assert "older version" in caplog.text
    assert read_mesh(run / "mesh.ply").seen is None


def test_an_export_in_another_format_and_resolution(script: Script, run: Path, tmp_path: Path) -> None:
    coarse = read_mesh(run / "mesh.ply")
    assert script("export_mesh", f"run={run}", "export.resolution=96", "export.format=glb") == 0
    fine = read_mesh(run / "mesh.glb")
    assert len(fine.faces) > 2 * len(coarse.faces)
    assert fine.colors is not None
    assert script("export_mesh", f"run={run}", f"export.output={tmp_path / 'other.obj'}", "export.colors=false") == 0
    assert read_mesh(tmp_path / "other.obj").colors is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export.resolution=0"], "export.resolution"),
        (["export.format=stl"], "export.format"),
        (["export.unseen=drop"], "export.unseen"),
        (["export.output=mesh.stl"], "expected a file ending in ply or obj or glb"),
        (["export.output=mesh.obj", "export.format=glb"], "expected a file ending in glb"),
        (["export.output=gone/mesh.ply"], "in a folder that exists"),
        (["trainer.steps=3"], "trainer.steps: cannot be changed"),
        (["export.resolutoin=3"], "unknown key export.resolutoin"),
        (["device=gpu"], "device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_export_is_one_line(
    script: Script, trained: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert script("export_mesh", f"run={trained}", *arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_a_checkpoint_that_cannot_be_used_is_one_line(
    script: Script, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails_with(words: str) -> None:
        capfd.readouterr()
        assert script("export_mesh", f"run={run}") == 2
        assert words in capfd.readouterr().err.splitlines()[-1]

    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["world_from_normalized"]
    torch.save(state, run / "checkpoint.pt")
    fails_with("one of an older version")
    whole = (run / "checkpoint.pt").read_bytes()
    (run / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    fails_with("truncated or foreign")
    (run / "checkpoint.pt").unlink()
    fails_with("found no such file")
    assert script("export_mesh") == 2
    assert script("export_mesh", "run=gone") == 2


def test_an_evaluation_repeats_that_of_the_run(script: Script, run: Path) -> None:
    before = json.loads((run / "metrics.json").read_text())
    assert script("evaluate", f"run={run}", "evaluate.chamfer_samples=4000") == 0
    after = json.loads((run / "metrics.json").read_text())
    assert before.keys() == after.keys()
    for key in ("psnr", "psnr_mask", "ssim", "mask_iou", "train_seconds"):
        assert after[key] == pytest.approx(before[key], rel=1e-4), key
    assert after["chamfer"] != before["chamfer"]  # drawn anew, from fewer points
    assert after["chamfer"] == pytest.approx(before["chamfer"], rel=0.1)


def test_a_mesh_against_another_and_points(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    write_mesh(Mesh(square, faces), tmp_path / "a.ply")
    write_mesh(Mesh(square + [0, 0, 0.1], faces), tmp_path / "b.ply")
    np.savez(tmp_path / "points.npz", xyz=np.array([[0.5, 0.5, 0.3], [0.5, 0.5, -0.1]]))
    mesh, truth = f"mesh={tmp_path / 'a.ply'}", f"truth={tmp_path / 'b.ply'}"
    out = tmp_path / "out.json"
    assert script("evaluate", mesh, truth, f"evaluate.points={tmp_path / 'points.npz'}", f"out={out}") == 0
    metrics = json.loads(out.read_text())
    assert metrics["points_mean"] == pytest.approx(0.2, abs=1e-6)
    assert metrics["chamfer"] == pytest.approx(0.1, abs=2e-3)
    assert metrics["normal_error"] == pytest.approx(0.0, abs=1e-6)
    capfd.readouterr()
    for arguments, words in (
        ([mesh], "nothing to compare with"),
        ([], "expected run=RUN or mesh=FILE"),
        ([mesh, truth, "seed=1"], "seed: expected evaluate.*"),
        (["mesh=gone.ply", truth], "gone.ply: expected a mesh file"),
    ):
        assert script("evaluate", *arguments) == 2
        assert words in capfd.readouterr().err


def test_pictures_of_meshes_and_runs(script: Script, trained: Path, tmp_path: Path) -> None:
    truth, out = f"mesh={SAMPLE / 'gt_mesh.ply'}", tmp_path / "view.png"
    assert script("view_mesh", truth, f"scene={SAMPLE}", "view=0", f"out={out}") == 0
    picture = cv2.imread(str(out))
    mask = cv2.imread(str(SAMPLE / "mask" / "000.png"), cv2.IMREAD_GRAYSCALE) > 127
    drawn = np.ptp(picture.astype(int) - picture[0, 0], axis=2) > 0
    assert picture.shape == (*mask.shape, 3)
    assert drawn[mask].mean() > 0.97  # the camera sees the target where its picture does
    assert script("view_mesh", truth, "frames=2", "size=40", f"out={out}") == 0
    assert cv2.imread(str(out)).shape == (40, 80, 3)
    assert script("view_mesh", truth, "frames=0") == 2
    assert script("make_figure", f"run={trained}", f"out={tmp_path / 'figure.png'}", "view=1") == 0
    assert cv2.imread(str(tmp_path / "figure.png")).shape == (60, 5 * 80 + 4 * 4, 3)
    assert script("make_figure", f"run={trained}", "view=99") == 2
