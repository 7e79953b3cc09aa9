"""scripts/evaluate_mcc.py: the lines that it prints, and those of its refusals. The rest: tests/trials."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nto3d.mcc.model import Mcc
from nto3d.mcc.weights import save_mcc
from tests.scripts.conftest import Script
from tests.trials.test_mcc import SIZES


def test_it_prints_a_line_a_threshold(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_mcc(Mcc(SIZES), Path("mcc.safetensors"), torch.float32)
    assert (
        script("evaluate_mcc", "weights=mcc.safetensors", "objects=1", "granularity=0.3", "thresholds=[0.6,0.4]") == 0
    )
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0].split(",")[0] for line in lines] == ["1 objects", "threshold 0.4", "threshold 0.6"]
    assert script("evaluate_mcc", "weights=mcc.safetensors", "objects=0") == 2
    assert script("evaluate_mcc", "objects=some") == 2
    first, second = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert first == "error: expected objects and pictured of at least 1, and first of at least 0"
    assert "objects" in second
