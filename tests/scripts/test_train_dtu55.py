"""scripts/train_dtu55.sh: it says what is missing and, where all is there, goes from the click to the mesh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.click.bright_sam import write_bright_sam
from tests.helpers import write_dtu_scene
from tests.scripts.conftest import ROOT

SCENE = Path("datasets/dtu/dtu_scan55")
WEIGHTS = "sam_vit_h_4b8939.pth"
CLICK = {"frames": [{"index": 0, "point": [[32, 24]], "label": [1]}]}
QUICK = (
    *("trainer=smoke", "trainer.steps=3", "export.resolution=24", "logger=none", "device=cpu", "threads=1"),
    *("field.start=sphere", "field.sphere_radius=0.5", "evaluate.report=false", "output=run"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which all is as it should be: a ball in place of scan 55, a tiny SAM in place of vit_h."""
    write_dtu_scene(tmp_path / SCENE, views=9, size=(48, 64), masks=False)
    (tmp_path / SCENE / "anno_box.json").write_text(json.dumps(CLICK))
    write_bright_sam(tmp_path / WEIGHTS, level=60.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The script in the current folder, with this interpreter's environment as the active one."""
    environment = {key: value for key, value in os.environ.items() if key not in ("NTO3D_DEBUG", "CONDA_PREFIX")}
    environment["VIRTUAL_ENV"] = sys.prefix
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    command = ["bash", str(ROOT / "scripts" / "train_dtu55.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def complaints(*arguments: str) -> list[str]:
    done = train(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    return lines


@pytest.mark.slow
def test_from_the_click_to_the_mesh(here: Path) -> None:
    done = train(*QUICK)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert config["segmenter"]["name"] == "sam"
    assert (config["scene"]["path"], config["scene"]["name"]) == (str(SCENE), "dtu_scan55")
    assert config["prompts"]["file"] == str(SCENE / "anno_box.json")
    assert config["trainer"]["steps"] == 3  # the arguments win over the script's own
    assert len(list((here / "run" / "masks").glob("*.png"))) == 9
    assert (here / "run" / "mesh.ply").stat().st_size > 0
    assert list((here / SCENE / ".cache" / "sam").rglob("*.npz"))


@pytest.mark.usefixtures("here")
def test_all_that_is_missing_is_said_at_once() -> None:
    shutil.rmtree(SCENE)
    Path(WEIGHTS).unlink()
    data, click, weights = complaints()
    assert f"{SCENE}: " in data
    assert "data_DTU.zip" in data
    assert f"move its dtu_scan55 to {SCENE}" in data
    assert f"{SCENE / 'anno_box.json'}: " in click
    assert f"annotate.py 'scene={SCENE}' " in click
    assert f"{WEIGHTS}: " in weights
    assert "fetch_weights.py sam_vit_h_4b8939 folder=." in weights
    assert not Path("runs").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cameras_sphere.npz", "cameras_sphere.npz: expected DTU's cameras"),
        ("image", "image: expected DTU's pictures"),
        ("anno_box.json", "anno_box.json: expected a click on the object"),
    ],
)
def test_a_part_of_the_scene_is_missing(name: str, words: str) -> None:
    path = SCENE / name
    path.rename(f"moved_{name}")
    (line,) = complaints()
    assert f"{SCENE}/{words}" in line


@pytest.mark.usefixtures("here")
def test_other_places_can_be_named() -> None:
    Path(WEIGHTS).rename("tiny.pth")
    SCENE.rename("ball")
    Path("ball/anno_box.json").rename("click.json")
    elsewhere = ("scene.path=ball", "segmenter.checkpoint=tiny.pth", "prompts.file=click.json")
    assert complaints(*elsewhere[:1])[1].startswith(f"error: {WEIGHTS}: ")
    (line,) = complaints(*elsewhere[:2])
    assert line.startswith("error: ball/anno_box.json: ")
    (line,) = complaints(*elsewhere, "trainer.stepz=1")  # train.py's own
    assert "unknown key trainer.stepz" in line
    assert complaints("segmenter=grabcut", *elsewhere[::2], "trainer.stepz=1") == [line]  # needs no weights


def test_only_key_value(here: Path) -> None:
    (line,) = complaints("resume=run")
    assert line.startswith("error: resume=run: ")
    (line,) = complaints("-m")
    assert line.startswith("error: -m: ")
    assert not (here / "run").exists()
