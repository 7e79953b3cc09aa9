"""scripts/dev/ablate_features.py with real trainings; the rest: tests/trials/ablation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers import write_dtu_scene
from tests.scripts.conftest import ROOT

SCRIPT = ROOT / "scripts" / "dev" / "ablate_features.py"
QUICK = (
    *("scene=dtu", "scene.path=box", "sample=false", "seeds=[0]", "field.start=sphere", "trainer=smoke"),
    *("trainer.steps=3", "device=cpu", "threads=1", "export.resolution=16"),
)


def _with_interrupts() -> None:
    """Tests that run in the background of a shell inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the script in a process of its own on a tiny scene; later arguments win."""
    write_dtu_scene(tmp_path / "box", mesh=True)
    environment = {key: value for key, value in os.environ.items() if key != "NTO3D_DEBUG"}

    def call(*more: str) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, str(SCRIPT), *QUICK, *more], subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_with_interrupts
        )

    return call


@pytest.mark.slow
def test_real_trainings(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Two fields, one seed, three steps; then again, with nothing left to do."""
    done = start()
    _, said = done.communicate(timeout=300)
    assert (done.returncode, said) == (0, "")
    results = json.loads((tmp_path / "runs" / "ablation" / "results.json").read_text())
    runs = {run["field"]: run["metrics"] for run in results["runs"]}
    assert 0.0 < runs["neus_feature"]["feature_cosine"] <= 1.0
    assert "feature_cosine" not in runs["neus"]
    assert all(0.05 < metrics["peak_memory_gb"] < 8 for metrics in runs.values())
    table = (tmp_path / "runs" / "ablation" / "table.md").read_text()
    assert "    python scripts/dev/ablate_features.py scene=dtu scene.path=box " in table
    folder = tmp_path / "runs" / "ablation" / "box"
    configs = [yaml.safe_load((folder / name / "seed_0" / "config.yaml").read_text()) for name in runs]
    assert [config["field"].pop("feature") for config in configs] == [False, True]
    assert [config.pop("output") for config in configs] == [f"runs/ablation/box/{name}/seed_0" for name in runs]
    assert configs[0] == configs[1]  # nothing else differs
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = start()
    out, said = again.communicate(timeout=280)
    assert (again.returncode, said) == (0, "")
    assert "2 of them finished already" in out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == written


def test_a_real_failure_is_one_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    failed = start("evaluate.points=nowhere.npz")
    _, said = failed.communicate(timeout=280)
    assert failed.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith("error: box neus seed 0: train.py failed (exit code 2): nowhere.npz")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interruption_stops_the_training(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    running = start("trainer.steps=100000")
    log = tmp_path / "runs" / "ablation" / "box" / "neus" / "seed_0" / "scalars.csv"
    until = time.monotonic() + 240
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.1)
    running.send_signal(number)  # to the script alone: it has to stop the training itself
    _, said = running.communicate(timeout=280)
    assert running.returncode == 130
    assert said.split() == ["interrupted"]
    size = log.stat().st_size
    time.sleep(1.0)
    assert log.stat().st_size == size
