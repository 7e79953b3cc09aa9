"""The copy of a scene with other exposures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from nto3d.errors import InputError
from nto3d.trials.exposure import copy_scene
from tests.helpers import write_dtu_scene


def test_pictures_are_altered_as_noted_and_the_rest_is_copied(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=3)
    out = tmp_path / "made" / "copy"
    copy_scene(scene.path, out, 4)
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
    copy_scene(scene.path, other, 4)
    assert json.loads((other / "exposure.json").read_text()) == noted


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2)
    with pytest.raises(OSError, match="expected a new folder, it is there already"):
        copy_scene(scene.path, scene.path, 0)
    (scene.path / "image" / "001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"001\.png: expected a PNG or JPEG picture, it is damaged"):
        copy_scene(scene.path, tmp_path / "out", 0)


def test_jpegs_in_the_other_folder_are_altered(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2)
    (scene.path / "images").mkdir()
    for path in (scene.path / "image").glob("*.png"):
        cv2.imwrite(str(scene.path / "images" / f"{path.stem}.jpg"), cv2.imread(str(path)))
    shutil.rmtree(scene.path / "image")
    copy_scene(scene.path, tmp_path / "out", 0)
    before, after = (cv2.imread(str(folder / "images" / "000.jpg")) for folder in (scene.path, tmp_path / "out"))
    assert np.abs(before.astype(int) - after).mean() > 1.0
