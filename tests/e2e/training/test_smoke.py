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
# Two threads: the order in which they come must not matter
SMOKE = ("scene=dtu", "segmenter=precomputed", "trainer=smoke", "device=cpu", "threads=2")
QUIET = ("evaluate.enabled=false", "evaluate.report=false", "logger=none")
ALWAYS = {"train_seconds", "total_seconds", "peak_memory_gb", "psnr", "ssim"}
WITH_MASKS = {"psnr_mask", "ssim_mask", "mask_iou"}
WITH_MESH = {"chamfer", "chamfer_relative", "fscore", "normal_error"}
WITH_POINTS = {"points_mean", "points_median"}


def tensors(run: Path) -> dict[str, torch.Tensor]:
    model = torch.load(run / "checkpoint.pt", weights_only=True)["model"]
    return {name: value for name, value in model.items() if isinstance(value, torch.Tensor)}


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sphere of radius 5 around `CENTER`, seen by 9 cameras, one of them held out; and points on it."""
    folder = tmp_path_factory.mktemp("smoke")
    write_dtu_scene(folder / "ball", views=9, size=(48, 64), mesh=True)
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.savez(folder / "points.npz", xyz=CENTER + SPHERE_RADIUS * SCALE * directions)
    return folder / "ball"


def smoke(ball: Path, run: str, *values: str) -> Path:
    """The folder of a finished run, beside the scene."""
    folder = ball.parent / run
    assert main([*SMOKE, f"scene.path={ball}", f"output={folder}", *values]) == 0
    return folder


@pytest.fixture(scope="module")
def given(ball: Path) -> Path:
    """A run with the masks of the scene, everything measured and reported."""
    return smoke(ball, "given", f"evaluate.points={ball.parent / 'points.npz'}", "export.format=glb")


@pytest.fixture(scope="module")
def without(ball: Path) -> Path:
    """A run without masks."""
    return smoke(ball, "without", "scene.masks=none", "evaluate.report=false")


def test_a_smoke_run_gives_everything(given: Path) -> None:
    files = {path.name for path in given.iterdir()}
    assert files >= {"config.yaml", "run.json", "checkpoint.pt", "log.txt", "scalars.csv", "tensorboard"}
    assert files >= {"mesh.ply", "mesh.npz", "mesh.glb", "metrics.json", "report.html"}
    assert not [name for name in files if name.endswith(".tmp")]

    metrics = json.loads((given / "metrics.json").read_text())
    assert set(metrics) >= ALWAYS | WITH_MASKS | WITH_MESH | WITH_POINTS
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert metrics["mask_iou"] > 0.7
    assert metrics["points_mean"] < 0.15 * SPHERE_RADIUS * SCALE
    assert 0 < metrics["train_seconds"] <= metrics["total_seconds"]

    mesh = trimesh.load_mesh(given / "mesh.ply")
    radii = np.linalg.norm(np.asarray(mesh.vertices) - CENTER, axis=1)
    assert np.median(radii) == pytest.approx(SPHERE_RADIUS * SCALE, rel=0.1)
    assert radii.max() < 1.5 * SPHERE_RADIUS * SCALE
    assert np.linalg.norm(np.asarray(mesh.vertices).mean(axis=0) - CENTER) < 0.1 * SPHERE_RADIUS * SCALE
    assert mesh.visual.kind == "vertex"

    report = (given / "report.html").read_text()
    assert "data:image/" in report
    assert "trainer=smoke" in report
    for name in ("mask_iou", "chamfer_relative", "seen by no training view"):
        assert name in report


def test_without_masks(without: Path) -> None:
    metrics = json.loads((without / "metrics.json").read_text())
    assert set(metrics) >= ALWAYS | WITH_MESH
    assert len(trimesh.load_mesh(without / "mesh.ply").faces) > 0
    assert any(name.startswith("background.") for name in tensors(without))


@pytest.mark.parametrize("masks", ["given", "none"])
def test_the_same_bits_measured_or_not(ball: Path, masks: str, request: pytest.FixtureRequest) -> None:
    first_run: Path = request.getfixturevalue("given" if masks == "given" else "without")
    second_run = smoke(ball, f"again_{masks}", f"scene.masks={masks}", *QUIET)
    first, second = tensors(first_run), tensors(second_run)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert (first_run / "mesh.ply").read_bytes() == (second_run / "mesh.ply").read_bytes()


def test_another_seed_gives_other_weights(ball: Path, given: Path) -> None:
    other = smoke(ball, "other", "seed=1", *QUIET)
    assert not torch.equal(tensors(given)["sdf.out.weight"], tensors(other)["sdf.out.weight"])
