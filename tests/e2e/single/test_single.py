"""`mode=single` through `train.py`: from a picture with depth to a mesh in the camera's frame, and its errors.

The network answers a ball that is known by hand; what it sees and what becomes of its answer is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy import ndimage
from torch import Tensor

from nto3d.cli import main
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.weights import save_mcc
from tests.helpers import WrittenScene, write_dtu_scene
from tests.report.entities import entities

SIZES = MccSizes(32, 8, 16, 4, 24, 1, 3, 16, 1, 4)
CENTER, RADIUS, HALF = (0.2, -0.1, 0.9), 1.2, 0.1  # of the ball, normalized
RUN = ("mode=single", "scene=dtu", "scene.path=ball", "segmenter=precomputed", "single.checkpoint=mcc.safetensors")
REST = ("device=cpu", "threads=1", "single.granularity=0.1", "output=run")


def ball(model: Mcc, memory: object, places: Tensor, hints: Tensor | None = None) -> Tensor:
    distance = (places[0] - torch.tensor(CENTER)).norm(dim=1) - RADIUS
    logits = torch.zeros(len(distance), 1 + 3 * 256)
    logits[:, 0] = 6.0 * torch.tanh((HALF - distance.abs()) / HALF * 2.0)
    logits[:, 1 + 200] = 10.0  # red
    return logits[None]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrittenScene:
    torch.manual_seed(0)
    save_mcc(Mcc(SIZES), tmp_path / "mcc.safetensors")
    monkeypatch.setattr(Mcc, "answer", ball)
    return write_dtu_scene(tmp_path / "ball", views=6, size=(48, 64), depths=True)


def normalization(scene: WrittenScene, view: int) -> tuple[np.ndarray, float]:
    """Mean and spread of the seen points, x left, y up, in world units; from first principles."""
    y, x = np.nonzero(scene.masks[view])
    z = scene.depths[view][y, x].astype(np.float64)
    pixels = np.stack([x, y, np.ones_like(x)], axis=1) @ np.linalg.inv(scene.intrinsics[view]).T
    points = pixels * z[:, None] * [-1, -1, 1]
    return points.mean(axis=0), float(points.std(axis=0, ddof=1).mean())


@pytest.mark.parametrize("view", [0, 3])
def test_the_mesh_lies_in_the_cameras_frame_and_the_depths_unit(scene: WrittenScene, view: int) -> None:
    assert main([*RUN, *REST, f"scene.view={view}", "export.format=glb"]) == 0
    mean, spread = normalization(scene, view)
    center = (np.array(CENTER) * spread + mean) * [-1, -1, 1]
    for name in ("mesh.ply", "mesh.glb"):
        mesh = trimesh.load_mesh(Path("run") / name, process=False)
        away = np.linalg.norm(np.asarray(mesh.vertices) - center, axis=1)
        assert np.abs(away - RADIUS * spread).mean() < 0.03 * RADIUS * spread
        assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight
        assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume > 0  # faces look outwards
    assert (np.asarray(mesh.visual.vertex_colors)[:, 0] > 150).all()
    cloud = trimesh.load(Path("run") / "points.ply")
    away = np.linalg.norm(np.asarray(cloud.vertices) - center, axis=1) / spread
    assert np.abs(away - RADIUS).max() < HALF + 0.05
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["seen_points"] == scene.masks[view].sum()
    assert metrics["size"] == pytest.approx(2 * np.sqrt(3) * RADIUS * spread, rel=0.06)
    assert metrics["places_asked"] < 60**3
    report = Path("run/report.html").read_text()
    assert "<h2>Input</h2>" in report
    assert report.count("data:image/jpeg") > 10


def test_a_picture_file_with_a_mask_and_a_depth_file(scene: WrittenScene) -> None:
    Image.fromarray(scene.images[0]).save("photo.png")
    Image.fromarray(scene.masks[0].astype(np.uint8)).save("mask.png")  # of ones
    Image.fromarray(np.rint(scene.depths[0] * 100).astype(np.uint16)).save("depth.png")
    files = ("scene=image", "scene.path=photo.png", "scene.mask=mask.png", "depth=file", "depth.path=depth.png")
    given = ("mode=single", *files, "depth.scale=0.01", "scene.fov_degrees=40", RUN[-1])
    assert main([*given, *REST]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["seen_points"] == scene.masks[0].sum()
    assert "40 degrees" in Path("run/log.txt").read_text()


def wrong_numbers(depth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask & (np.random.default_rng(0).random(mask.shape) < 0.02), 65535, depth), mask


def wide_mask(depth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask, depth, 4000), ndimage.binary_dilation(mask, iterations=3)


@pytest.mark.parametrize("spoil", [wrong_numbers, wide_mask])
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_wrong_depths_in_the_mask_do_not_stretch_the_object(
    scene: WrittenScene, spoil: Callable[..., tuple[np.ndarray, np.ndarray]], scale: float
) -> None:
    extents = {}
    for name, change in {"clean": lambda *given: given, "spoilt": spoil}.items():
        depth, mask = change(np.rint(scene.depths[0] * 100).astype(np.uint16), scene.masks[0])
        if scale == 1.0:  # as floats, where 65535 is a number like any other
            np.save("depth.npy", depth.astype(np.float32) / 100)
        Image.fromarray(depth.astype(np.uint16)).save("depth.png")
        Image.fromarray(scene.images[0]).save("photo.png")
        Image.fromarray(mask.astype(np.uint8)).save("mask.png")
        files = ("scene=image", "scene.path=photo.png", "scene.mask=mask.png", "depth=file", f"depth.scale={scale}")
        path = "depth.path=depth.png" if scale < 1 else "depth.path=depth.npy"
        given = ("mode=single", *files, path, RUN[-1], *REST[:-1], f"output={name}", "evaluate.report=false")
        assert main(list(given)) == 0
        extents[name] = np.ptp(trimesh.load_mesh(Path(name) / "mesh.ply").vertices, axis=0)
    assert extents["spoilt"] == pytest.approx(extents["clean"], rel=0.03)
    said = Path("spoilt/log.txt").read_text()
    assert "points in the mask are left out" in said or "taken for unknown" in said
    assert "left out" not in Path("clean/log.txt").read_text()


@pytest.mark.parametrize("cut", [0, 1])
def test_a_reduced_picture_with_depth_and_mask_of_its_full_size(scene: WrittenScene, cut: int) -> None:
    rows, columns = slice(0, 48 - cut), slice(0, 64 - cut)
    Image.fromarray(scene.images[0][rows, columns]).save("photo.png")
    Image.fromarray(scene.masks[0][rows, columns].astype(np.uint8)).save("mask.png")
    np.save("depth.npy", scene.depths[0][rows, columns].astype(np.float32))
    files = ("scene=image", "scene.path=photo.png", "scene.mask=mask.png", "depth=file", "depth.path=depth.npy")
    given = ("mode=single", *files, RUN[-1], *REST[:-1], "evaluate.report=false")
    meshes = []
    for factor in (1, 2):
        assert main([*given, f"scene.downscale={factor}", f"output=run_{factor}"]) == 0
        meshes.append(trimesh.load_mesh(f"run_{factor}/mesh.ply", process=False).vertices)
    size = np.linalg.norm(np.ptp(meshes[0], axis=0))
    for end in (np.min, np.max):  # the outermost pixels of the mask are lost to blocks that spread over its border
        assert np.abs(end(meshes[1], axis=0) - end(meshes[0], axis=0)).max() < 0.04 * size
    wrong = np.ones((50, 70), dtype=np.float32)
    np.save("depth.npy", wrong)
    assert main([*given, "scene.downscale=2", "output=other"]) == 2


def test_from_a_click(scene: WrittenScene) -> None:
    click = ("segmenter=grabcut", "prompts.view=0", "prompts.points=[[32,24]]")
    assert main([*RUN, *REST, *click, "evaluate.report=false"]) == 0
    seen = json.loads(Path("run/metrics.json").read_text())["seen_points"]
    assert seen == pytest.approx(scene.masks[0].sum(), rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["single.checkpoint=nowhere.pth"], "nowhere.pth: expected weights of MCC"),
        (["scene.view=6"], "scene.view: expected a view from 0 to 5, got 6"),
        (["depth=file"], "depth.path is missing"),
        (["depth=file", "depth.path=nowhere.npy"], "nowhere.npy"),
        (["segmenter=grabcut", "prompts.view=1", "prompts.points=[[32,24]]"], "expected one in view 0 (scene.view)"),
        (["single.granularity=0"], "single.granularity"),
        (["single.threshold=1"], "single.threshold"),
        (["mode=multiview", "scene=image", "scene.path=photo.png"], "pass mode=single"),
        (["scene.fov_degrees=180"], "scene.fov_degrees"),
        (["single.batchh=3"], "single.batchh"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_errors_are_one_line(
    scene: WrittenScene, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*RUN, *REST, *arguments]) == 2
    assert words in capfd.readouterr().err.splitlines()[-1]
    assert not Path("run/mesh.ply").exists()


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (np.zeros((48, 64)), ""),
        (np.full((48, 64), -1.0), "3072 of 3072 pixels below 0"),
        (np.ones((20, 64)), "64 x 20"),
    ],
    ids=["nothing", "negative", "size"],
)
def test_depths_that_cannot_be_are_one_line(
    scene: WrittenScene, capfd: pytest.CaptureFixture[str], depth: np.ndarray, words: str
) -> None:
    np.save("depth.npy", depth.astype(np.float32))
    assert main([*RUN, *REST, "depth=file", "depth.path=depth.npy"]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert "depth.npy" in last
    assert words in last


def test_nothing_but_the_target_s_depth_counts(scene: WrittenScene, capfd: pytest.CaptureFixture[str]) -> None:
    np.save("depth.npy", np.where(scene.masks[0], 0.0, 5.0).astype(np.float32))
    assert main([*RUN, *REST, "depth=file", "depth.path=depth.npy"]) == 2
    assert "at least 16 pixels with a depth, got 0" in capfd.readouterr().err.splitlines()[-1]


def test_a_recording_holds_what_the_run_found(scene: WrittenScene) -> None:
    pytest.importorskip("rerun")
    assert main([*RUN, *REST, "viewer=rerun"]) == 0
    found = entities(Path("run/recording.rrd"), "pass")
    assert {"/camera", "/camera/picture", "/camera/mask", "/camera/depth", "/seen", "/mesh"} <= set(found)
    assert found["/seen"] == [0]
    passes = [name for name in found if name.startswith("/completed/pass_")]
    assert all(found[name] == [int(name.rpartition("_")[2])] for name in passes)
    assert found["/mesh"] == [len(passes)]


def test_a_run_that_fails_leaves_no_recording(scene: WrittenScene) -> None:
    pytest.importorskip("rerun")
    assert main([*RUN, *REST, "viewer=rerun", "scene.view=99"]) == 2
    assert main([*RUN, *REST, "viewer=rerun", "depth=file", "depth.path=nowhere.npy"]) == 2
    assert not Path("run").exists()
