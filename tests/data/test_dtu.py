"""Reading scenes in the DTU layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.geometry.cameras import project, unproject
from tests.data.broken_scenes import Entries
from tests.helpers import ROOT, write_dtu_scene

REAL_SCENE = ROOT.parent / "shared" / "data" / "dtu_scan65"


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
    for scale, came in ((-1, "-1"), (10**400, "a number of 1329 bits"), ("0.01", "'0.01'"), (float("nan"), "nan")):
        (tmp_path / "scene.json").write_text(json.dumps({"depth": {"scale": scale}}))
        with pytest.raises(InputError, match=rf"positive number for depth\.scale, got {came}"):
            read_dtu(tmp_path)


def test_held_out_views(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    assert read_dtu(tmp_path).test == (4,)
    scene = read_dtu(tmp_path, test_views=[5, 1])
    assert scene.test == (1, 5)
    assert scene.train == (0, 2, 3, 4)
    assert read_dtu(tmp_path, test_views=[]).train == (0, 1, 2, 3, 4, 5)


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
