"""Forty times `kill -9` at random moments: every run goes on with the same command or `resume=`, to the same bits.

Prints what it did: pytest -m slow -s tests/e2e/training/test_kills.py
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nto3d.runs.owner import LOCK_NAME
from tests.e2e.single.test_train_mcc import SMALL
from tests.helpers import ROOT, write_dtu_scene

TINY = (
    *("scene=dtu", "scene.path=ball", "trainer=smoke", "field.start=sphere", "field.exposure=off", "device=cpu"),
    *("threads=1", "logger=none", "export.resolution=24", "evaluate.enabled=false", "evaluate.report=false"),
    *("lift.max_rays=256", "trainer.checkpoint_every=7"),
)
COMMANDS = {
    "click": (*TINY, "prompts.view=0", "prompts.points=[[32,24]]", "field.sphere_radius=0.5", "trainer.steps=20"),
    "given masks": (*TINY, "segmenter=precomputed"),
    "train_mcc": (*SMALL, "evaluate=none", "train_mcc.steps=80", "train_mcc.checkpoint_every=9"),
}
KILLS = {"click": 14, "given masks": 13, "train_mcc": 13}
CHAIN, EARLY = 3, 4  # kills of a run before it may end; of each command's that come before its first checkpoint
RESULT = {"train_mcc": "mcc.safetensors"}  # others: mesh.ply


@dataclass
class Pace:
    """Seconds from a run's claim of its folder to its first checkpoint, and to its end."""

    first: float
    whole: float


def start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key != "NTO3D_DEBUG"}
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    with Path("said.txt").open("ab") as said:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> float:
    """Until a file is there or the process is not; when that was."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)
    return time.perf_counter()


def digest(run: str, name: str) -> str:
    return hashlib.sha256((Path(run) / RESULT.get(name, "mesh.ply")).read_bytes()).hexdigest()


def uninterrupted(name: str) -> Pace:
    process = start(*COMMANDS[name], "output=whole")
    claimed = wait_for(Path("whole") / LOCK_NAME, process)
    first = wait_for(Path("whole/checkpoint.pt"), process)
    assert process.wait(timeout=900) == 0
    return Pace(first - claimed, time.perf_counter() - claimed)


def kill(moment: float, *arguments: str) -> bool:
    """Starts a run, kills it so many seconds after it has claimed its folder; whether it was still running."""
    before = (Path("run") / LOCK_NAME).stat().st_mtime_ns if (Path("run") / LOCK_NAME).exists() else 0
    process = start(*arguments)
    lock = Path("run") / LOCK_NAME
    while process.poll() is None and not (lock.exists() and lock.stat().st_mtime_ns != before):
        time.sleep(0.002)
    time.sleep(moment)
    process.kill()
    return process.wait(timeout=60) == -signal.SIGKILL


def go_on(number: int, name: str) -> tuple[str, ...]:
    """How a killed run goes on: with `resume=`, and without a checkpoint every second time with the same command."""
    begun = (Path("run") / "checkpoint.pt").exists()
    whole = (Path("run") / "config.yaml").exists()
    if begun or (number % 2 and whole):
        return ("resume=run",)
    return (*COMMANDS[name], "output=run")


@pytest.mark.slow
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("name", COMMANDS)
def test_kills_at_random_moments(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_dtu_scene(tmp_path / "ball", views=6, size=(48, 64))
    pace, rng = uninterrupted(name), np.random.default_rng(0)
    kills = early = runs = 0
    while kills < KILLS[name]:
        for number in range(min(CHAIN, KILLS[name] - kills)):
            arguments = go_on(kills, name)
            before_first = early < EARLY and number == 0
            moment = rng.uniform(0.0, 0.95 * pace.first) if before_first else rng.uniform(0.0, pace.whole)
            if not (hit := kill(moment, *arguments)):  # it was done before: not counted
                break
            kills += 1
            early += not (Path("run") / "checkpoint.pt").exists()
        if hit:
            assert start(*go_on(kills, name)).wait(timeout=900) == 0, Path("said.txt").read_text()[-2000:]
        runs += 1
        assert digest("run", name) == digest("whole", name)
        leftovers = [path.name for path in Path("run").rglob(".*")]
        assert leftovers == []
        Path("run").rename(f"run_{runs}")
    said = Path("said.txt").read_text()
    assert "Traceback" not in said
    assert "error: " not in said
    print(f"\n{name}: {kills} kills of {runs} runs, {early} before the first checkpoint; all ended with the same bits")
    print(f"  an uninterrupted run: {pace.first:.1f} s to its first checkpoint, {pace.whole:.1f} s in all")
    assert early >= EARLY
