"""What the tests of whole runs share: `train.py` in this process, on tiny scenes, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from nto3d.cli import main
from tests.helpers import write_dtu_scene

# A scene and a trainer as small as they get, with the masks of the scene; later arguments win.
TINY = (
    *("scene=dtu", "scene.path=box", "trainer=smoke", "device=cpu", "threads=2", "output=run", "logger=none"),
    *("trainer.steps=3", "evaluate.enabled=false", "evaluate.report=false", "export.resolution=16"),
    "segmenter=precomputed",
)

Train = Callable[..., int]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Runs change the number of threads; `NTO3D_DEBUG` would change what is printed."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A scene of 6 views of 32 x 24 pixels with masks, depths and a mesh."""
    write_dtu_scene(tmp_path / "box", depths=True, mesh=True)
    return tmp_path / "box"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scene `box` and a finished `run` of three steps; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("finished")
    write_dtu_scene(folder / "box", depths=True, mesh=True)
    paths = [f"scene.path={folder / 'box'}", f"output={folder / 'run'}"]
    threads = torch.get_num_threads()
    assert main([*TINY, *paths]) == 0
    torch.set_num_threads(threads)
    return folder
