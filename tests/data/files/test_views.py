"""Scenes in which something is missing: what is there keeps its partners."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.config.schema import PromptsConfig, SceneConfig
from nto3d.data.dtu import read_dtu
from nto3d.data.truth import read_truths
from nto3d.errors import InputError
from nto3d.geometry.hull import visual_hull
from nto3d.segment.prompts.read import read_prompts
from nto3d.types import Scene
from tests.helpers import WrittenScene, render_sphere, write_dtu_scene, write_pictures

VIEWS = 12


@pytest.fixture
def written(tmp_path: Path) -> WrittenScene:
    """The masks are of a ball beside the middle, so that every view has another one."""
    written = write_dtu_scene(tmp_path, VIEWS, depths=True)
    moved = written.cam_to_world - np.array([0.0, 0.0, 0.0, 1.0]) * np.array([[0.35], [0.0], [0.1]])
    masks = np.stack([render_sphere(k, pose, (24, 32))[1] for k, pose in zip(written.intrinsics, moved, strict=True)])
    write_pictures(tmp_path / "mask", [f"{view:03d}.png" for view in range(VIEWS)], masks.astype(np.uint8) * 255)
    return dataclasses.replace(written, masks=masks)


def remove(written: WrittenScene, folder: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        next((written.path / folder).glob(f"{number:03d}.*")).unlink()


def check(scene: Scene, written: WrittenScene, views: list[int]) -> None:
    """The scene holds these of the written views, each with its own picture, mask and camera."""
    assert scene.names == tuple(f"{view:03d}.png" for view in views)
    np.testing.assert_array_equal(scene.images, written.images[views])
    np.testing.assert_allclose(scene.cameras.cam_to_world, written.cam_to_world[views], atol=1e-4)
    assert scene.masks is not None
    np.testing.assert_array_equal(scene.masks, written.masks[views])


def test_a_picture_and_a_mask_missing_leave_the_hull_as_it_is(
    written: WrittenScene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nto3d")
    whole = read_dtu(written.path)
    remove(written, "image", [2])
    remove(written, "mask", [11])
    scene = read_dtu(written.path)
    check(scene, written, [view for view in range(VIEWS) if view not in (2, 11)])
    sizes = [visual_hull(one.cameras, range(len(one.images)), 32, one.masks).sum() for one in (whole, scene)]
    assert sizes[0] <= sizes[1] < 1.1 * sizes[0]
    order = dataclasses.replace(scene, masks=written.masks[:10])
    assert visual_hull(order.cameras, range(10), 32, order.masks).sum() < 0.9 * sizes[0]
    lines = [record.getMessage().replace(str(written.path), "") for record in caplog.records]
    assert "/mask: 1 of 11 masks without a picture: 002.png" in lines
    assert "/image: 1 of 11 pictures without a mask, left out: 011.png" in lines
    assert "/cameras_sphere.npz: 1 of 12 cameras without a picture: 2" in lines
    assert "/image: the views are numbered 0 to 9 in the order of their pictures; view 2 is 003.png" in lines
    assert len(lines) == 5  # and a depth map without a picture


def test_pictures_without_a_camera_are_left_out(written: WrittenScene) -> None:
    with np.load(written.path / "cameras_sphere.npz") as archive:
        entries = {key: archive[key] for key in archive.files if not key.endswith("_4")}
    np.savez(written.path / "cameras_sphere.npz", **entries)
    check(read_dtu(written.path), written, [view for view in range(VIEWS) if view != 4])


def test_fewer_pictures_than_cameras(written: WrittenScene) -> None:
    remove(written, "image", [0, 7])
    check(read_dtu(written.path), written, [view for view in range(VIEWS) if view not in (0, 7)])


def test_depth_is_unknown_where_its_map_is_missing(written: WrittenScene) -> None:
    remove(written, "depth", [3])
    remove(written, "image", [1])
    scene, kept = read_dtu(written.path), [view for view in range(VIEWS) if view != 1]
    assert scene.depths is not None
    expected = written.depths[kept] / 10
    expected[kept.index(3)] = 0
    np.testing.assert_allclose(scene.depths, expected, rtol=1e-6)


def test_masks_that_are_not_needed_keep_no_view_away(written: WrittenScene) -> None:
    """A run from a click uses every picture, and masks only to measure with."""
    remove(written, "mask", [5])
    scene = read_dtu(written.path, masks=False)
    assert scene.masks is None
    np.testing.assert_array_equal(scene.images, written.images)


def test_views_are_counted_without_what_is_missing(written: WrittenScene) -> None:
    """Held-out views, clicks and the truth of named objects all mean the views that are used."""
    for view in range(VIEWS):
        (written.path / "mask_cup").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255) * ~written.masks[view]).save(written.path / "mask_cup" / f"{view:03d}.png")
    remove(written, "image", [2])
    scene = read_dtu(written.path, test_views=[2])
    assert [scene.names[view] for view in scene.test] == ["003.png"]
    (prompts,) = read_prompts(PromptsConfig(view=2, points=[[16.0, 12.0]]), written.path, scene, 1)
    y, x = int(prompts.points[0, 1]), int(prompts.points[0, 0])
    np.testing.assert_array_equal(scene.images[prompts.view][y, x], written.images[3, y, x])
    truth = read_truths(SceneConfig(path=str(written.path)), scene, ["cup", "jug"])["cup"].masks
    assert truth is not None
    np.testing.assert_array_equal(truth, ~written.masks[[view for view in range(VIEWS) if view != 2]])


def test_a_message_on_a_camera_has_its_number_in_the_file(written: WrittenScene) -> None:
    remove(written, "image", [2])
    with np.load(written.path / "cameras_sphere.npz") as archive:
        entries = dict(archive)
    entries["scale_mat_7"] = np.eye(4)
    np.savez(written.path / "cameras_sphere.npz", **entries)
    with pytest.raises(InputError, match="scale_mat_7 differs from scale_mat_0"):
        read_dtu(written.path)
