"""What the tests of whole runs share: `train.py` in this process, on tiny scenes, in a folder of its own.

One thread, unless a test is about several: the cores are busy with other test processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import write_dtu_scene

# A scene and a trainer as small as they get, with the masks of the scene; later arguments win.
TINY = (
    *("scene=dtu", "scene.path=box", "trainer=smoke", "device=cpu", "threads=1", "output=run", "logger=none"),
    *("trainer.steps=3", "evaluate.enabled=false", "evaluate.report=false", "export.resolution=16"),
    *("segmenter=precomputed", "field.start=sphere"),  # without the comparison of neighbouring pictures
)


@pytest.fixture(autouse=True, scope="package")
def _small_turntables() -> Iterator[None]:
    """A report renders some thirty pictures of a mesh; what they show is tested in tests/report."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("nto3d.stages.reconstruct.assess", "nto3d.runs.single"):
            patch.setattr(f"{module}.TURNTABLE", (60, 60))
        yield


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`NTO3D_DEBUG` would change what is printed."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A scene of 6 views of 32 x 24 pixels with masks, depths and a mesh."""
    write_dtu_scene(tmp_path / "box", depths=True, mesh=True)
    return tmp_path / "box"
