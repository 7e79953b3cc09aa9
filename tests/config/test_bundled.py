"""Where configs/ and the sample are found: in a checkout, from any folder, and in an installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nto3d
from nto3d.config import bundled
from nto3d.config.bundled import cache_folder, config_folder, find_scene
from nto3d.config.compose import CONFIG_FOLDER, compose_config
from nto3d.config.schema import Reader
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.folder import load_run_config, write_run_config
from tests.helpers import ROOT

SAMPLE = ROOT / "datasets" / "sample"


def test_a_checkout_uses_its_own() -> None:
    assert not bundled.INSTALLED
    assert config_folder() == CONFIG_FOLDER == ROOT / "configs"


def test_the_sample_keeps_its_short_path_where_that_leads_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert compose_config([]).scene.path == "datasets/sample"
    monkeypatch.chdir(ROOT / "datasets")
    assert compose_config([]).scene.path == str(SAMPLE)
    assert compose_config(["scene=dtu", "scene.path=./datasets/sample/"]).scene.path == str(SAMPLE)
    assert len(load_scene(compose_config([]).scene).images) == 32
    assert len(nto3d.load_scene("datasets/sample", downscale=4).images) == 32


def test_other_scenes_are_where_they_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("datasets/other", "sample", "datasets", "", str(SAMPLE), "datasets/sample/none", "datasets/sampled"):
        assert find_scene(path) == path
    assert compose_config(["scene=concave"]).scene.path == "datasets/concave"  # made below the current folder
    made = compose_config(["scene=synthetic", "scene.recipe=sample", "scene.seed=3"]).scene
    assert (made.reader, made.path) == (Reader.synthetic, "datasets/sample")  # a new one, not the bundled
    (tmp_path / "datasets" / "sample").mkdir(parents=True)
    assert compose_config([]).scene.path == "datasets/sample"  # the user's own


def test_a_run_of_the_repository_goes_on_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = compose_config([f"output={tmp_path}"])
    write_run_config(tmp_path, config)
    assert "path: datasets/sample\n" in (tmp_path / "config.yaml").read_text()
    assert load_run_config(tmp_path) == config
    monkeypatch.chdir(tmp_path)
    assert load_run_config(tmp_path).scene.path == str(SAMPLE)


def test_missing_configuration_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"configs/config\.yaml: expected the configuration .* pip install"):
        config_folder()


def test_embeddings_lie_with_the_scene_but_never_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, photo = tmp_path / "nto3d" / "bundled" / "datasets" / "sample", tmp_path / "photo.jpg"
    sample.mkdir(parents=True)
    photo.touch()
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "nto3d" / "bundled")
    assert cache_folder(sample) == sample / ".cache"
    assert cache_folder(photo) == tmp_path / ".cache"
    monkeypatch.setattr(bundled, "INSTALLED", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder(sample) == tmp_path / "cache" / "nto3d" / "sample"
    assert cache_folder(photo) == tmp_path / ".cache"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(sample) == tmp_path / ".cache" / "nto3d" / "sample"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an installation, without the network's weights."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "nto3d", site / "nto3d", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copytree(ROOT / "configs", site / "nto3d" / "bundled" / "configs")
    shutil.copytree(SAMPLE, site / "nto3d" / "bundled" / "datasets" / "sample", ignore=shutil.ignore_patterns(".cache"))
    return site


def run_installed(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NTO3D_DEBUG", None)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_an_installation_finds_what_it_brought_along(site: Path, tmp_path: Path) -> None:
    code = """
import json
from nto3d.config import bundled
from nto3d.config.compose import compose_config
from nto3d.data.load import load_scene
from nto3d.segment.sam.published import WEIGHTS_FOLDER, fetch_command
config = compose_config([])
found = [bundled.INSTALLED, config.scene.path, len(load_scene(config.scene).images), str(WEIGHTS_FOLDER)]
print(json.dumps([*found, compose_config(["scene=concave"]).scene.path, fetch_command("sam_vit_b_01ec64")]))
"""
    done = run_installed(site, tmp_path, "-c", code)
    assert done.stderr == ""
    installed, path, views, weights, made, fetch = json.loads(done.stdout)
    assert installed
    assert path == str(site / "nto3d" / "bundled" / "datasets" / "sample")
    assert views == 32
    assert (weights, made) == ("weights", "datasets/concave")  # both below the current folder
    assert fetch.startswith("curl --create-dirs -o weights/sam_vit_b_01ec64.pth https://")
    assert list(tmp_path.iterdir()) == []


def test_an_installation_is_started_by_its_own_name(site: Path, tmp_path: Path) -> None:
    shown = run_installed(site, tmp_path, "-m", "nto3d", "--help").stdout
    assert "  python -m nto3d resume=RUN_DIR " in shown
    assert "train.py" not in shown
    wrong = run_installed(site, tmp_path, "-m", "nto3d", "zzz=1")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: unknown key zzz (python -m nto3d --help lists all keys)\n"
    shutil.move(site / "nto3d" / "bundled" / "configs" / "config.yaml", tmp_path / "config.yaml")
    try:
        gone = run_installed(site, tmp_path, "-m", "nto3d")
    finally:
        shutil.move(tmp_path / "config.yaml", site / "nto3d" / "bundled" / "configs" / "config.yaml")
    assert gone.returncode == 2
    assert gone.stderr.startswith(f"error: {site}/nto3d/bundled/configs/config.yaml: expected the configuration")
    assert len(gone.stderr.splitlines()) == 1
