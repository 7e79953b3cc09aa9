"""scripts/bench.py in a process that starts others; the rest: tests/trials/bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.conftest import ROOT, Script


def test_a_part_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    sizes = ["parts=[mesh]", "resolutions=[16]", "quick=true", "device=cpu"]
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), f"out={out}", *sizes]
    done = subprocess.run(command, cwd=tmp_path, check=True, timeout=300, capture_output=True, text=True)
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["part"], row["what"], row["size"]) == ("mesh", "sparse", 16)
    assert 0.05 < row["peak_before_gb"] <= row["peak_gb"] < 8
    assert "mesh" in done.stdout
    assert done.stdout.endswith(f"\n\nwrote {out}\n")
    assert "measured mesh 16 sparse (cpu)\n" in done.stderr


def test_bad_arguments_are_one_line(script: Script, capfd: pytest.CaptureFixture[str]) -> None:
    assert script("bench", "parts=[grid]") == 2
    assert script("bench", "quick=perhaps") == 2
    parts, quick = capfd.readouterr().err.splitlines()
    assert parts.startswith("error: parts: expected some of hashgrid, step, mesh, surface")
    assert "quick" in quick
