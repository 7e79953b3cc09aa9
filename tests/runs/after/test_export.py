"""A run's mesh once more from its checkpoint: the same one, another one, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from nto3d.export.mesh_io import read_mesh
from nto3d.runs.after.evaluate import evaluate
from nto3d.runs.after.export import export_run
from nto3d.runs.owner import owned
from tests.runs.pointing import refusal


def test_an_export_needs_no_pictures_and_equals_the_run_s_own_mesh(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["scene"]["path"] = "gone"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = read_mesh(run / "mesh.ply")
    with np.load(run / "mesh.npz", allow_pickle=False) as arrays:
        counts = arrays["seen"]
    for name in ("mesh.ply", "mesh.npz"):
        (run / name).unlink()
    assert export_run(run, ["device=cpu"]) == run / "mesh.ply"
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


def test_nothing_is_written_beside_a_run_that_goes_on(run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with owned(run, ["train.py"], "resume"):
        assert "run: " in refusal(export_run, run, [])
        assert "is in use by process" in refusal(export_run, run, ["export.format=obj"])
        assert "is in use by process" in refusal(evaluate, run, None, None, [])
        assert len(read_mesh(export_run(run, [f"export.output={tmp_path / 'beside.ply'}"])).faces) > 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_unseen_surface_can_be_trimmed_afterwards(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "open.ply"
    closed = read_mesh(run / "mesh.ply")
    export_run(run, ["export.unseen=trim", f"export.output={path}"])
    trimmed = read_mesh(path)
    assert closed.seen is not None
    assert trimmed.seen is not None
    assert len(trimmed.faces) < len(closed.faces)
    assert (trimmed.seen > 0).mean() > (closed.seen > 0).mean()


def test_an_older_checkpoint_exports_what_it_can(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["sight"]
    torch.save(state, run / "checkpoint.pt")
    export_run(run, [])
    assert "older version" in caplog.text
    assert read_mesh(run / "mesh.ply").seen is None


def test_an_export_in_another_format_and_resolution(run: Path, tmp_path: Path) -> None:
    coarse = read_mesh(run / "mesh.ply")
    assert export_run(run, ["export.resolution=96", "export.format=glb"]) == run / "mesh.glb"
    fine = read_mesh(run / "mesh.glb")
    assert len(fine.faces) > 2 * len(coarse.faces)
    assert fine.colors is not None
    export_run(run, [f"export.output={tmp_path / 'other.obj'}", "export.colors=false"])
    assert read_mesh(tmp_path / "other.obj").colors is None


@pytest.mark.parametrize(
    ("overrides", "words"),
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
def test_a_bad_export_is_one_line(trained: Path, overrides: list[str], words: str) -> None:
    assert words in refusal(export_run, trained, overrides)


def test_a_checkpoint_that_cannot_be_used_is_one_line(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["world_from_normalized"]
    torch.save(state, run / "checkpoint.pt")
    assert "one of an older version" in refusal(export_run, run, [])
    whole = (run / "checkpoint.pt").read_bytes()
    (run / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    assert "cut short or foreign" in refusal(export_run, run, [])
    (run / "checkpoint.pt").unlink()
    assert "there is no such file" in refusal(export_run, run, [])
    assert "expected the folder of a run" in refusal(export_run, Path("gone"), [])
