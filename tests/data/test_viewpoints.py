"""The same cameras in other numbers are the same cameras; mirrored and rounded ones are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.geometry.cameras import project
from nto3d.geometry.poses import decompose_projection
from nto3d.types import Scene
from tests.helpers import write_dtu_scene

Entries = dict[str, NDArray[Any]]
UTM = np.array([450000.0, 5400000.0, 300.0])


def read(path: Path, change: Callable[[Entries], object] | None = None, **options: Any) -> Scene:
    """The helper's scene with changed cameras, which are stored in float64 before."""

    def edit(entries: Entries) -> Entries:
        entries = {key: matrix.astype(np.float64) for key, matrix in entries.items()}
        if change is not None:
            change(entries)
        return entries

    write_dtu_scene(path, edit_cameras=edit, **options)
    return read_dtu(path)


def moved(scale: float, shift: NDArray[Any], kind: str = "float64") -> Callable[[Entries], None]:
    """The world scaled and shifted."""
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = shift

    def change(entries: Entries) -> None:
        for key, old in entries.items():
            new = old @ np.linalg.inv(matrix) if key.startswith("world") else matrix @ old
            entries[key] = new.astype(kind) if key.startswith("world") else new

    return change


def each_world_mat(change: Callable[[int, NDArray[Any]], NDArray[Any]]) -> Callable[[Entries], None]:
    def all_of_them(entries: Entries) -> None:
        for view in range(6):
            entries[f"world_mat_{view}"] = change(view, entries[f"world_mat_{view}"])

    return all_of_them


def axes(*signs: float) -> Callable[[Entries], None]:
    """K diag(signs) [R | t]."""

    def change(_: int, old: NDArray[Any]) -> NDArray[Any]:
        intrinsics, rotation, translation = decompose_projection(old)
        upper = intrinsics @ np.diag(signs) @ np.column_stack([rotation, translation])
        return np.vstack([upper, [0, 0, 0, 1]])

    return each_world_mat(change)


def other_hand(entries: Entries) -> None:
    """The world's z turned round."""
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    for key, old in entries.items():
        entries[key] = old @ flip if key.startswith("world") else flip @ old @ flip


SAME = {
    "scaled by 1e-7": moved(1e-7, np.zeros(3)),
    "scaled by 1e6": moved(1e6, np.zeros(3)),
    "UTM, metres": moved(1e-2, UTM),
    "UTM, large": moved(100.0, UTM),
    "times 1e-3": each_world_mat(lambda view, old: 1e-3 * old),
    "negated": each_world_mat(lambda view, old: -7.0 * old),
    "upper rows negated": each_world_mat(lambda view, old: np.vstack([-old[:3], old[3:]])),
    "mixed signs": each_world_mat(lambda view, old: (-1.0) ** view * (view + 0.5) * old),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_cameras_in_other_numbers(tmp_path: Path, change: Callable[[Entries], None]) -> None:
    plain, scene = read(tmp_path / "plain"), read(tmp_path / "changed", change)
    np.testing.assert_allclose(scene.cameras.intrinsics, plain.cameras.intrinsics, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(scene.cameras.cam_to_world, plain.cameras.cam_to_world, atol=2e-6)


MIRRORED = {"x": axes(-1.0, 1.0, 1.0), "y": axes(1.0, -1.0, 1.0), "the world": other_hand}


@pytest.mark.parametrize("change", MIRRORED.values(), ids=MIRRORED)
def test_mirrored_cameras_are_called_mirrored(tmp_path: Path, change: Callable[[Entries], None]) -> None:
    with pytest.raises(
        InputError, match=r"cameras_sphere\.npz: world_mat_0: expected .* got a mirrored camera: one axis"
    ):
        read(tmp_path, change)


def off_the_axis(path: Path) -> None:
    """Masks of something small beside the middle of the scene, drawn by hand where each camera sees it."""
    place = np.array([0.3, -0.1, 0.35])
    scene = read_dtu(path)
    y, x = np.mgrid[:24, :32]
    for view in range(6):
        xy, _ = project(scene.cameras.intrinsics[view], scene.cameras.cam_to_world[view], place)
        mask = ((x - xy[0]) ** 2 + (y - xy[1]) ** 2 < 9).astype(np.uint8) * 255
        Image.fromarray(mask).save(path / "mask" / f"{view:03d}.png")


@pytest.mark.parametrize("change", [axes(1.0, 1.0, -1.0), SAME["upper rows negated"], SAME["mixed signs"]])
def test_a_mirrored_optical_axis_is_told_from_a_negative_factor(tmp_path: Path, change: Any) -> None:
    """By what the masks have in common: as a projection matrix the one is as good as the other."""
    read(tmp_path)
    off_the_axis(tmp_path)
    with np.load(tmp_path / "cameras_sphere.npz") as stored:
        entries = dict(stored)
    change(entries)
    np.savez(tmp_path / "cameras_sphere.npz", **entries)
    if change in SAME.values():
        assert len(read_dtu(tmp_path).images) == 6
    else:
        with pytest.raises(InputError, match=r"world_mat_0: .* a mirrored camera by what the masks have in common"):
            read_dtu(tmp_path)


def test_without_masks_the_log_says_what_is_assumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_dtu_scene(tmp_path, masks=False)
    read_dtu(tmp_path, masks=False)
    assert not caplog.messages
    with np.load(tmp_path / "cameras_sphere.npz") as stored:
        entries = dict(stored)
    SAME["mixed signs"](entries)
    np.savez(tmp_path / "cameras_sphere.npz", **entries)
    read_dtu(tmp_path, masks=False)
    assert not caplog.messages  # the last row has the sign, too
    SAME["upper rows negated"](entries)
    np.savez(tmp_path / "cameras_sphere.npz", **entries)
    read_dtu(tmp_path, masks=False)
    assert "world_mat_0 has the sign of a mirror: taken for one times a negative number" in caplog.text


def test_a_single_mirrored_camera_is_found(tmp_path: Path) -> None:
    def change(entries: Entries) -> None:
        other = dict(entries)
        axes(-1.0, 1.0, 1.0)(other)
        entries["world_mat_4"] = other["world_mat_4"]

    with pytest.raises(InputError, match=r"world_mat_4: .*mirrored"):
        read(tmp_path, change)


def test_axes_of_opengl_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it lies behind all of them \(are y and z flipped, as in OpenGL\?\)"):
        read(tmp_path, axes(1.0, -1.0, -1.0))


def test_a_camera_that_looks_away_from_what_its_mask_shows(tmp_path: Path) -> None:
    def change(entries: Entries) -> None:
        other = dict(entries)
        axes(1.0, -1.0, -1.0)(other)
        entries["world_mat_2"] = other["world_mat_2"]

    with pytest.raises(InputError, match=r"world_mat_2: expected a camera that sees the target, as its mask does"):
        read(tmp_path, change)
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(tmp_path / "mask" / "002.png")
    assert len(read_dtu(tmp_path).images) == 6  # nothing contradicts it


COARSE = [("float32", 0.01, UTM), ("float16", 0.1, UTM / 1e5), ("int64", 1.0, np.zeros(3))]


@pytest.mark.parametrize(("kind", "scale", "shift"), COARSE)
def test_numbers_too_coarse_for_the_place_are_refused(
    tmp_path: Path, kind: str, scale: float, shift: NDArray[Any]
) -> None:
    with pytest.raises(InputError, match=rf"world_mat_0: expected float64 .*got {kind}, whose rounding moves it by"):
        read(tmp_path, moved(scale, shift, kind))


def test_whole_numbers_will_do_for_scale_mat_and_large_matrices(tmp_path: Path) -> None:
    def change(entries: Entries) -> None:
        for key, old in entries.items():
            entries[key] = np.rint(old * (1e7 if key.startswith("world") else 1)).astype(np.int64)

    plain, scene = read(tmp_path / "plain"), read(tmp_path / "changed", change)
    np.testing.assert_allclose(scene.cameras.cam_to_world, plain.cameras.cam_to_world, atol=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1e-7, np.zeros(3)), (1e-2, UTM)])
def test_other_normalized_frames_are_found_in_any_unit(tmp_path: Path, scale: float, shift: NDArray[Any]) -> None:
    def change(entries: Entries) -> None:
        moved(scale, shift)(entries)
        entries["scale_mat_3"][:3, 3] += 0.05 * entries["scale_mat_3"][0, 0]

    with pytest.raises(InputError, match="scale_mat_3 differs from scale_mat_0"):
        read(tmp_path, change)


def test_skew_is_honoured(tmp_path: Path) -> None:
    """Points fall where the file's own matrices put them."""
    shear = np.eye(4)
    shear[0, 1] = 0.3
    scene = read(tmp_path, each_world_mat(lambda view, old: shear @ old))
    assert scene.cameras.intrinsics[0, 0, 1] > 5.0
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    world = np.column_stack(
        [points @ scene.world_from_normalized[:3, :3].T + scene.world_from_normalized[:3, 3], np.ones(20)]
    )
    with np.load(tmp_path / "cameras_sphere.npz") as entries:
        for view in range(6):
            expected = world @ entries[f"world_mat_{view}"][:3].T
            xy, _ = project(scene.cameras.intrinsics[view], scene.cameras.cam_to_world[view], points)
            np.testing.assert_allclose(xy, expected[:, :2] / expected[:, 2:], atol=1e-4)


def test_depth_follows_the_unit(tmp_path: Path) -> None:
    plain = read(tmp_path / "plain", depths=True)
    read(tmp_path / "tiny", moved(1e-7, np.zeros(3)), depths=True)
    for file in (tmp_path / "tiny" / "depth").iterdir():
        np.save(file, np.load(file) * np.float32(1e-7))
    scene = read_dtu(tmp_path / "tiny")
    assert scene.depths is not None
    assert plain.depths is not None
    np.testing.assert_allclose(scene.depths, plain.depths, rtol=1e-5)


def test_digits_that_are_not_decimal_are_text(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    for view in range(6):
        for folder in ("image", "mask"):
            (tmp_path / folder / f"{view:03d}.png").rename(tmp_path / folder / f"m\u00b2 {view}.png")
    scene = read_dtu(tmp_path)
    assert scene.names[5] == "m\u00b2 5.png"
    np.testing.assert_array_equal(scene.images, written.images)
