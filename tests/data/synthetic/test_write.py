"""Procedural scenes: what is on disk must agree with geometry worked out here by other means."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nto3d.data.synthetic import make_scene
from tests.data.synthetic.scene_files import contents, read_picture

SIZE = (96, 72)  # width, height
VIEWS = 5
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "tabletop"
    make_scene("tabletop", 3, out, views=VIEWS, size=SIZE)
    return out


@pytest.fixture(scope="module")
def mesh(folder: Path) -> trimesh.Trimesh:
    return trimesh.load(folder / "gt_mesh.ply", process=False)


def decomposed(world_mat: Floats) -> tuple[Floats, Floats, Floats]:
    """K, R and the camera centre, by OpenCV."""
    intrinsics, rotation, center = cv2.decomposeProjectionMatrix(world_mat[:3])[:3]
    return intrinsics / intrinsics[2, 2], rotation, center[:3, 0] / center[3, 0]


def test_layout_is_complete(folder: Path) -> None:
    expected = {"cameras_sphere.npz", "gt_mesh.ply", "prompts.json", "scene.json"}
    for i in range(VIEWS):
        expected |= {f"image/{i:06d}.png", f"mask/{i:03d}.png", f"depth/{i:03d}.png"}
    assert set(contents(folder)) == expected
    for i in range(VIEWS):
        image, mask = read_picture(folder / f"image/{i:06d}.png"), read_picture(folder / f"mask/{i:03d}.png")
        depth = read_picture(folder / f"depth/{i:03d}.png")
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert image.dtype == np.uint8
        assert image.std() > 15  # textured, not one colour
        assert mask.shape == (SIZE[1], SIZE[0])
        assert set(np.unique(mask)) == {0, 255}
        assert depth.dtype == np.uint16
    about = json.loads((folder / "scene.json").read_text())
    assert (about["recipe"], about["seed"], about["views"], about["size"]) == ("tabletop", 3, VIEWS, list(SIZE))
    assert len(about["objects"]) >= 4  # three neighbours and the table


def test_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    make_scene("tabletop", 3, tmp_path / "again", views=VIEWS, size=SIZE)
    first, second = contents(folder), contents(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    with zipfile.ZipFile(folder / "cameras_sphere.npz") as archive:  # a date would only show after two seconds
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_neighbours_have_truth_of_their_own_on_demand(folder: Path, tmp_path: Path) -> None:
    """All else stays as it is, but for the unit sphere, which holds all of them."""
    make_scene("tabletop", 3, tmp_path / "all", views=VIEWS, size=SIZE, objects=True)
    plain, whole = contents(folder), contents(tmp_path / "all")
    names = json.loads(whole["scene.json"])["objects"][:-1]  # the last one is the table
    assert len(names) > 2
    more = {f"gt_mesh_{name}.ply" for name in names} | {f"mask_{n}/{i:03d}.png" for n in names for i in range(VIEWS)}
    assert set(whole) - set(plain) == more
    assert {name for name in plain if plain[name] != whole[name]} == {"cameras_sphere.npz"}
    with np.load(tmp_path / "all" / "cameras_sphere.npz") as cameras, np.load(folder / "cameras_sphere.npz") as before:
        for i in range(VIEWS):
            np.testing.assert_array_equal(cameras[f"world_mat_{i}"], before[f"world_mat_{i}"])
        scale_mat = cameras["scale_mat_0"]
        shown = dict.fromkeys(names, 0)
        for name in names:
            mesh = trimesh.load(tmp_path / "all" / f"gt_mesh_{name}.ply", process=False)
            assert mesh.is_watertight
            assert np.linalg.norm((mesh.vertices - scale_mat[:3, 3]) / scale_mat[0, 0], axis=1).max() < 1
            for i in range(VIEWS):
                mask = read_picture(tmp_path / "all" / f"mask_{name}" / f"{i:03d}.png") > 0
                assert not (mask & (read_picture(folder / "mask" / f"{i:03d}.png") > 0)).any()
                # Nothing of the mask lies beside the projected mesh
                points = np.c_[mesh.vertices, np.ones(len(mesh.vertices))] @ cameras[f"world_mat_{i}"][:3].T
                x, y = np.rint(points[:, :2] / points[:, 2:]).astype(int).T
                covered = np.zeros(mask.shape, dtype=np.uint8)
                inside = (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
                covered[y[inside], x[inside]] = 1
                assert not (mask & (cv2.dilate(covered, np.ones((5, 5), np.uint8)) == 0)).any()
                shown[name] += int(mask.sum())
    assert min(shown.values()) > 0


def test_cameras_look_at_the_sphere(folder: Path, mesh: trimesh.Trimesh) -> None:
    matrices = np.load(folder / "cameras_sphere.npz", allow_pickle=False)
    scale_mat = matrices["scale_mat_0"]
    assert np.linalg.norm(scale_mat[:3, 3]) > 100  # the world's origin is far from the target
    assert scale_mat[0, 0] > 10
    np.testing.assert_array_equal(scale_mat[:3, :3], scale_mat[0, 0] * np.eye(3))
    reach = np.linalg.norm((mesh.vertices - scale_mat[:3, 3]) / scale_mat[0, 0], axis=1).max()
    assert 0.85 < reach < 0.92  # 10 to 15 % margin
    for i in range(VIEWS):
        np.testing.assert_array_equal(matrices[f"scale_mat_{i}"], scale_mat)
        intrinsics, rotation, center = decomposed(matrices[f"world_mat_{i}"])
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        assert intrinsics[0, 0] > 0
        pixel = matrices[f"world_mat_{i}"] @ np.append(scale_mat[:3, 3], 1.0)
        assert pixel[2] > 0
        x, y = pixel[:2] / pixel[2]
        assert 0.3 * SIZE[0] < x < 0.7 * SIZE[0]
        assert 0.3 * SIZE[1] < y < 0.7 * SIZE[1]
        up = rotation @ np.array([0.0, 0.0, 1.0])
        assert up[1] < 0  # world z is up in the picture, camera y is down
        assert center[2] > scale_mat[2, 3]


def test_unprojected_depth_lies_on_the_ground_truth(folder: Path, mesh: trimesh.Trimesh) -> None:
    matrices = np.load(folder / "cameras_sphere.npz", allow_pickle=False)
    unit = json.loads((folder / "scene.json").read_text())["depth"]["scale"]
    points, face = trimesh.sample.sample_surface(mesh, 200_000, seed=1)
    nearest = cKDTree(points)
    for i in range(VIEWS):
        intrinsics, rotation, center = decomposed(matrices[f"world_mat_{i}"])
        mask = read_picture(folder / f"mask/{i:03d}.png") > 0
        depth = read_picture(folder / f"depth/{i:03d}.png").astype(np.float64) * unit
        y, x = np.nonzero(mask)
        assert (depth[mask] > 0).all()
        local = np.stack([x, y, np.ones_like(x)], axis=1) @ np.linalg.inv(intrinsics).T
        world = (local * depth[mask][:, None]) @ rotation + center
        distance, index = nearest.query(world)
        from_plane = np.abs(((world - points[index]) * mesh.face_normals[face[index]]).sum(axis=1))
        assert distance.max() < 2.0  # millimetres; samples lie about 0.5 mm apart
        assert np.quantile(from_plane, 0.95) < 0.2


def test_mask_agrees_with_projected_ground_truth(folder: Path, mesh: trimesh.Trimesh) -> None:
    matrices = np.load(folder / "cameras_sphere.npz", allow_pickle=False)
    unit = json.loads((folder / "scene.json").read_text())["depth"]["scale"]
    points = np.asarray(trimesh.sample.sample_surface(mesh, 300_000, seed=2)[0])
    for i in range(VIEWS):
        mask = read_picture(folder / f"mask/{i:03d}.png") > 0
        depth = read_picture(folder / f"depth/{i:03d}.png").astype(np.float64) * unit
        rotation, center = decomposed(matrices[f"world_mat_{i}"])[1:]
        pixel = np.c_[points, np.ones(len(points))] @ matrices[f"world_mat_{i}"][:3].T
        z = (points - center) @ rotation[2]
        x, y = np.rint(pixel[:, :2] / pixel[:, 2:]).astype(int).T
        shown = np.zeros_like(mask)
        shown[y, x] = True
        grown = cv2.dilate(shown.astype(np.uint8), np.ones((3, 3))) > 0
        assert not (mask & ~grown).any()  # no mask where there is no target
        front = np.abs(z - depth[y, x]) < 0.4
        assert mask[y[front], x[front]].mean() > 0.97  # what is seen at the target's depth is in the mask
        inner = cv2.erode(shown.astype(np.uint8), np.ones((3, 3))) > 0
        hidden = np.full(mask.shape, np.inf)
        np.minimum.at(hidden, (y, x), z)
        cut = inner & ~mask & (depth > hidden - 1.0)  # behind the target's front, yet not of the mask
        assert cut.sum() <= 0.01 * mask.sum()  # slits narrower than a pixel


def test_click_is_on_the_target(folder: Path) -> None:
    prompts = json.loads((folder / "prompts.json").read_text())
    (frame,) = prompts["frames"]
    assert frame["label"] == [1]
    ((x, y),) = frame["point"]
    mask = read_picture(folder / f"mask/{frame['index']:03d}.png") > 0
    assert mask[y - 1 : y + 2, x - 1 : x + 2].all()


def test_ground_truth_is_one_closed_surface(mesh: trimesh.Trimesh) -> None:
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0  # faces point outwards
    assert mesh.body_count == 1
    assert mesh.euler_number < 2  # a handle makes it no sphere; the robot of other seeds may be one


def test_seeds_give_different_scenes(folder: Path, tmp_path: Path) -> None:
    make_scene("tabletop", 4, tmp_path / "other", views=1, size=SIZE)
    other = json.loads((tmp_path / "other/scene.json").read_text())
    mine = json.loads((folder / "scene.json").read_text())
    assert (other["target"], other["objects"]) != (mine["target"], mine["objects"])
    image, another = read_picture(folder / "image/000000.png"), read_picture(tmp_path / "other/image/000000.png")
    assert np.abs(image.astype(float) - another.astype(float)).mean() > 5
