"""The copy of a scene with other exposures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from scripts import make_exposure
from scripts.make_exposure import main
from tests.helpers import write_dtu_scene


def test_pictures_are_altered_as_noted_and_the_rest_is_copied(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=3)
    out = tmp_path / "made" / "copy"
    assert main(["--scene", str(scene.path), "--out", str(out), "--seed", "4"]) == 0
    noted = json.loads((out / "exposure.json").read_text())
    assert sorted(noted) == ["000.png", "001.png", "002.png"]
    for image, (name, values) in zip(scene.images, sorted(noted.items()), strict=True):
        assert 0.7 <= values["gain"] <= 1.4
        assert -0.05 <= values["offset"] <= 0.05
        expected = np.rint(image * values["gain"] + 255 * values["offset"]).clip(0, 255)
        np.testing.assert_array_equal(cv2.imread(str(out / "image" / name))[..., ::-1], expected)
    camera_file = "cameras_sphere.npz"
    assert (out / camera_file).read_bytes() == (scene.path / camera_file).read_bytes()
    other = tmp_path / "again"
    assert main(["--scene", str(scene.path), "--out", str(other), "--seed", "4"]) == 0
    assert json.loads((other / "exposure.json").read_text()) == noted


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


def test_jpegs_in_the_other_folder_are_altered(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2)
    (scene.path / "images").mkdir()
    for path in (scene.path / "image").glob("*.png"):
        cv2.imwrite(str(scene.path / "images" / f"{path.stem}.jpg"), cv2.imread(str(path)))
    shutil.rmtree(scene.path / "image")
    assert main(["--scene", str(scene.path), "--out", str(tmp_path / "out")]) == 0
    before, after = (cv2.imread(str(folder / "images" / "000.jpg")) for folder in (scene.path, tmp_path / "out"))
    assert np.abs(before.astype(int) - after).mean() > 1.0
