"""scripts/lift_trials.py with a second click on a scene that it makes; the rest: tests/trials/lift."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from tests.scripts.conftest import Script

QUICK = (
    *("scene.downscale=4", "trainer=smoke", "device=cpu", "threads=1", "field.start=sphere"),
    *("lift.scene_steps=60", "lift.max_rounds=0", "lift.sure=1.0"),
)


@pytest.mark.slow
def test_a_doubtful_result_is_tried_with_a_second_click(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    code = script("lift_trials", "trials=objects", "recipes=[patchwork]", "count=1", "second=true", "out=kept", *QUICK)
    torch.set_num_threads(threads)
    head, row, recipe, _, _, _, second = capfd.readouterr().out.splitlines()
    assert code == 0
    assert head.startswith("trial  first  round 0")
    assert row.startswith("patchwork0 view ")
    assert recipe.startswith("patchwork: mean ")
    assert second.startswith("with the second click that they ask for: ")
    assert second.endswith(" after (1 trials)")
    with (tmp_path / "kept" / "trials.csv").open() as file:
        (kept,) = csv.DictReader(file)
    assert float(kept["confidence"]) < 1.0
    assert 0.0 <= float(kept["second click"]) <= 1.0
    assert (tmp_path / "kept" / "scenes" / "patchwork0" / "gt_mesh.ply").is_file()
    for folder in ("00", "00/second"):
        assert list((tmp_path / "kept" / "patchwork0" / folder / "masks").glob("*.png"))


def test_what_is_wrong_is_one_line(script: Script, capfd: pytest.CaptureFixture[str]) -> None:
    assert script("lift_trials") == 2
    assert script("lift_trials", "trials=clicks", "count=0") == 2
    missing, count = capfd.readouterr().err.splitlines()
    assert missing.startswith("error: trials is missing")
    assert count.startswith("error: count, seed: expected at least 1")
