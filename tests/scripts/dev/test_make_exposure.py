"""scripts/dev/make_exposure.py on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.dev import make_exposure
from scripts.dev.make_exposure import main
from tests.helpers import write_dtu_scene


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2)
    assert main(["--scene", str(scene.path), "--out", str(scene.path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scene", "nowhere"], "nowhere: expected the folder of a scene, found none"),
        (["--scene", "empty"], "empty: expected pictures (.png, .jpg) in a folder image or images, found none"),
        (["--scene", "empty", "--seed", "-1"], "--seed: expected 0 or more, got -1"),
    ],
)
def test_bad_input_ends_with_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    try:
        code = main([*arguments, "--out", "out"])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_it_runs_as_a_file_from_anywhere(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path / "ball", views=2)
    command = [sys.executable, make_exposure.__file__, "--scene", "ball", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True)
    assert done.stdout == "wrote out\n"
    assert (tmp_path / "out" / "exposure.json").is_file()
