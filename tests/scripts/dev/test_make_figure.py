"""scripts/dev/make_figure.py: where the picture goes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tests.scripts.conftest import Script


def test_a_run_in_one_picture(script: Script, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert script("dev/make_figure", f"run={run}", f"out={tmp_path / 'figure.png'}", "view=1") == 0
    assert script("dev/make_figure", f"run={run}") == 0
    assert capfd.readouterr().out.splitlines() == [str(tmp_path / "figure.png"), str(run / "figure.jpg")]
    for path in (tmp_path / "figure.png", run / "figure.jpg"):
        assert cv2.imread(str(path)).shape == (60, 5 * 80 + 4 * 4, 3)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("view=99", "view: expected 0..31, got 99"),
        ("view=one", "view: expected a number, got one"),
        ("out=figure.gif", "out: expected a file ending in .jpg or .png, got figure.gif"),
        ("scene.colour=red", "unknown key scene.colour"),
    ],
)
def test_what_is_wrong_is_one_line(
    script: Script, trained: Path, capfd: pytest.CaptureFixture[str], argument: str, words: str
) -> None:
    assert script("dev/make_figure", f"run={trained}", argument) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line
