"""How many threads torch uses in the tests, how they wait, in which order files are tested; and a run to share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Read when torch is first imported: threads that wait must not keep the cores of other test processes busy
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

from nto3d.cli import main
from tests.helpers import SAMPLE

THREADS = torch.get_num_threads()
TESTS = Path(__file__).resolve().parent
WHOLE_RUNS = {"e2e", "scripts", "pipeline", "trials", "runs", "docs", "packaging", "test_api.py"}  # files and folders


@pytest.fixture(autouse=True)
def _usual_threads() -> Iterator[None]:
    """A run sets the number of threads; the next test begins with the usual one, whatever prepared its fixtures."""
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few seconds, not to be changed; its pictures are the bundled sample's."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    values = ["trainer=smoke", "trainer.steps=20", "logger=none", "evaluate.report=false", "device=cpu", "threads=1"]
    scene = [f"scene.path={SAMPLE}", "scene.downscale=4", "segmenter=precomputed", "field.start=sphere"]
    assert main([*values, *scene, f"output={folder}"]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first: a long file that starts last keeps one process busy while the others have nothing to do."""
    items.sort(key=lambda item: not WHOLE_RUNS & set(item.path.relative_to(TESTS).parts))
