"""`trainer=smoke` from pictures and given masks to mesh, metrics and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from nto3d.cli import main
from tests.helpers import SPHERE_RADIUS, write_dtu_scene

CENTER, SCALE = np.array([1.0, -2.0, 30.0]), 10.0  # of the helper's scene, world units
SMOKE = ("scene=dtu", "scene.path=ball", "segmenter=precomputed", "trainer=smoke", "device=cpu", "threads=2")
ALWAYS = {"train_seconds", "total_seconds", "peak_memory_gb", "psnr", "ssim"}
WITH_MASKS = {"psnr_mask", "ssim_mask", "mask_iou"}
WITH_MESH = {"chamfer", "chamfer_relative", "fscore", "normal_error"}
WITH_POINTS = {"points_mean", "points_median"}


def tensors(run: str) -> dict[str, torch.Tensor]:
    model = torch.load(Path(run) / "checkpoint.pt", weights_only=True)["model"]
    return {name: value for name, value in model.items() if isinstance(value, torch.Tensor)}


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    """A sphere of radius 5 around `CENTER`, seen by 9 cameras, one of them held out; and points on it."""
    write_dtu_scene(tmp_path / "ball", views=9, size=(48, 64), mesh=True)
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.savez(tmp_path / "points.npz", xyz=CENTER + SPHERE_RADIUS * SCALE * directions)
    return tmp_path / "ball"


@pytest.mark.usefixtures("ball")
def test_a_smoke_run_gives_everything() -> None:
    assert main([*SMOKE, "output=run", "evaluate.points=points.npz", "export.format=glb"]) == 0
    run = Path("run")
    files = {path.name for path in run.iterdir()}
    assert files >= {"config.yaml", "run.json", "checkpoint.pt", "log.txt", "scalars.csv", "tensorboard"}
    assert files >= {"mesh.ply", "mesh.npz", "mesh.glb", "metrics.json", "report.html"}
    assert not [name for name in files if name.endswith(".tmp")]

    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= ALWAYS | WITH_MASKS | WITH_MESH | WITH_POINTS
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert metrics["mask_iou"] > 0.7
    assert metrics["points_mean"] < 0.15 * SPHERE_RADIUS * SCALE
    assert 0 < metrics["train_seconds"] <= metrics["total_seconds"]

    mesh = trimesh.load_mesh(run / "mesh.ply")
    radii = np.linalg.norm(np.asarray(mesh.vertices) - CENTER, axis=1)
    assert np.median(radii) == pytest.approx(SPHERE_RADIUS * SCALE, rel=0.1)
    assert radii.max() < 1.5 * SPHERE_RADIUS * SCALE
    assert np.linalg.norm(np.asarray(mesh.vertices).mean(axis=0) - CENTER) < 0.1 * SPHERE_RADIUS * SCALE
    assert mesh.visual.kind == "vertex"

    report = (run / "report.html").read_text()
    assert "data:image/" in report
    assert "trainer=smoke" in report
    for name in ("mask_iou", "chamfer_relative", "seen by no training view"):
        assert name in report


@pytest.mark.usefixtures("ball")
def test_without_masks() -> None:
    assert main([*SMOKE, "output=run", "scene.masks=none", "evaluate.report=false"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert set(metrics) >= ALWAYS | WITH_MESH
    assert len(trimesh.load_mesh("run/mesh.ply").faces) > 0
    assert any(name.startswith("background.") for name in tensors("run"))


@pytest.mark.usefixtures("ball")
@pytest.mark.parametrize("masks", ["given", "none"])
def test_the_same_command_gives_the_same_bits(masks: str) -> None:
    for run in ("first", "second"):
        rest = ("evaluate.enabled=false", "evaluate.report=false", "logger=none")
        assert main([*SMOKE, f"output={run}", f"scene.masks={masks}", *rest]) == 0
    first, second = tensors("first"), tensors("second")
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert Path("first/mesh.ply").read_bytes() == Path("second/mesh.ply").read_bytes()


@pytest.mark.usefixtures("ball")
def test_another_seed_gives_other_weights() -> None:
    for seed in (1, 2):
        rest = ("trainer.steps=2", "export.resolution=16", "evaluate.enabled=false", "evaluate.report=false")
        assert main([*SMOKE, f"output=seed{seed}", f"seed={seed}", "logger=none", *rest]) == 0
    assert not torch.equal(tensors("seed1")["sdf.out.weight"], tensors("seed2")["sdf.out.weight"])
