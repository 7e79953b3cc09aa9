"""A question to the feature field: the numbers are the model's, the pictures show them, what is refused is one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

from nto3d.cli import main
from nto3d.data.load import load_scene
from nto3d.export.mesh_io import read_mesh
from nto3d.report.pictures import color_map
from nto3d.runs.after.answer import answer
from nto3d.runs.after.query import read_options
from nto3d.runs.folder import load_run_config
from nto3d.runs.stored import open_run
from nto3d.stages.features.query import PALETTE, similarity_range
from nto3d.stages.features.term import render_features
from nto3d.stages.views.render import render_view
from tests.helpers import SAMPLE
from tests.runs.pointing import refusal

SHRINK, VIEWS = 4, 32  # of the sample's pictures of 320 x 240
POINT = (158, 133)  # on the jug, in view 0; pixels of the file
REDUCED = (39.125, 32.875)  # the same place in the reduced picture


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few seconds with a feature field, not to be changed."""
    folder = tmp_path_factory.mktemp("query") / "run"
    values = ["trainer=smoke", "field=neus_feature", "logger=none", "evaluate.enabled=false", "evaluate.report=false"]
    scene = [f"scene.path={SAMPLE}", f"scene.downscale={SHRINK}", "segmenter=precomputed"]
    start = ["field.start=sphere", "field.exposure=off"]  # saves the comparison of neighbouring pictures
    assert main([*values, *scene, *start, "device=cpu", "threads=1", f"output={folder}"]) == 0
    return folder


@pytest.fixture
def run(learnt: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(learnt, folder)
    return folder


def ask(run: Path, *arguments: str) -> list[str]:
    """Asks as the command line does; what is said."""
    said: list[str] = []
    options, overrides = read_options([f"run={run}", "device=cpu", "threads=1", "size=100", *arguments])
    answer(options, overrides, said.append)
    return said


def test_a_point(run: Path) -> None:
    printed = ask(run, "view=0", "point=[158,133]", "views=[5,0]")
    out = run / "query"
    names = {"similarity.ply", "similarity.npz", "view_000.png", "view_005.png", "query.png"}
    assert {path.name for path in out.iterdir()} == names
    assert sorted(printed[:-1]) == sorted(str(out / name) for name in names)

    config = load_run_config(run)
    scene = load_scene(config.scene)
    stored = open_run(run, config, torch.device("cpu"))
    model, world_from_normalized = stored.model, stored.world_from_normalized
    with torch.no_grad():
        asked = render_features(model, scene, 0, torch.tensor([REDUCED]), config.trainer.step_size)[0][0]
        mesh = read_mesh(run / "mesh.ply").transformed(np.linalg.inv(world_from_normalized))
        features = model.surface_features(torch.from_numpy(mesh.vertices.astype(np.float32)))
        expected = functional.cosine_similarity(features, asked[None]).numpy()
    with np.load(out / "similarity.npz", allow_pickle=False) as kept:
        assert set(kept.files) == {"similarity", "feature", "view", "point"}
        assert kept["similarity"].dtype == np.float32
        np.testing.assert_allclose(kept["similarity"], expected, atol=1e-5)
        np.testing.assert_allclose(kept["feature"], asked.numpy(), rtol=1e-4, atol=1e-5)
        assert (int(kept["view"]), kept["point"].tolist()) == (0, list(POINT))
        similarity = kept["similarity"]
    low, high = similarity_range(similarity)
    ends = float(similarity.min()), float(similarity.max())
    assert f"similarity {ends[0]:.3f} to {ends[1]:.3f}, shown from {low:.3f} to {high:.3f}" == printed[-1]

    colored = read_mesh(out / "similarity.ply")
    np.testing.assert_allclose(colored.vertices, read_mesh(run / "mesh.ply").vertices)
    assert colored.colors is not None
    assert np.array_equal(colored.colors, color_map(similarity[:, None], low, high, PALETTE)[:, 0])
    assert np.ptp(colored.colors.astype(int), axis=0).max() > 100


def test_the_pictures_show_the_target_and_the_point(learnt: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    ask(learnt, "view=0", "point=[158,133]", f"out={out}")
    config = load_run_config(learnt)
    scene = load_scene(config.scene)
    model = open_run(learnt, config, torch.device("cpu")).model
    files = sorted(path.name for path in out.glob("view_*.png"))
    assert files == [f"view_{view:03d}.png" for view in (0, 5, 11, 16, 21, 27)]
    for name in files:
        picture = cv2.imread(str(out / name)).astype(int)
        assert picture.shape == (60, 80, 3)
        assert scene.masks is not None
        solid = render_view(model, scene, int(name[5:8]), config.trainer.step_size).mask
        solid &= scene.masks[int(name[5:8])]  # what stands in front of the target is not coloured
        colorful = np.ptp(picture, axis=2) > 0
        assert (colorful & ~solid).sum() == 0
        ring = np.hypot(*(np.mgrid[:60, :80] - np.array(REDUCED[::-1])[:, None, None])) < 10
        seen = solid & ~ring if name == "view_000.png" else solid
        assert (colorful & seen).sum() > 0.95 * seen.sum() > 100
    shown = cv2.imread(str(out / "view_000.png")).astype(int).min(axis=2)
    rows, columns = np.nonzero(shown > 200)  # the ring is the only white thing
    assert (columns.mean(), rows.mean()) == pytest.approx(REDUCED, abs=1.0)
    sheet = cv2.imread(str(out / "query.png"))
    assert sheet.shape[1] == 4 * 100 + 5 * 8
    assert sheet.shape[0] > 2 * 75 + 100  # two rows of pictures, one of the mesh
    assert not list(out.glob(".*"))


def test_what_stands_in_front_of_the_target_is_no_target(learnt: Path, tmp_path: Path) -> None:
    """The field knows what is behind, and would answer."""
    config = load_run_config(learnt)
    scene = load_scene(config.scene)
    assert scene.masks is not None
    model = open_run(learnt, config, torch.device("cpu")).model
    asked = 0
    for view in range(len(scene.cameras)):
        away = cv2.distanceTransform((~scene.masks[view]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        hidden = render_view(model, scene, view, config.trainer.step_size).mask & (away > 2.9)
        if not hidden.any():
            continue
        row, column = np.argwhere(hidden)[0]
        point = f"point=[{column * SHRINK + 1.5},{row * SHRINK + 1.5}]"
        line = refusal(ask, learnt, f"view={view}", point, f"out={tmp_path / 'out'}")
        assert "something else stands in front" in line
        asked += 1
        if asked == 2:
            break
    assert asked
    assert not (tmp_path / "out").exists()


def test_a_second_question_leaves_no_pictures_of_the_first(run: Path) -> None:
    ask(run, "view=0", "point=[158,133]", "views=[5,0]")
    ask(run, "vertex=7", "views=[3]")
    assert sorted(path.name for path in (run / "query").glob("view_*")) == ["view_003.png"]


def test_a_vertex(run: Path) -> None:
    count = len(read_mesh(run / "mesh.ply").vertices)
    vertex = count // 2
    ask(run, f"vertex={vertex}", "views=[3]")
    with np.load(run / "query" / "similarity.npz", allow_pickle=False) as kept:
        assert set(kept.files) == {"similarity", "feature", "vertex"}
        assert kept["similarity"].shape == (count,)
        assert kept["similarity"][vertex] == pytest.approx(1.0, abs=1e-5)
        assert kept["similarity"].max() <= 1.0 + 1e-5
    assert [path.name for path in (run / "query").glob("view_*.png")] == ["view_003.png"]


def test_a_scene_that_moved(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    path, config["scene"]["path"] = config["scene"]["path"], "gone"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert "gone" in refusal(ask, run, "vertex=3", "views=[0]")
    ask(run, "vertex=3", "views=[0]", f"scene.path={path}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "point: expected either view=I 'point=[x,y]' or vertex=N, got neither"),
        (["view=0"], "point: expected either view=I 'point=[x,y]' or vertex=N, got neither"),
        (["view=0", "point=[158,133]", "vertex=3"], "or vertex=N, got both"),
        (["point=[158,133]"], "view is missing: give the view of the point as view=I"),
        (["vertex=3", "view=0"], "view: expected together with point only"),
        (["view=32", "point=[158,133]"], "view: expected a view from 0 to 31, got 32"),
        (["view=-1", "point=[158,133]"], "view: expected a view from 0 to 31, got -1"),
        (["view=0", "point=[158]"], "point: expected [x,y] in pixels of the picture file, got [158.0]"),
        (["view=0", "point=[158,a]"], "point"),
        (["view=0", "point=158"], "point"),
        (["view=0", "point=[320,133]"], "point: expected [x,y] inside the picture file of 320 x 240 pixels"),
        (["view=0", "point=[nan,133]"], "point: expected [x,y] inside the picture file of 320 x 240 pixels"),
        (["view=0", "point=[3,3]"], "point: expected a pixel that shows the reconstructed surface (opacity above 0.5)"),
        (["vertex=-1"], "vertex: expected 0.."),
        (["vertex=99999999"], "vertex: expected 0.."),
        (["vertex=3", "views=[0,32]"], "views: expected a view from 0 to 31, got 32"),
        (["vertex=3", "views=[]"], "views: expected at least one view, got []"),
        (["vertex=3", "size=0"], "size: expected 80 to 4000 pixels, got 0"),
        (["vertex=3", "colour=red"], "unknown key colour"),
        (["vertex=3", "trainer.steps=3"], "unknown key trainer.steps"),
        (["vertex=3", "out=FILE/query"], "out: cannot make the folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_fix_is_one_line(learnt: Path, arguments: list[str], words: str) -> None:
    file = learnt / "config.yaml"
    assert words in refusal(ask, learnt, *(argument.replace("FILE", str(file)) for argument in arguments))
    assert not (learnt / "query").exists()


def test_runs_that_cannot_be_asked(run: Path, trained: Path) -> None:
    assert "run is missing: give it as run=RUN" in refusal(read_options, ["vertex=3"])
    assert "gone: expected the folder of a run" in refusal(ask, Path("gone"), "vertex=3")
    assert "train with field=neus_feature" in refusal(ask, trained, "vertex=3")
    (run / "mesh.ply").rename(run / "kept.ply")
    assert "mesh.ply: expected a PLY mesh, there is no such file" in refusal(ask, run, "vertex=3")
    (run / "kept.ply").rename(run / "mesh.ply")
    (run / "checkpoint.pt").unlink()
    assert "checkpoint.pt: expected a checkpoint, there is no such file" in refusal(ask, run, "vertex=3")
