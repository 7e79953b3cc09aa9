"""The benchmark at toy sizes: what it measures comes out in table and JSON; its arguments are checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.conftest import ROOT, Script


def test_a_tiny_benchmark(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bench.json"
    sizes = ["points=512", "log2_entries=[8]", "resolutions=[16,24]", "steps=2", "quick=true", "device=cpu"]
    command = [sys.executable, "scripts/bench.py", f"out={out}", "parts=[hashgrid,mesh]", *sizes]
    done = subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True, text=True)
    result = json.loads(out.read_text())
    rows = {(row["part"], row["what"], row["size"]): row for row in result["rows"]}
    for key in (("hashgrid", "warp", "2^8"), ("hashgrid", "torch, double backward", "2^8"), ("mesh", "sparse", 24)):
        assert rows[key]["ms"] > 0
        assert 0.05 < rows[key]["peak_gb"] < 8
    assert "missing" in rows["hashgrid", "tcnn", "2^8"]
    assert ("mesh", "dense", 24) not in rows  # quick
    assert rows["mesh", "dense", 16]["faces"] == rows["mesh", "sparse", 16]["faces"]
    warp, twin = rows["hashgrid", "warp", "2^8"], rows["hashgrid", "torch, double backward", "2^8"]
    (ratio,) = (gain["ratio"] for gain in result["ratios"] if "double backward / warp" in gain["what"])
    assert ratio == pytest.approx(twin["ms"] / warp["ms"])
    assert result["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert "double backward" in done.stdout


def test_surfaces_are_trained_with_and_without(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    variants = "variants=[everything,unseen as it is]"
    command = [sys.executable, "scripts/bench.py", f"out={out}", "parts=[surface]", "scenes=[sample]", variants]
    train = 'train=["trainer=smoke","trainer.steps=20","evaluate.max_views=1"]'
    done = subprocess.run([*command, train], cwd=ROOT, check=True, timeout=300, capture_output=True, text=True)
    rows = {row["what"]: row for row in json.loads(out.read_text())["rows"]}
    assert list(rows) == ["everything", "unseen as it is"]
    for row in rows.values():
        assert row["ms"] > 0
        assert 0 < row["normal_error"] < 180
        assert row["chamfer_relative"] > 0
    assert (tmp_path / "surface" / "sample_everything" / "mesh.ply").is_file()
    assert "normal_error" in done.stdout


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("size=3", "unknown key size"),
        ("parts=[grid]", "parts: expected some of"),
        ("points=0", "expected positive numbers"),
        ("quick=perhaps", "quick"),
        ("device=tpu", "device: expected auto, cpu"),
        ("variants=[nothing]", "variants: expected some of"),
    ],
)
def test_bad_arguments_are_one_line(
    script: Script, capfd: pytest.CaptureFixture[str], argument: str, words: str
) -> None:
    assert script("bench", argument) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
