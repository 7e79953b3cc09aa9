"""The masks of a lift, and how they are measured: written by one run, read by another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.config.schema import Config, MaskUse, SceneConfig, SegmenterConfig, SegmenterName
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.folder import MASKS_NAME, ROUNDS_NAME
from nto3d.runs.lift.files import HEADER, lift_metrics, read_masks, true_masks, write_masks, write_rounds
from nto3d.types import BoolArray, Scene
from tests.helpers import truncate, write_dtu_scene

VIEWS = 5


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    write_dtu_scene(tmp_path / "ball", VIEWS)
    return load_scene(SceneConfig(path=str(tmp_path / "ball"), name="ball"))


def without_masks(scene: Scene) -> Scene:
    return dataclasses.replace(scene, masks=None)


def found(scene: Scene, seed: int = 0) -> BoolArray:
    return np.random.default_rng(seed).random((VIEWS, *scene.cameras.size)) > 0.5


def config(masks: MaskUse = MaskUse.given, segmenter: SegmenterName = SegmenterName.grabcut) -> Config:
    return Config(output="run", scene=SceneConfig(masks=masks), segmenter=SegmenterConfig(name=segmenter))


def test_masks_come_back(tmp_path: Path, scene: Scene) -> None:
    masks, folder = found(scene), tmp_path / "deep" / "masks"
    write_masks(folder, dict(enumerate(masks)))
    assert sorted(path.name for path in folder.iterdir()) == [f"{view:03d}.png" for view in range(VIEWS)]
    np.testing.assert_array_equal(read_masks(folder, scene), masks)
    with Image.open(folder / "002.png") as file:
        np.testing.assert_array_equal(np.asarray(file), np.where(masks[2], 255, 0))


def test_later_masks_replace_earlier_ones_of_their_views(tmp_path: Path, scene: Scene) -> None:
    first, second = found(scene), found(scene, 1)
    write_masks(tmp_path / "masks", dict(enumerate(first)))
    write_masks(tmp_path / "masks", {3: second[3]})
    masks = read_masks(tmp_path / "masks", scene)
    np.testing.assert_array_equal(masks[3], second[3])
    np.testing.assert_array_equal(masks[[0, 1, 2, 4]], first[[0, 1, 2, 4]])


@pytest.mark.parametrize("broken", ["gone", "cut short", "no picture", "another size", "a folder"])
def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path, scene: Scene, broken: str) -> None:
    folder = tmp_path / "masks"
    write_masks(folder, dict(enumerate(found(scene))))
    file = folder / "003.png"
    if broken == "cut short":
        truncate(file, 0.3)
    elif broken == "no picture":
        file.write_bytes(b"no picture")
    else:
        file.unlink()
    if broken == "another size":
        Image.fromarray(np.zeros((32, 24), np.uint8)).save(file)
    elif broken == "a folder":
        file.mkdir()
    with pytest.raises(InputError, match=r"003\.png: expected (the mask of view 3, 32x24$|a PNG or JPEG picture, )"):
        read_masks(folder, scene)


def test_a_folder_that_cannot_be_written(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "001.png").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*001\.png"):
        write_masks(tmp_path / "masks", dict(enumerate(found(scene))))


def test_the_table_of_rounds(tmp_path: Path) -> None:
    write_rounds(tmp_path, [(0, np.nan, 0.8, 0.75, 0.5, 12.34567), (1, 0.9876543, np.nan, np.nan, 0.625, 30)])
    assert (tmp_path / ROUNDS_NAME).read_text() == (
        "round,agreement,iou,least_iou,trust,seconds\n0,,0.8000,0.7500,0.5000,12.3457\n1,0.9877,,,0.6250,30.0000\n"
    )
    assert len(HEADER) == 6


def test_metrics_are_of_the_training_views(tmp_path: Path, scene: Scene) -> None:
    assert scene.masks is not None
    assert scene.test  # others
    masks = np.zeros_like(scene.masks)
    for place, view in enumerate(scene.train):
        masks[view] = scene.masks[view] if place else ~scene.masks[view]
    write_rounds(tmp_path, [(0, np.nan, np.nan, np.nan, 1.0, 5.0), (1, 1.0, 1.0, 1.0, 1.0, 7.5)])
    metrics = lift_metrics([tmp_path], scene, masks)
    assert metrics["lift_mask_iou"] == pytest.approx(1 - 1 / len(scene.train))
    assert (metrics["lift_rounds"], metrics["lift_seconds"]) == (1.0, 7.5)


def test_metrics_without_a_truth(tmp_path: Path, scene: Scene) -> None:
    write_rounds(tmp_path, [(0, np.nan, np.nan, np.nan, 1.0, 5.0)])
    metrics = lift_metrics([tmp_path], without_masks(scene), found(scene))
    assert metrics == {"lift_rounds": 0.0, "lift_seconds": 5.0}


def test_results_are_compared_with_the_scenes_masks(tmp_path: Path, scene: Scene) -> None:
    write_masks(tmp_path / MASKS_NAME, dict(enumerate(found(scene))))
    for segmenter in SegmenterName:
        assert true_masks(config(segmenter=segmenter), scene, tmp_path) is scene.masks


def test_results_are_compared_with_the_runs_masks_where_the_scene_has_none(tmp_path: Path, scene: Scene) -> None:
    masks = found(scene)
    write_masks(tmp_path / MASKS_NAME, dict(enumerate(masks)))
    read = true_masks(config(), without_masks(scene), tmp_path)
    np.testing.assert_array_equal(read, masks)
    with pytest.raises(InputError, match=r"000\.png: expected a PNG or JPEG picture, there is no such file"):
        true_masks(config(), without_masks(scene), tmp_path / "gone")
    with pytest.raises(InputError, match="segmenter=precomputed: expected masks"):
        true_masks(config(segmenter=SegmenterName.precomputed), without_masks(scene), tmp_path)


def test_results_are_compared_with_nothing_where_the_whole_scene_is_wanted(tmp_path: Path, scene: Scene) -> None:
    for segmenter in SegmenterName:
        assert true_masks(config(MaskUse.none, segmenter), scene, tmp_path) is None
