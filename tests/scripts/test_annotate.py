"""scripts/annotate.py: it says where its files are; what it refuses is one line. The rest: tests/runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import write_dtu_scene
from tests.scripts.conftest import Script


def test_a_click_and_a_wrong_one(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_dtu_scene(tmp_path / "ball", 4, (72, 96))
    monkeypatch.chdir(tmp_path)
    assert script("annotate", "scene=ball", "view=0", "points=[[48,36]]") == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == "ball/prompts.json: 1 view(s)"
    assert second.startswith("overlay.png: the mask covers ")
    assert script("annotate", "scene=ball", "view=4", "points=[[48,36]]", "add=true") == 2
    said, error = capfd.readouterr()
    assert (said, error) == ("", "error: view: expected a view from 0 to 3, got 4\n")
    assert script("annotate", "scene=ball", "points=[[48,a]]") == 2
    assert script("annotate", "suggest=true", "run=ball") == 2
    (points, run) = capfd.readouterr().err.splitlines()
    assert points.startswith("error: points")
    assert run.startswith("error: ball: expected the folder of a run")
