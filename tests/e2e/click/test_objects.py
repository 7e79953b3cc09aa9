"""Two named objects in one run, through `train.py`: files, resume, and the export from the run alone."""

from __future__ import annotations

import dataclasses
import filecmp
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from nto3d.cli import main
from nto3d.config.schema import SceneConfig, SegmenterName
from nto3d.data.load import load_scene
from nto3d.evaluate.masks import iou
from nto3d.evaluate.overlap import share_in_common
from nto3d.export.mesh_io import read_mesh
from nto3d.pipeline import lift as lifting
from nto3d.runs.lift import masks as run_masks
from nto3d.runs.lift.confidence import read_confidence
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.types import BoolArray, ByteArray, Mask, Prompts
from tests.halves import write_halves
from tests.scripts.conftest import Script, script

__all__ = ["script"]  # the fixture

VIEWS, CLICKED, HELD_OUT = 9, 3, 4
SIZE = (48, 64)
# Geometry that is right from the start
BALL = ("field.start=sphere", "field.sphere_radius=0.5", "field.init_inv_std=100", "lift.scene_steps=1")
RUN = (
    *("scene=dtu", "trainer=smoke", "device=cpu", "threads=1", "logger=none", *BALL),
    *("lift.accept=0.2", "lift.round_steps=20", "trainer.steps=20", "evaluate.max_views=1", "export.resolution=64"),
)
UNMEASURED = ("evaluate.enabled=false", "evaluate.report=false")


class Oracle:
    """Answers with the true mask of the half that most of the positive points lie on."""

    def __init__(self, masks: dict[str, BoolArray]) -> None:
        self.masks = masks
        self.embedded = 0

    def embed(self, image: ByteArray) -> None:
        self.embedded += 1

    def segment(self, embedded: None, prompts: Prompts) -> Mask:
        columns, rows = np.rint(prompts.points[prompts.labels == 1]).astype(int).T
        hits = {name: int(mask[prompts.view][rows, columns].sum()) for name, mask in self.masks.items()}
        return Mask(prompts.view, self.masks[max(hits, key=lambda name: hits[name])][prompts.view], 1.0)


def fit_scene(*values: object) -> SceneFit:
    """The colours are not learnt in a step, but nothing stands in front of the ball."""
    fitted = FIT_SCENE(*values)  # type: ignore[arg-type]
    seen = {v: dataclasses.replace(p, differs=np.zeros_like(p.differs)) for v, p in fitted.seen.items()}
    return dataclasses.replace(fitted, seen=seen)


FIT_SCENE = run_masks.fit_scene


@pytest.fixture(autouse=True, scope="module")
def _alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_masks, "fit_scene", fit_scene)
        yield


def middle(mask: BoolArray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [int(np.rint(columns.mean())), int(np.rint(rows.mean()))]


def write_clicks(path: Path, masks: dict[str, BoolArray], names: list[str | None]) -> None:
    frames = []
    for name, mask in zip(names, masks.values(), strict=False):
        frame: dict[str, object] = {"index": CLICKED, "point": [middle(mask[CLICKED])]}
        frames.append(frame if name is None else {**frame, "object": name})
        if name == "blue":  # also in a view of which nothing else may be learned
            frames.append({"index": HELD_OUT, "point": [middle(mask[HELD_OUT])], "object": name})
    path.write_text(json.dumps({"frames": frames}))


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle({})


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, oracle: Oracle) -> Path:
    """The scene, and a finished `run` of both halves."""
    folder = tmp_path_factory.mktemp("two") / "halves"
    oracle.masks = write_halves(folder, VIEWS, SIZE)
    write_clicks(folder / "prompts.json", oracle.masks, ["red", "blue"])
    train(folder, oracle, "run", *RUN)
    assert oracle.embedded == VIEWS  # a picture is prepared once for all objects
    return folder


def train(folder: Path, oracle: Oracle, output: str, *values: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifting, "build_segmenter", lambda _: oracle)
        given = values if values[0].startswith("resume=") else (*values, f"scene.path={folder}")
        where = () if values[0].startswith("resume=") else (f"output={folder / output}",)
        assert main([*given, *where]) == 0


def masks_in(folder: Path) -> BoolArray:
    return np.stack([np.array(Image.open(folder / f"{view:03d}.png")) > 0 for view in range(VIEWS)])


def test_each_object_has_its_files(halves: Path) -> None:
    run = halves / "run"
    meshes = {name: read_mesh(run / f"mesh_{name}.ply") for name in ("red", "blue")}
    for name, mesh in meshes.items():
        assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight
        true = read_mesh(halves / f"gt_mesh_{name}.ply")
        apart = np.linalg.norm(mesh.vertices.mean(axis=0) - true.vertices.mean(axis=0))
        assert apart < 0.5 * np.ptp(true.vertices[:, 0])  # it is that half and not the other one
        assert (run / "objects" / name / "rounds.csv").is_file()
        assert 0.0 <= read_confidence(run / "objects" / name).confidence <= 1.0
        assert (run / "objects" / name / "lift" / "round_0" / f"{CLICKED:03d}.png").is_file()
    assert share_in_common(*meshes.values()) <= 0.001
    whole = read_mesh(run / "mesh.ply")
    assert len(whole.vertices) == sum(len(mesh.vertices) for mesh in meshes.values())
    np.testing.assert_array_equal(whole.vertices, np.concatenate([mesh.vertices for mesh in meshes.values()]))
    assert set(trimesh.load_scene(run / "mesh.glb").graph.nodes_geometry) == {"red", "blue"}


def test_masks_do_not_overlap_and_make_the_whole(halves: Path, oracle: Oracle) -> None:
    run = halves / "run"
    red, blue = (masks_in(run / "objects" / name / "masks") for name in ("red", "blue"))
    assert not (red & blue).any()
    np.testing.assert_array_equal(masks_in(run / "masks"), red | blue)
    true = oracle.masks
    assert (red & true["red"]).sum() > 5 * (red & true["blue"]).sum()
    assert (blue & true["blue"]).sum() > 5 * (blue & true["red"]).sum()
    assert ((red | blue) & (true["red"] | true["blue"])).sum() > 0.8 * (red | blue).sum()


def test_metrics_and_report_tell_them_apart(halves: Path, oracle: Oracle) -> None:
    metrics = json.loads((halves / "run" / "metrics.json").read_text())
    train_views = load_scene(SceneConfig(path=str(halves)), SegmenterName.grabcut).train
    assert HELD_OUT not in train_views
    doubts = [read_confidence(halves / "run" / "objects" / name) for name in ("red", "blue")]
    assert metrics["lift_confidence"] == min(doubt.confidence for doubt in doubts)
    for name in ("red", "blue"):
        mesh = read_mesh(halves / "run" / f"mesh_{name}.ply")
        assert metrics[f"{name}.vertices"] == len(mesh.vertices)
        assert metrics[f"{name}.volume"] > 0
        found = masks_in(halves / "run" / "objects" / name / "masks")
        agreement = [iou(found[view], oracle.masks[name][view]) for view in train_views]
        assert metrics[f"{name}.lift_mask_iou"] == pytest.approx(np.mean(agreement))
        assert metrics[f"{name}.chamfer"] > 0
    assert metrics["volume_in_common"] <= 0.001
    assert {"chamfer", "lift_rounds", "lift_seconds", "lift_mask_iou"} <= set(metrics)
    page = (halves / "run" / "report.html").read_text()
    for words in ("From the click: red", "From the click: blue", "<b>Objects</b>", ">blue</th>"):
        assert words in page
    assert "blue.chamfer" not in page.split("<details")[0]  # in the table, not among the others


def test_a_run_stopped_twice_ends_with_the_same_bits(halves: Path, oracle: Oracle, tmp_path: Path) -> None:
    """Before the second lift, and in the middle of the training."""
    stopped, lifts, shards = tmp_path / "run", lifting.Lifter.masks, Reconstruction.shards

    def interrupted(lift: lifting.Lifter, *rest: object) -> object:
        if lift.target.name == "blue":
            raise KeyboardInterrupt
        return lifts(lift, *rest)  # type: ignore[arg-type]

    def tired(self: Reconstruction, step: int, count: int) -> object:
        if step == 12 and type(self) is Reconstruction:
            raise KeyboardInterrupt
        return shards(self, step, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifting, "build_segmenter", lambda _: oracle)
        patch.setattr(lifting.Lifter, "masks", interrupted)
        assert main([*RUN, *UNMEASURED, f"scene.path={halves}", f"output={stopped}"]) == 130

        patch.setattr(lifting.Lifter, "masks", lifts)
        patch.setattr(Reconstruction, "shards", tired)
        assert main([f"resume={stopped}"]) == 130
    assert not (stopped / "mesh.ply").exists()
    train(halves, oracle, "", f"resume={stopped}")
    for name in ("mesh.ply", "mesh_red.ply", "mesh_blue.ply", "mesh.glb", "mesh.npz"):
        assert filecmp.cmp(stopped / name, halves / "run" / name, shallow=False), name


def test_all_objects_can_be_exported_again_from_the_run_alone(halves: Path, tmp_path: Path, script: Script) -> None:
    run = tmp_path / "run"
    shutil.copytree(halves / "run", run)
    names = ("mesh.ply", "mesh_red.ply", "mesh_blue.ply", "mesh.glb", "mesh.npz")
    for name in names:
        (run / name).unlink()
    shutil.rmtree(run / "masks")
    shutil.rmtree(run / "objects")
    assert script("export_mesh", f"run={run}") == 0
    for name in names:
        assert filecmp.cmp(run / name, halves / "run" / name, shallow=False), name
    assert script("export_mesh", f"run={run}", f"export.output={tmp_path / 'all.glb'}", "export.resolution=32") == 0
    assert set(trimesh.load_scene(tmp_path / "all.glb").graph.nodes_geometry) == {"red", "blue"}


@pytest.mark.slow
def test_a_single_object_is_the_same_with_and_without_a_name(halves: Path, oracle: Oracle, tmp_path: Path) -> None:
    short = (*RUN, *UNMEASURED, "trainer.steps=5", f"prompts.file={tmp_path / 'clicks.json'}")
    for output, name in (("plain", None), ("named", "red")):
        write_clicks(tmp_path / "clicks.json", dict(list(oracle.masks.items())[:1]), [name])
        train(halves, oracle, output, *short)
    plain, named = halves / "plain", halves / "named"
    for file in ("mesh.ply", "mesh.npz", *(f"masks/{view:03d}.png" for view in range(VIEWS))):
        assert filecmp.cmp(plain / file, named / file, shallow=False), file
    assert filecmp.cmp(named / "mesh.ply", named / "mesh_red.ply", shallow=False)
    assert not (plain / "objects").exists()
    assert not list(plain.glob("mesh_*"))
    assert not (plain / "mesh.glb").exists()
    assert (plain / "rounds.csv").is_file()


def test_errors_name_the_object(
    halves: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], oracle: Oracle
) -> None:
    nothing = Oracle({**oracle.masks, "blue": np.zeros_like(oracle.masks["blue"])})

    def segment(embedded: None, prompts: Prompts) -> Mask:
        at = tuple(np.rint(prompts.points[0][::-1]).astype(int))
        red = oracle.masks["red"][prompts.view]
        return Mask(prompts.view, red if red[at] else np.zeros(SIZE, dtype=bool), 1.0)

    nothing.segment = segment  # type: ignore[method-assign, assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifting, "build_segmenter", lambda _: nothing)
        assert main([*RUN, f"scene.path={halves}", f"output={tmp_path / 'run'}"]) == 2
    assert "error: object blue: prompts: nothing is found at the click in view 3" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()  # as if it had never started


def test_a_noun_cannot_be_several_objects(
    halves: Path, tmp_path: Path, oracle: Oracle, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nto3d.runs.multiview.check_weights", lambda _: None)
    noun = ("segmenter=hf", "segmenter.model=gone", "prompts.text=ball", f"prompts.file={halves / 'prompts.json'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifting, "build_segmenter", lambda _: oracle)
        assert main([*RUN, *noun, f"scene.path={halves}", f"output={tmp_path / 'run'}"]) == 2
    assert "error: prompts.text: cannot be used with several objects (red, blue)" in capfd.readouterr().err
