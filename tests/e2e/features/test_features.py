"""`field=neus_feature` through `train.py`: what it leaves, resuming, exporting again, and without masks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.cli import main
from nto3d.export.mesh_io import read_mesh
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.training.loop import Objective
from tests.helpers import SAMPLE, write_dtu_scene
from tests.scripts.conftest import Script, script

__all__ = ["script"]  # the fixture
RUN = (
    *("scene=dtu", "scene.path=ball", "segmenter=precomputed", "field=neus_feature", "trainer=smoke", "device=cpu"),
    *("threads=1", "trainer.steps=30", "trainer.checkpoint_every=15", "export.resolution=24"),
    *("field.start=sphere", "field.sphere_radius=0.5"),  # the ball's
)
QUIET = ("evaluate.enabled=false", "evaluate.report=false", "logger=none")


@pytest.fixture(autouse=True)
def _ball(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path / "ball", views=9, size=(48, 64))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the same scene, everything measured and reported; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("features")
    write_dtu_scene(folder / "ball", views=9, size=(48, 64))
    where = (f"scene.path={folder / 'ball'}", f"output={folder / 'run'}")
    assert main([*RUN, "trainer.image_every=30", *where]) == 0
    return folder / "run"


def tensors(run: Path) -> dict[str, torch.Tensor]:
    model = torch.load(run / "checkpoint.pt", weights_only=True)["model"]
    return {name: value for name, value in model.items() if isinstance(value, torch.Tensor)}


def test_a_run_leaves_features_of_every_vertex_pictures_and_figures(whole: Path) -> None:
    run = whole
    mesh, colored = read_mesh(run / "mesh.ply"), read_mesh(run / "features.ply")
    assert np.array_equal(mesh.vertices, colored.vertices)
    with np.load(run / "features.npz", allow_pickle=False) as stored:
        assert stored["features"].shape == (len(mesh.vertices), 32)
        assert stored["axes"].shape == (32, 3)
        assert np.isfinite(stored["features"].astype(np.float32)).all()
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0.5 < metrics["feature_cosine"] <= 1.0
    assert 0.5 < metrics["feature_constant"] <= 1.0
    report = (run / "report.html").read_text()
    assert "<h2>Features</h2>" in report
    assert "rendered features" in report
    assert ">Features</b>" in report  # the turntable
    events = b"".join(path.read_bytes() for path in (run / "tensorboard").iterdir())
    assert b"features_encoder" in events
    assert (run / "scalars.csv").read_text().count(",feature,") == 3


def test_without_the_field_nothing_of_it_is_there() -> None:
    assert main([*RUN, *QUIET, "output=run", "field=neus"]) == 0
    assert not [path.name for path in Path("run").iterdir() if "feature" in path.name]
    assert not [name for name in tensors(Path("run")) if name.startswith("features.")]
    assert "feature" not in (Path("run") / "scalars.csv").read_text()


def test_a_resumed_run_ends_with_the_same_bits(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Reconstruction.prepare

    def stopping(self: Objective, step: int) -> None:
        if step == 20:
            raise KeyboardInterrupt
        prepare(self, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Reconstruction, "prepare", stopping)
    assert main([*RUN, *QUIET, "output=part"]) == 130
    monkeypatch.setattr(Reconstruction, "prepare", prepare)
    assert main(["resume=part"]) == 0
    expected, part = tensors(whole), tensors(Path("part"))
    assert expected.keys() == part.keys()
    assert [name for name in expected if not torch.equal(expected[name], part[name])] == []
    for name in ("mesh.ply", "features.ply", "features.npz"):
        assert (whole / name).read_bytes() == Path("part", name).read_bytes(), name


def test_exporting_again_brings_the_features_up_to_date(whole: Path, script: Script) -> None:
    shutil.copytree(whole, "run")
    before = Path("run/features.npz").read_bytes()
    assert script("export_mesh", "run=run", "export.resolution=40", "export.output=other.ply") == 0
    assert script("export_mesh", "run=run", "export.resolution=40", "export.format=glb") == 0
    assert Path("run/features.npz").read_bytes() == before  # those are of mesh.ply
    there = str(Path("run/mesh.ply").resolve())  # the same file, named otherwise
    assert script("export_mesh", "run=run", "export.resolution=40", f"export.output={there}") == 0
    with np.load("run/features.npz", allow_pickle=False) as stored:
        assert len(stored["features"]) == len(read_mesh(Path("run/mesh.ply")).vertices)


def test_without_masks_everything_has_features() -> None:
    assert main([*RUN, "output=run", "scene.masks=none", "logger=none", "evaluate.report=false"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["feature_cosine"] > 0.3


@pytest.mark.parametrize("masks", [(), ("segmenter=grabcut", "prompts.view=0", "prompts.points=[[32,24]]")])
@pytest.mark.parametrize("given", [(), ("segmenter.checkpoint=nowhere.pth",)])
def test_sam_features_need_a_checkpoint_from_the_start(
    capfd: pytest.CaptureFixture[str], masks: tuple[str, ...], given: tuple[str, ...]
) -> None:
    assert main([*RUN, *QUIET, *masks, *given, "output=run", "field.feature_source=sam"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert "segmenter.checkpoint" in lines[-1]
    assert len(lines) <= 2  # nothing was done before


@pytest.mark.parametrize("field", ["neus", "neus_feature"])
def test_training_views_without_the_target_are_one_line(capfd: pytest.CaptureFixture[str], field: str) -> None:
    for view in range(1, 9):
        Image.new("L", (64, 48)).save(f"ball/mask/{view:03d}.png")
    assert main([*RUN, *QUIET, "output=run", f"field={field}", "scene.test_views=[0]"]) == 2
    assert "masks of the training views" in capfd.readouterr().err.splitlines()[-1]


def test_features_are_learnt_better_than_the_best_constant() -> None:
    """The head begins as a constant, which no later than now would be found out."""
    assert main([*RUN, "output=run", "trainer.steps=150", "logger=none", "evaluate.report=false"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["feature_cosine"] > metrics["feature_constant"] + 0.03


@pytest.mark.slow
def test_the_sample_in_full(tmp_path: Path) -> None:
    """The acceptance figures: held-out views of the sample, classical features."""
    sample = f"scene.path={SAMPLE}"
    rest = ("segmenter=precomputed", "field=neus_feature", "device=cpu", "evaluate.report=false", "logger=none")
    assert main([sample, *rest, f"output={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["feature_cosine"] >= 0.90
    assert metrics["feature_cosine"] >= metrics["feature_constant"] + 0.15
