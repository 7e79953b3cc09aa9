"""`kill -9` at any moment: the run goes on from its checkpoint and ends with the same bits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nto3d.cli import main
from tests.helpers import ROOT, write_dtu_scene

STEPS = 60
RUN = (
    *("scene=dtu", "scene.path=ball", "trainer=smoke", f"trainer.steps={STEPS}", "device=cpu", "threads=2"),
    *("trainer.log_every=1", "trainer.checkpoint_every=7", "logger=none", "export.resolution=24"),
    *("evaluate.enabled=false", "evaluate.report=false", "segmenter=precomputed"),
)


def start(*arguments: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "NTO3D_DEBUG"}
    command = [sys.executable, "-u", str(ROOT / "train.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def finish(*arguments: str) -> None:
    assert main(list(arguments)) == 0


def killed(line: int, delay: float, *arguments: str) -> bool:
    """Starts a run and kills it `delay` seconds after a line of its log; whether it was still running."""
    process = start(*arguments)
    assert process.stderr is not None
    for number, _ in enumerate(process.stderr):
        if number == line:
            break
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.stderr.close()
    return process.wait(timeout=1500) == -signal.SIGKILL


def same_bits(run: Path, other: Path) -> bool:
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (run, other)]
    assert [state["step"] for state in states] == [STEPS, STEPS]
    for part in ("model", "optimizer"):
        first, second = (dict(_flat(state[part])) for state in states)
        assert first.keys() == second.keys()
        differing = [name for name in first if not torch.equal(first[name], second[name])]
        assert differing == []
    return (run / "mesh.ply").read_bytes() == (other / "mesh.ply").read_bytes()


def _flat(tree: object, name: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(tree, torch.Tensor):
        return [(name, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else []
    return [pair for key, value in items for pair in _flat(value, f"{name}.{key}")]


def kill_and_go_on(moments: list[tuple[int, float]]) -> int:
    """Kills a run at each moment in turn, goes on each time; how many kills hit it while it ran."""
    hits = 0
    for line, delay in moments:
        if (Path("run") / "checkpoint.pt").exists():
            hits += killed(line, delay, "resume=run")
        else:  # killed before the first checkpoint: start again
            hits += killed(line, delay, *RUN, "output=run")
    if (Path("run") / "checkpoint.pt").exists():
        finish("resume=run")
    else:
        finish(*RUN, "output=run")
    return hits


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """An uninterrupted run, in a folder beside the scene."""
    write_dtu_scene(tmp_path / "ball", views=8, size=(48, 64))
    finish(*RUN, "output=whole")
    return tmp_path / "whole"


def test_a_killed_run_goes_on_where_its_checkpoint_was(whole: Path) -> None:
    """The first kill is before there is one."""
    assert kill_and_go_on([(0, 0.0), (33, 0.0)]) == 2
    assert same_bits(whole, Path("run"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_kills_at_five_random_moments(whole: Path) -> None:
    """Each run is killed twice: at a random moment, and soon after it went on."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(5):
        shutil.rmtree("run", ignore_errors=True)
        moments = [(int(line), float(rng.uniform(0.0, 0.03))) for line in (rng.integers(STEPS), rng.integers(8))]
        hits += kill_and_go_on(moments)
        assert same_bits(whole, Path("run"))
    assert hits >= 5
