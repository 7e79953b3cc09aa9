"""One short run that tests of what comes after a run share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few seconds, not to be changed; its pictures are the bundled sample's."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    values = ["trainer=smoke", "trainer.steps=20", "logger=none", "evaluate.report=false", f"output={folder}"]
    scene = [f"scene.path={ROOT / 'datasets' / 'sample'}", "scene.downscale=4", "segmenter=precomputed"]
    command = [sys.executable, "train.py", *values, *scene]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    return folder
