"""Where the truth of named objects is looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.config.schema import SceneConfig
from nto3d.data.dtu import read_dtu
from nto3d.data.truth import Truth, read_truths
from nto3d.errors import InputError
from tests.helpers import WrittenScene, write_dtu_scene


@pytest.fixture
def ball(tmp_path: Path) -> WrittenScene:
    return write_dtu_scene(tmp_path / "ball", 4, mesh=True)


def truths(ball: WrittenScene, *names: str, downscale: int = 1) -> dict[str, Truth]:
    config = SceneConfig(path=str(ball.path), downscale=downscale)
    return read_truths(config, read_dtu(ball.path, downscale=downscale), names)


def test_the_scene_s_own_masks_are_those_of_its_target(ball: WrittenScene) -> None:
    only = truths(ball, "cup")["cup"]
    assert only.masks is not None
    np.testing.assert_array_equal(only.masks, ball.masks)
    assert only.mesh is not None
    assert truths(ball, "cup", "jug") == {"cup": Truth(), "jug": Truth()}  # whose they are is not known
    (ball.path / "scene.json").write_text('{"target": "jug"}')
    both = truths(ball, "cup", "jug")
    assert both["cup"] == Truth()
    np.testing.assert_array_equal(both["jug"].masks, ball.masks)
    for text in ("{", "[]", '{"target": 3}'):
        (ball.path / "scene.json").write_text(text)
        assert truths(ball, "cup", "jug")["jug"] == Truth()


def test_files_with_the_name_come_first(ball: WrittenScene) -> None:
    folder = ball.path / "mask_cup"
    shutil.copytree(ball.path / "mask", folder)
    for file in folder.iterdir():
        Image.fromarray(255 - np.array(Image.open(file))).save(file)
    found = truths(ball, "cup", "jug")
    np.testing.assert_array_equal(found["cup"].masks, ~ball.masks)
    assert found["jug"] == Truth()
    np.testing.assert_array_equal(truths(ball, "cup")["cup"].masks, ~ball.masks)
    reduced = truths(ball, "cup", downscale=2)["cup"].masks
    assert reduced is not None
    assert reduced.shape == (4, 12, 16)
    shutil.copy(ball.path / "gt_mesh.ply", ball.path / "gt_mesh_jug.ply")
    assert truths(ball, "cup", "jug")["jug"].mesh is not None


def test_what_does_not_fit_is_one_line(ball: WrittenScene) -> None:
    shutil.copytree(ball.path / "mask", ball.path / "mask_cup")
    (ball.path / "mask_cup" / "003.png").unlink()
    with pytest.raises(InputError, match=r"mask_cup: expected a mask for each of the 4 pictures, got 3"):
        truths(ball, "cup")
