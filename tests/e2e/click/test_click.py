"""From one click to masks of all views and a mesh, through `train.py`. The sample's own masks only measure."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from nto3d.cli import main
from nto3d.config.schema import SceneConfig
from nto3d.data.load import load_scene
from nto3d.evaluate.masks import iou
from nto3d.runs.lift.confidence import read_confidence
from nto3d.types import Scene
from tests.helpers import SAMPLE, write_dtu_scene
from tests.report.entities import entities

RERUN = importlib.util.find_spec("rerun") is not None
SHRINK, EVERY = 4, 2  # of the sample's 32 pictures of 320 x 240
CLICK = ("scene=dtu", "trainer=smoke", "device=cpu", "threads=1", "logger=none")
VIEWS = 9
BALL = (
    *("prompts.view=0", "prompts.points=[[32,24]]", "field.start=sphere", "field.exposure=off"),
    *("field.sphere_radius=0.5", "lift.scene_steps=60", "lift.round_steps=10", "trainer.steps=2"),
    *("export.resolution=16", "evaluate.enabled=false", "evaluate.report=false"),
)


def thin_out(scene: Path) -> None:
    """Every second view of the bundled sample."""
    cameras = np.load(SAMPLE / "cameras_sphere.npz")
    entries = {}
    for new, old in enumerate(range(0, 32, EVERY)):
        for name in ("world_mat", "scale_mat"):
            entries[f"{name}_{new}"] = cameras[f"{name}_{old}"]
        for source, target in (
            (f"image/{old:06d}.png", f"image/{new:06d}.png"),
            (f"mask/{old:03d}.png", f"mask/{new:03d}.png"),
        ):
            (scene / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SAMPLE / source, scene / target)
    np.savez(scene / "cameras_sphere.npz", **entries)
    for name in ("prompts.json", "gt_mesh.ply"):  # the click is in view 0
        shutil.copy(SAMPLE / name, scene)


def falsify(masks: Path) -> None:
    """The masks become those of all that is not the target."""
    for file in masks.iterdir():
        Image.fromarray(255 - np.array(Image.open(file))).save(file)


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, and its finished `run`."""
    folder = tmp_path_factory.mktemp("clicked") / "toys"
    thin_out(folder)
    rest = ("viewer=rerun",) if RERUN else ()
    assert main([*CLICK, f"scene.path={folder}", f"scene.downscale={SHRINK}", f"output={folder / 'run'}", *rest]) == 0
    return folder


@pytest.fixture(scope="module")
def toys(clicked: Path) -> Scene:
    """What the run sees, with the true masks."""
    return load_scene(SceneConfig(path=str(clicked), downscale=SHRINK))


def found(run: Path, views: int) -> list[np.ndarray]:
    return [np.array(Image.open(run / "masks" / f"{view:03d}.png")) for view in range(views)]


def test_every_view_has_a_mask_of_the_target_alone(clicked: Path, toys: Scene) -> None:
    assert toys.masks is not None
    masks = found(clicked / "run", len(toys.masks))
    assert len(list((clicked / "run" / "masks").iterdir())) == len(toys.masks)
    for mask in masks:
        assert (mask.dtype, mask.shape) == (np.uint8, toys.cameras.size)
        assert np.isin(mask, (0, 255)).all()
    agreement = [iou(mask > 0, true) for mask, true in zip(masks, toys.masks, strict=True)]
    assert np.mean(agreement) > 0.8
    metrics = json.loads((clicked / "run" / "metrics.json").read_text())
    assert metrics["lift_mask_iou"] == pytest.approx(np.mean([agreement[view] for view in toys.train]), abs=1e-6)


def test_rounds_and_metrics(clicked: Path) -> None:
    with (clicked / "run" / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["round", "agreement", "iou", "least_iou", "trust", "seconds"]
    assert [row["round"] for row in rows] == ["0", "1"]  # trainer=smoke goes one round
    assert rows[0]["agreement"] == ""  # with nothing before it
    for row in rows:
        assert 0.0 <= float(row["least_iou"]) <= float(row["iou"]) <= 1.0
        assert 0.0 < float(row["trust"]) <= 1.0
    assert 0.5 < float(rows[1]["agreement"]) <= 1.0
    assert 0.0 < float(rows[0]["seconds"]) < float(rows[1]["seconds"])

    metrics = json.loads((clicked / "run" / "metrics.json").read_text())
    assert metrics["lift_rounds"] == 1.0
    assert metrics["lift_confidence"] == read_confidence(clicked / "run").confidence
    assert float(rows[1]["seconds"]) <= metrics["lift_seconds"] + 1e-3 < metrics["total_seconds"]
    assert {"psnr", "mask_iou", "chamfer", "chamfer_relative", "train_seconds"} <= set(metrics)


def test_the_mesh_is_the_target(clicked: Path) -> None:
    mesh, true = (trimesh.load_mesh(path) for path in (clicked / "run" / "mesh.ply", SAMPLE / "gt_mesh.ply"))
    assert len(mesh.faces) > 0
    size = np.ptp(true.bounds, axis=0).max()
    assert (mesh.bounds[0] > true.bounds[0] - 0.15 * size).all()  # neither the table nor a neighbour
    assert (mesh.bounds[1] < true.bounds[1] + 0.15 * size).all()
    metrics = json.loads((clicked / "run" / "metrics.json").read_text())
    assert metrics["chamfer_relative"] < 0.06  # of the diagonal


def test_the_same_click_gives_the_same_masks_whatever_lies_in_the_mask_folder(tmp_path: Path) -> None:
    """A ball with its true masks, and with false ones: they measure, and nothing else."""
    agreement = []
    for name in ("true", "false"):
        write_dtu_scene(tmp_path / name, views=VIEWS, size=(48, 64))
        if name == "false":
            falsify(tmp_path / name / "mask")
        assert main([*CLICK, *BALL, f"scene.path={tmp_path / name}", f"output={tmp_path / name / 'run'}"]) == 0
        agreement.append(json.loads((tmp_path / name / "run" / "metrics.json").read_text())["lift_mask_iou"])
    for mask, other in zip(*(found(tmp_path / name / "run", VIEWS) for name in ("true", "false")), strict=True):
        assert np.array_equal(mask, other)
    assert agreement[1] < 0.1 < agreement[0]


@pytest.mark.skipif(not RERUN, reason="rerun-sdk is not installed")
def test_the_recording_follows_the_rounds(clicked: Path, toys: Scene) -> None:
    run = clicked / "run"
    known = entities(run / "recording.rrd", "round")
    rounds = [int(row["round"]) for row in csv.DictReader((run / "rounds.csv").open())]
    views = [f"/views/{view:03d}_{Path(name).stem}" for view, name in enumerate(toys.names)]
    for view in views:
        assert known[f"{view}/picture"] == [None]
        when = known[f"{view}/mask"]
        assert when[:2] == [None, 0]  # colours; what was carried from the click
        assert set(when[2:]) <= set(rounds[1:])
        assert len(set(when)) == len(when)
    assert any(len(known[f"{view}/mask"]) > 2 for view in views)
    assert known["/views/000_000000/prompt"] == [None]
    assert known["/rounds/iou"] == rounds
    assert known["/mesh"] == [len(rounds)]
