"""Memory that runs out, under a real limit: one line names the key that asked for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import write_dtu_scene

ROOT = Path(__file__).resolve().parents[3]
SPARE = 400_000_000  # bytes that a run may take beside what is loaded before
COMMON = "scene=dtu scene.path=ball segmenter=precomputed device=cpu threads=1 trainer=smoke field.start=sphere "
COMMON += "field.exposure=off logger=none evaluate=none trainer.steps=1"
LARGEST = "encoding.log2_entries=24 encoding.levels=32 encoding.features=8 encoding.max_resolution=65536"
RUNS = {
    LARGEST: "encoding.log2_entries=24, hash tables of encoding.levels=32: there is not enough memory",
    "trainer.grid_resolution=1024": "trainer.grid_resolution=1024, cells along an axis of the occupancy grid: there is",
    "export.resolution=8192": "export.resolution=8192, cells along the mesh's longest side: there is not enough memory",
    "mode=single single.granularity=0.005": "single.granularity=0.005, places between -3 and 3: there is not enough",
}
SCRIPT = f"""
import resource, sys
import torch
from nto3d.cli import main
from nto3d.kernels.launch import start
import nto3d.runs.multiview, nto3d.runs.single
start()
torch.set_num_threads(1)
loaded = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (loaded + {SPARE},) * 2)
for number, arguments in enumerate(sys.argv[1:]):
    print(main([*{COMMON.split()!r}, *arguments.split(), f"output=run_{{number}}"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_what_asked_for_the_memory_is_named(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path / "ball", views=6, size=(48, 64), depths=True)
    command = [sys.executable, "-c", SCRIPT, *RUNS]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=True
    )
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["2"] * len(RUNS), done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(RUNS)
    for line, words in zip(errors, RUNS.values(), strict=True):
        assert line.startswith(f"error: {words}")
        assert " GB at once; " in line
    assert "Traceback" not in done.stderr
