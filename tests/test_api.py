"""The public interface: the bits of `train.py`, progress, cancelling, and no trace but what it returns."""

from __future__ import annotations

import filecmp
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from hydra.core.global_hydra import GlobalHydra

import nto3d
from nto3d.cli import main
from nto3d.config.io import to_dict
from tests.helpers import ROOT, WrittenScene, write_dtu_scene

SIZE, VIEWS = (48, 64), 8
# Geometry that is right from the start, so that a few steps are enough
VALUES = (
    *("trainer=smoke", "trainer.steps=12", "device=cpu", "threads=1", "export.resolution=32", "lift.scene_steps=80"),
    *("field.start=sphere", "field.sphere_radius=0.5", "field.init_inv_std=100", "lift.accept=0.2"),
)


@pytest.fixture
def ball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrittenScene:
    monkeypatch.chdir(tmp_path)
    return write_dtu_scene(tmp_path / "ball", VIEWS, SIZE)


def test_the_steps_give_the_bits_of_a_run_and_touch_nothing_else(ball: WrittenScene) -> None:
    """The whole way, once in a run's folder and once in memory."""
    values = [*VALUES, "scene=dtu", f"scene.path={ball.path}", "logger=none", "evaluate=none"]
    assert main([*values, "prompts.view=1", "prompts.points=[[32,24]]", "output=run"]) == 0
    torch.manual_seed(3)
    torch.set_num_threads(2)
    before, drawn = sorted(Path().rglob("*")), torch.get_rng_state()
    config, told = nto3d.configure(*VALUES), []
    scene = nto3d.load_scene(ball.path)
    fit = nto3d.fit_scene(scene, config, lambda progress: told.append(progress.stage))
    masks = nto3d.lift(scene, fit, nto3d.click(1, (32, 24)), config, lambda progress: told.append(progress.stage))
    model = nto3d.reconstruct(scene, masks, config, lambda progress: told.append(progress.stage))
    assert sorted(Path().rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == 2
    mesh = model.mesh()
    assert mesh.save("object.ply") == Path("object.ply")
    assert filecmp.cmp("object.ply", "run/mesh.ply", shallow=False)
    assert set(told) == {"scene", "lift", "masks", "reconstruct"}
    assert told.count("reconstruct") == 12
    metrics = json.loads(Path("run/lift/confidence.json").read_text())
    assert masks.confidence == pytest.approx(metrics["confidence"], abs=1e-3)
    assert masks.pixels.shape == (VIEWS, *SIZE)
    assert model.history["loss"][0][-1] == 12
    assert model.render(2).rgb.shape == (*SIZE, 3)
    model.mesh(resolution=16, unseen="mark").save("object.glb")
    assert len(trimesh.load("object.glb", force="mesh").faces) < len(mesh.faces)


def test_masks_of_one_s_own(ball: WrittenScene) -> None:
    given = ["scene=dtu", f"scene.path={ball.path}", "segmenter=precomputed", "logger=none", "evaluate=none"]
    assert main([*VALUES, *given, "output=run"]) == 0
    scene, config = nto3d.load_scene(ball.path), nto3d.configure(*VALUES)
    nto3d.reconstruct(scene, ball.masks, config).mesh().save("own.ply")
    assert filecmp.cmp("own.ply", "run/mesh.ply", shallow=False)
    with pytest.raises(nto3d.InputError, match=r"masks: expected bool \[8, 48, 64\], got uint8"):
        nto3d.reconstruct(scene, ball.masks.astype(np.uint8), config)


def test_a_callback_stops_the_work(ball: WrittenScene) -> None:
    scene, config = nto3d.load_scene(ball.path), nto3d.configure(*VALUES)
    steps: list[int] = []

    def stop(progress: nto3d.Progress) -> bool:
        steps.append(progress.step)
        return progress.step < 5

    with pytest.raises(nto3d.CancelledError, match="cancelled in reconstruct, step 5 of 12"):
        nto3d.reconstruct(scene, ball.masks, config, stop)
    assert steps == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("click", "message"),
    [
        (lambda: nto3d.click(9, (1, 1)), "click: view: expected a view from 0 to 7, got 9"),
        (lambda: nto3d.click(0, (64, 1)), r"click: points\[0\]: expected \[x, y\] inside"),
        (lambda: nto3d.click(0, beside=[(1, 1)]), "expected at least one 1"),
        (lambda: [nto3d.click(0, (1, 1)), nto3d.click(0, (2, 2))], "one for each view"),
        (lambda: {"a": nto3d.click(0, (1, 1)), "b": nto3d.click(0, (1, 1))}, "on different pixels"),
        (lambda: {}, "expected those of one object at least"),
        (lambda: {"a/b": nto3d.click(0, (1, 1))}, "clicks: expected a name of letters, digits"),
        (lambda: (0, 158, 133), "clicks: expected what `click` gives, got 0"),
        (lambda: 3, "clicks: expected what `click` gives, got 3"),
        (lambda: {"Jug": nto3d.click(0, (1, 1)), "jug": nto3d.click(0, (9, 9))}, "differ in more than their case"),
        (lambda: nto3d.click(0, 158, 133), r"click: points\[0\]: expected \[x, y\], got 158"),
        (lambda: nto3d.click(0, (1, 1), beside=(3, 4)), r"click: points\[1\]: expected \[x, y\], got 3"),
        (lambda: nto3d.click(0, (1, 1), box=5), r"click: box: expected \[x0, y0, x1, y1\], got 5"),
    ],
)
def test_wrong_clicks_are_named(ball: WrittenScene, click: object, message: str) -> None:
    scene = nto3d.load_scene(ball.path)
    fit = nto3d.SceneFit({}, {}, {}, 0.0)
    with pytest.raises(nto3d.InputError, match=message):
        nto3d.lift(scene, fit, click(), nto3d.configure(*VALUES))  # type: ignore[operator]


def test_a_fit_belongs_to_its_scene_and_configuration(ball: WrittenScene) -> None:
    scene, click, config = nto3d.load_scene(ball.path), nto3d.click(1, (32, 24)), nto3d.configure(*VALUES)
    fit = nto3d.fit_scene(scene, nto3d.configure(*VALUES, "lift.scene_steps=1"))
    with pytest.raises(nto3d.InputError, match=r"field\.hidden: the fit was made with 32, got 16"):
        nto3d.lift(scene, fit, click, nto3d.configure(*VALUES, "field.hidden=16"))
    with pytest.raises(nto3d.InputError, match="fit: expected that of this scene, 8 views of"):
        nto3d.lift(nto3d.load_scene(ball.path, downscale=4), fit, nto3d.click(1, (6, 4)), config)
    with pytest.raises(nto3d.InputError, match="scene: expected what `load_scene` gives, got 'ball'"):
        nto3d.fit_scene("ball", config)  # type: ignore[arg-type]
    with pytest.raises(nto3d.InputError, match="config: expected what `configure` gives, got str"):
        nto3d.fit_scene(scene, "trainer=smoke")  # type: ignore[arg-type]
    with pytest.raises(nto3d.InputError, match="fit: expected what `fit_scene` gives, got None"):
        nto3d.lift(scene, None, click, config)  # type: ignore[arg-type]
    with pytest.raises(nto3d.InputError, match="expected one that answers clicks, got precomputed"):
        nto3d.lift(scene, fit, click, nto3d.configure(*VALUES, "segmenter=precomputed"))


def test_clicks_may_be_numbers_of_numpy() -> None:
    box = np.array([1, 2, 30, 40])
    some = nto3d.click(np.int64(3), np.array([5, 6]), (np.float32(7), 8), box=box)  # type: ignore[arg-type]
    np.testing.assert_array_equal(some.points, [[5, 6], [7, 8]])
    assert some.view == 3
    assert some.box is not None
    np.testing.assert_array_equal(some.box, box)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=nope"], "trainer=nope: no such option, expected one of fast, quality, smoke"),
        (["trainer.stepss=3"], r"unknown key trainer\.stepss: did you mean trainer\.steps\?"),
        (["trainer.steps=abc"], r"trainer\.steps: .*abc"),
        (["trainer"], "trainer: expected key=value"),
        (["seed=0,1"], "seed=0,1: expected key=value with a single value"),
        (["lift.witnesses=3"], r"it is called lift\.transfer_views now"),
        (["+foo=1"], "foo=1: expected key=value"),
        (["hydra.run.dir=/tmp/x"], "expected a key of nto3d's own"),
    ],
)
def test_wrong_configurations_are_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(nto3d.InputError, match=message):
        nto3d.configure(*overrides)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((8, 8), np.uint8)}, r"image: expected uint8 \[H, W, 3\], got uint8 \[8, 8\]"),
        ({"image": np.zeros((8, 8, 3))}, "image: expected uint8"),
        ({"depth": np.ones((9, 8))}, r"depth: expected numbers \[8, 8\], got float64 \[9, 8\]"),
        ({"mask": np.ones((8, 8))}, r"mask: expected bool \[8, 8\], got float64"),
        ({"intrinsics": np.eye(4)}, "intrinsics: expected finite intrinsics"),
        ({"intrinsics": np.zeros((3, 3))}, "intrinsics: expected intrinsics of positive focal lengths"),
        ({"depth": np.zeros((8, 8))}, "the target: expected at least 16 pixels with a depth, got 0"),
    ],
)
def test_pictures_that_cannot_be_completed(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "image": np.zeros((8, 8, 3), np.uint8),
        "depth": np.ones((8, 8)),
        "mask": np.ones((8, 8), bool),
    }
    with pytest.raises(nto3d.InputError, match=message):
        nto3d.complete(**{**given, **change})


def test_one_picture_is_completed() -> None:
    rows, columns = np.mgrid[:96, :96]
    inside = (rows - 48) ** 2 + (columns - 48) ** 2 < 24**2
    depth = np.where(inside, 3.0 - np.sqrt(np.clip(24.0**2 - (rows - 48) ** 2 - (columns - 48) ** 2, 0, None)) / 50, 0)
    image, told = np.full((96, 96, 3), 128, np.uint8), []
    config = nto3d.configure("single.granularity=0.2", "device=cpu")
    mesh = nto3d.complete(image, depth, inside, config=config, progress=lambda p: told.append(p.stage))
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight
    assert 1.5 < mesh.vertices[:, 2].min() < mesh.vertices[:, 2].max() < 6.0
    assert set(told) == {"complete"}


def test_the_defaults_are_those_of_train_py() -> None:
    composed, own = to_dict(nto3d.configure("logger=none")), to_dict(nto3d.Config(output="run"))
    for group in ("encoding", "field", "trainer", "lift", "single", "export", "prompts", "segmenter"):
        assert composed[group] == own[group], group


def test_an_application_with_its_own_hydra_may_call() -> None:
    outer = object()
    GlobalHydra.instance().hydra = outer  # type: ignore[assignment]
    try:
        assert nto3d.configure("trainer=smoke").trainer.steps == 60
        assert GlobalHydra.instance().hydra is outer
    finally:
        GlobalHydra.instance().clear()


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, nto3d; assert not {'torch', 'numpy', 'hydra', 'warp', 'cv2'} & set(sys.modules); nto3d.lift"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
    assert set(nto3d.__all__) <= set(dir(nto3d))
    with pytest.raises(AttributeError):
        nto3d.nothing  # noqa: B018
