from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.geometry.cameras import project, unproject
from tests.helpers import truncate, write_dtu_scene

Entries = dict[str, NDArray]
REAL_SCENE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dtu_scan65"


def test_reads_back_what_was_written(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path, depths=True, mesh=True)
    scene = read_dtu(tmp_path, name="ball")
    assert scene.name == "ball"
    assert scene.names == tuple(f"{view:03d}.png" for view in range(6))
    assert (scene.images == written.images).all()
    assert scene.masks is not None
    assert (scene.masks == written.masks).all()
    assert scene.cameras.size == (24, 32)
    # The file holds float32 projections of points some 30 units away.
    np.testing.assert_allclose(scene.cameras.intrinsics, written.intrinsics, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(scene.cameras.cam_to_world, written.cam_to_world, atol=1e-4)
    np.testing.assert_allclose(scene.world_from_normalized, written.world_from_normalized, rtol=1e-6)
    assert scene.scale == pytest.approx(10)
    assert scene.depths is not None
    np.testing.assert_allclose(scene.depths, written.depths / 10, rtol=1e-6)
    assert scene.gt_mesh is not None
    radii = np.linalg.norm(scene.gt_mesh.vertices - [1.0, -2.0, 30.0], axis=1)
    np.testing.assert_allclose(radii, 5.0, rtol=1e-5)  # world units


def test_masks_depths_and_mesh_are_optional(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path, masks=False)
    scene = read_dtu(tmp_path, masks=False)
    assert scene.masks is None
    assert scene.depths is None
    assert scene.gt_mesh is None


def test_masks_are_read_even_where_they_are_not_required(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    masks = read_dtu(tmp_path, masks=False).masks
    assert masks is not None
    assert (masks == written.masks).all()


@pytest.mark.parametrize(
    "layout",
    [
        {"digits": 6},
        {"digits": 1, "views": 11},  # 10.png must come after 9.png
        {"suffix": ".jpg"},
        {"image_folder": "images", "mask_folder": "masks"},
        {"cameras_file": "cameras.npz"},
        {"cameras_file": "cameras_large.npz"},
    ],
)
def test_layouts(tmp_path: Path, layout: dict) -> None:
    written = write_dtu_scene(tmp_path, **layout)
    scene = read_dtu(tmp_path)
    tolerance = 30 if layout.get("suffix") == ".jpg" else 0
    assert np.abs(scene.images.astype(int) - written.images).mean(axis=(1, 2, 3)).max() <= tolerance / 3
    assert scene.masks is not None
    assert (scene.masks == written.masks).all()


def test_pictures_of_other_systems_are_left_out(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    (tmp_path / "image" / "._000.png").write_bytes(b"\0")
    (tmp_path / "image" / "Thumbs.db").write_bytes(b"\0")
    assert len(read_dtu(tmp_path).images) == 6


def test_a_rotated_normalized_frame(tmp_path: Path) -> None:
    turn = np.array([[0.0, -10.0, 0.0], [10.0, 0.0, 0.0], [0.0, 0.0, 10.0]])

    def rotate(entries: Entries) -> Entries:
        for key in entries:
            if key.startswith("scale_mat"):
                entries[key][:3, :3] = turn
        return entries

    written = write_dtu_scene(tmp_path, edit_cameras=rotate)
    scene = read_dtu(tmp_path)
    # The frame turned by a quarter about z: what was at x in the old frame is now at -y.
    quarter = turn / 10
    np.testing.assert_allclose(scene.cameras.centers, written.cam_to_world[:, :, 3] @ quarter, atol=1e-4)
    np.testing.assert_allclose(
        scene.cameras.cam_to_world[0, :, :3], quarter.T @ written.cam_to_world[0, :, :3], atol=1e-4
    )


@pytest.mark.parametrize("downscale", [2, 3, 5])
def test_a_reduced_picture_sees_the_same_points(tmp_path: Path, downscale: int) -> None:
    """Colours encode the pixel; the ray through a reduced pixel meets the plane where the colour says."""
    size = (47, 64)  # not divisible: the rest is cropped
    write_dtu_scene(tmp_path, 3, size)
    y, x = np.mgrid[: size[0], : size[1]]
    ramp = np.stack([2 * x, 2 * y, 0 * x], axis=-1).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "image" / "001.png")
    full, reduced = read_dtu(tmp_path), read_dtu(tmp_path, downscale=downscale)
    assert reduced.cameras.size == (47 // downscale, 64 // downscale)
    height, width = reduced.cameras.size
    xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    points = unproject(
        reduced.cameras.intrinsics[1], reduced.cameras.cam_to_world[1], xy, np.full((height, width), 3.0)
    )
    seen_at, _ = project(full.cameras.intrinsics[1], full.cameras.cam_to_world[1], points)
    np.testing.assert_allclose(reduced.images[1, ..., :2], 2 * seen_at, atol=0.51)  # 8-bit rounding


def test_reduced_masks_and_depths(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path, size=(48, 64), depths=True)
    scene = read_dtu(tmp_path, downscale=2)
    assert scene.masks is not None
    assert scene.depths is not None
    blocks = written.masks.reshape(6, 24, 2, 32, 2).sum(axis=(2, 4))
    assert (scene.masks == (blocks >= 2)).all()
    mean = written.depths.reshape(6, 24, 2, 32, 2).mean(axis=(2, 4)) / 10
    known = (blocks == 4) & (scene.depths > 0)  # the sphere is too steep at its rim
    assert known.sum() > 0.9 * (blocks == 4).sum()
    np.testing.assert_allclose(scene.depths[known], mean[known], rtol=1e-5)
    assert (scene.depths[blocks < 2] == 0).all()


def test_depth_pictures_take_their_unit_from_the_note(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path, depths=True)
    for view, depth in enumerate(written.depths):
        (tmp_path / "depth" / f"{view:03d}.npy").unlink()
        Image.fromarray(np.rint(depth / 0.01).astype(np.uint16)).save(tmp_path / "depth" / f"{view:03d}.png")
    with pytest.raises(InputError, match=r"scene\.json: expected JSON with depth\.scale"):
        read_dtu(tmp_path)
    (tmp_path / "scene.json").write_text(json.dumps({"depth": {"scale": 0.01}}))
    depths = read_dtu(tmp_path).depths
    assert depths is not None
    np.testing.assert_allclose(depths, written.depths / 10, atol=0.51e-3)
    (tmp_path / "scene.json").write_text(json.dumps({"depth": {"scale": -1}}))
    with pytest.raises(InputError, match=r"positive number for depth\.scale, got -1"):
        read_dtu(tmp_path)


def test_held_out_views(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    assert read_dtu(tmp_path).test == (4,)
    scene = read_dtu(tmp_path, test_views=[5, 1])
    assert scene.test == (1, 5)
    assert scene.train == (0, 2, 3, 4)
    assert read_dtu(tmp_path, test_views=[]).train == (0, 1, 2, 3, 4, 5)


def edit(change: Callable[[Entries], object]) -> Callable[[Path], None]:
    """Break the camera file."""

    def break_scene(path: Path) -> None:
        file = path / "cameras_sphere.npz"
        with np.load(file) as archive:
            entries = dict(archive)
        change(entries)
        np.savez(file, **entries)

    return break_scene


def remove(name: str) -> Callable[[Path], None]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def replace(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content)


def picture(name: str, pixels: NDArray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels).save(path / name)


def clear(folder: str) -> Callable[[Path], None]:
    def break_scene(path: Path) -> None:
        for file in (path / folder).iterdir():
            file.unlink()

    return break_scene


def blacken_masks(path: Path) -> None:
    for file in (path / "mask").iterdir():
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(file)


def same_place(entries: Entries) -> None:
    for view in range(6):
        entries[f"world_mat_{view}"] = entries["world_mat_0"]


def turn_away(entries: Entries) -> None:
    for view in range(6):
        entries[f"world_mat_{view}"] = np.diag([1.0, -1.0, -1.0, 1.0]) @ entries[f"world_mat_{view}"]


def skew(entries: Entries) -> None:
    for view in range(6):
        entries[f"scale_mat_{view}"] = np.diag([10.0, 10.0, 20.0, 1.0])


def extra_camera(entries: Entries) -> None:
    entries["world_mat_6"] = entries["scale_mat_6"] = np.eye(4)


def objects(entries: Entries) -> None:
    entries["world_mat_2"] = np.array([{"a": 1}], dtype=object)


Break = Callable[[Path], object]
BROKEN: dict[str, tuple[Break, str]] = {
    "no folder": (
        lambda path: path.rename(path.parent / "gone"),
        r"scene\.path: expected a folder, there is none at .*box",
    ),
    "no camera file": (
        remove("cameras_sphere.npz"),
        r"cameras_sphere\.npz, cameras\.npz or cameras_large\.npz, none is",
    ),
    "empty camera file": (replace("cameras_sphere.npz", b""), r"cameras_sphere\.npz: expected an npz archive.*empty"),
    "no archive": (replace("cameras_sphere.npz", b"hello" * 99), r"cameras_sphere\.npz: expected an npz archive"),
    "cut archive": (
        lambda path: truncate(path / "cameras_sphere.npz"),
        r"cameras_sphere\.npz: expected an npz archive.*cut",
    ),
    "object array": (edit(objects), r"cameras_sphere\.npz: expected a \[4, 4\] matrix of numbers for world_mat_2"),
    "no cameras": (edit(dict.clear), r"expected keys world_mat_0, scale_mat_0, \.\.\., got \[\]"),
    "other keys": (edit(lambda e: (e.clear(), e.update(K=np.eye(3)))), r"world_mat_0, .*got \['K'\]"),
    "too few cameras": (edit(lambda e: e.pop("world_mat_5")), r"each of the 6 pictures, got 5 cameras"),
    "too many cameras": (edit(extra_camera), r"each of the 6 pictures, got 7 cameras"),
    "a gap": (edit(lambda e: e.update(world_mat_9=e.pop("world_mat_3"))), r"expected a key world_mat_3"),
    "no scale_mat": (edit(lambda e: e.pop("scale_mat_3")), r"expected a key scale_mat_3, .*found 11 keys"),
    "shape": (edit(lambda e: e.update(world_mat_1=np.eye(3))), r"shape \[4, 4\] for world_mat_1, got \[3, 3\]"),
    "text": (edit(lambda e: e.update(world_mat_1=np.full((4, 4), "a"))), r"numbers for world_mat_1, got <U1"),
    "NaN": (edit(lambda e: e.update(world_mat_1=np.full((4, 4), np.nan))), r"finite numbers for world_mat_1"),
    "infinity": (edit(lambda e: e.update(scale_mat_0=np.full((4, 4), np.inf))), r"finite numbers for scale_mat_0"),
    "singular": (edit(lambda e: e.update(world_mat_1=np.zeros((4, 4)))), r"world_mat: camera 1: .*singular"),
    "two scales": (edit(lambda e: e.update(scale_mat_2=np.eye(4))), r"scale_mat_2 differs from scale_mat_0"),
    "no similarity": (edit(skew), r"scale_mat_0: expected one uniform scale.*from 10 to 20"),
    "one place": (edit(same_place), r"cameras at different places, all 6 stand at the same point"),
    "turned away": (edit(turn_away), r"it lies behind all of them"),
    "no image folder": (remove("image"), r"expected a folder image or images with pictures, there is none"),
    "empty image folder": (clear("image"), r"image: expected PNG or JPEG pictures, there are none"),
    "one image missing": (remove("image/003.png"), r"each of the 5 pictures, got 6 cameras"),
    "image of another size": (
        picture("image/003.png", np.zeros((24, 30, 3), np.uint8)),
        r"image/003\.png: expected 32 x 24 pixels like 000\.png, got 30 x 24",
    ),
    "truncated image": (lambda path: truncate(path / "image" / "003.png"), r"image/003\.png: expected a .*cut short"),
    "empty image": (replace("image/003.png", b""), r"image/003\.png: .*the file is empty"),
    "image is text": (replace("image/003.png", b"abc"), r"image/003\.png: .*cannot be read"),
    "no mask folder": (remove("mask"), r"folder mask or masks, there is none; pass scene\.masks=none"),
    "empty mask folder": (clear("mask"), r"mask: expected PNG or JPEG pictures"),
    "one mask missing": (remove("mask/003.png"), r"mask: expected a mask for each of the 6 pictures, got 5 masks"),
    "mask of another size": (
        picture("mask/003.png", np.full((12, 16), 255, np.uint8)),
        r"mask/003\.png: expected 32 x 24 pixels like its picture, got a mask of 16 x 12",
    ),
    "truncated mask": (
        lambda path: truncate(path / "mask" / "003.png"),
        r"mask/003\.png: expected a .*(cut short|read)",
    ),
    "black masks": (blacken_masks, r"masks that are white on the target, all 6 are empty"),
    "one depth missing": (remove("depth/003.npy"), r"depth: expected a depth map for each of the 6 pictures, got 5"),
    "depth is text": (replace("depth/003.npy", b"abc"), r"depth/003\.npy: expected a depth map as npy"),
    "depth of another size": (
        lambda path: np.save(path / "depth" / "003.npy", np.ones((3, 4))),
        r"depth/003\.npy: expected \[H, W\] = \[24, 32\] like its picture, got \[3, 4\]",
    ),
    "depth of whole numbers": (
        lambda path: np.save(path / "depth" / "003.npy", np.ones((24, 32), int)),
        r"depth/003\.npy: expected a depth map of floats",
    ),
    "negative depth": (
        lambda path: np.save(path / "depth" / "003.npy", np.full((24, 32), -1.0)),
        r"depth/003\.npy: expected depths of 0 \(unknown\) and above",
    ),
    "mesh is text": (replace("gt_mesh.ply", b"abc"), r"gt_mesh\.ply: expected a triangle mesh in PLY format"),
    "cut mesh": (lambda path: truncate(path / "gt_mesh.ply"), r"gt_mesh\.ply: expected a triangle mesh"),
    "points only": (
        replace(
            "gt_mesh.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
            b"end_header\n0 0 0\n",
        ),
        r"gt_mesh\.ply: expected a triangle mesh, it holds no triangles",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenes_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    break_scene, message = BROKEN[case]
    write_dtu_scene(tmp_path / "box", depths=True, mesh=True)
    break_scene(tmp_path / "box")
    with pytest.raises(InputError, match=message) as caught:
        read_dtu(tmp_path / "box")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("downscale", [0, -1, 25])
def test_downscale_out_of_range(tmp_path: Path, downscale: int) -> None:
    write_dtu_scene(tmp_path)
    with pytest.raises(InputError, match=rf"scene\.downscale: expected 1 to 24 for .*, got {downscale}"):
        read_dtu(tmp_path, downscale=downscale)


@pytest.mark.parametrize(
    ("test_views", "message"),
    [
        ([6], r"views from 0 to 5, got \[6\]"),
        ([-1, 9], r"views from 0 to 5, got \[-1, 9\]"),
        ([0, 1, 2, 3, 4, 5], r"at least 2 views to train on, got 0 \(6 views, 6 of them held out\)"),
        ([0, 1, 2, 3, 4], r"at least 2 views to train on, got 1"),
    ],
)
def test_test_views_out_of_range(tmp_path: Path, test_views: list[int], message: str) -> None:
    write_dtu_scene(tmp_path)
    with pytest.raises(InputError, match=message):
        read_dtu(tmp_path, test_views=test_views)


def test_one_view_is_too_few(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path, views=1)
    with pytest.raises(InputError, match="at least 2 views to train on, got 1"):
        read_dtu(tmp_path)


@pytest.mark.skipif(not REAL_SCENE.is_dir(), reason="the DTU scan is not beside the repository")
def test_a_real_scan() -> None:
    scene = read_dtu(REAL_SCENE, downscale=4)
    assert scene.images.shape == (49, 150, 200, 3)
    assert scene.test == (8, 13, 16, 21, 26, 31, 34)
    assert scene.masks is not None
    # Points triangulated from the pictures lie in all masks and in the unit sphere.
    world = np.load(REAL_SCENE / "check_points_mm.npz")["xyz"]
    points = (world - scene.world_from_normalized[:3, 3]) / scene.scale
    assert np.linalg.norm(points, axis=1).max() < 1
    for view in range(49):
        xy, z = project(scene.cameras.intrinsics[view], scene.cameras.cam_to_world[view], points)
        pixels = np.rint(xy).astype(int)
        assert (z > 0).all()
        inside = ((pixels >= 0) & (pixels < [200, 150])).all(axis=1)
        assert inside.mean() > 0.99
        # Some lie at the very rim, where a reduced mask may exclude them.
        assert scene.masks[view][pixels[inside, 1], pixels[inside, 0]].mean() > 0.97
