"""The pictures and the table of a lift's rounds: written during the lift, read by the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.config.schema import SceneConfig
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.folder import unclaim
from nto3d.runs.lift.confidence import write_confidence
from nto3d.runs.lift.files import RoundPictures, lift_metrics, read_rounds, write_rounds
from nto3d.stages.lift.confidence import Confidence
from nto3d.stages.lift.refine import ViewMask
from nto3d.types import BoolArray, Prompts, Scene
from tests.helpers import write_dtu_scene

NAN = float("nan")
ROWS = [(0, NAN, 0.75, 0.5, 0.9, 1.25), (1, 0.98, 0.8125, 0.625, 0.95, 2.5)]
CLICK = Prompts(4, np.array([[16.0, 12.0]]), np.array([1]))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    write_dtu_scene(tmp_path / "scene", views=9)
    return load_scene(SceneConfig(path=str(tmp_path / "scene"), name="ball"))


def view_masks(scene: Scene) -> dict[int, ViewMask]:
    assert scene.masks is not None

    def of(view: int, pixels: BoolArray) -> ViewMask:
        prompts = Prompts(view, CLICK.points, CLICK.labels)
        return ViewMask(pixels, 0.9, prompts, pixels.astype(np.float32), np.zeros_like(pixels))

    return {view: of(view, scene.masks[view]) for view in sorted({*scene.train, CLICK.view})}


def lift(run_dir: Path, scene: Scene, tensorboard: bool) -> None:
    """What a lift of two rounds writes."""
    run_dir.mkdir(exist_ok=True)
    pictures = RoundPictures(run_dir, scene, {CLICK.view: CLICK}, tensorboard)
    for number, row in enumerate(ROWS):
        write_rounds(run_dir, ROWS[: number + 1])
        pictures.note(row, view_masks(scene))


def test_rounds_come_back_clicked_view_first(tmp_path: Path, scene: Scene) -> None:
    lift(tmp_path / "run", scene, tensorboard=False)
    rounds = read_rounds(tmp_path / "run")
    assert [found.number for found in rounds] == [0, 1]
    assert list(rounds[1].values) == ["agreement", "iou", "least_iou", "trust", "seconds"]
    np.testing.assert_array_equal(list(rounds[0].values.values()), ROWS[0][1:])
    for found in rounds:
        assert next(iter(found.pictures)) == "view 4, clicked"
        assert len(found.pictures) == 6
        assert {picture.shape for picture in found.pictures.values()} == {(240, 968, 3)}
    with Image.open(tmp_path / "run/lift/round_1/004.png") as file:
        np.testing.assert_array_equal(np.asarray(file), rounds[1].pictures["view 4, clicked"])
    assert not (tmp_path / "run/tensorboard").exists()


def test_tensorboard_shows_the_rounds(tmp_path: Path, scene: Scene) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # a lift that was stopped begins its rounds again
        lift(tmp_path / "run", scene, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run/tensorboard/rounds"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("iou")] == [(0, 0.75), (1, 0.8125)]
    assert [event.step for event in events.Scalars("agreement")] == [1]
    assert {"iou", "agreement", "trust"} == set(events.Tags()["scalars"])
    tags = events.Tags()["images"]
    assert len(tags) == 6
    shown = events.Images("prompts_mask_projection/view_004")
    assert [(event.step, event.width, event.height) for event in shown] == [(0, 968, 240), (1, 968, 240)]


def test_pictures_that_are_gone_are_left_out(tmp_path: Path, scene: Scene) -> None:
    lift(tmp_path / "run", scene, tensorboard=False)
    (tmp_path / "run/lift/round_0/004.png").unlink()
    (tmp_path / "run/lift/round_1/004.png").write_bytes(b"broken")
    assert [len(found.pictures) for found in read_rounds(tmp_path / "run")] == [5, 5]


TABLE = "round,agreement,iou,least_iou,trust,seconds\n"


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "round,iou\n0,1\n", f"{TABLE}0,x,,,,\n", f"{TABLE}0,,,,0.5,\n", f"{TABLE}0,,-1,,0.5,1\n"),
        *(f"{TABLE}-1,,,,0.5,1\n", f"{TABLE}0,,,,0.5,1\n0,,,,0.5,2\n", f"{TABLE}0,,,,0.5,1\n2,,,,0.5,2\n"),
        *(f"{TABLE}1{'0' * 30},,,,0.5,1\n", f"{TABLE}0,,,,0.5,inf\n"),
    ],
)
def test_a_broken_table_is_one_line(text: str | None, tmp_path: Path, scene: Scene) -> None:
    assert scene.masks is not None
    if text is not None:
        (tmp_path / "rounds.csv").write_text(text)
    for read in (lambda: read_rounds(tmp_path), lambda: lift_metrics([tmp_path], scene, scene.masks)):
        with pytest.raises(InputError, match=r"rounds\.csv: .*expected") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_metrics_of_a_lift(tmp_path: Path, scene: Scene) -> None:
    assert scene.masks is not None
    write_rounds(tmp_path, ROWS)
    expected = {"lift_rounds": 1, "lift_seconds": 2.5, "lift_mask_iou": 1}
    assert lift_metrics([tmp_path], scene, scene.masks) == expected  # of an older version
    (tmp_path / "lift").mkdir()
    write_confidence(tmp_path, Confidence(0.75), 1)
    assert lift_metrics([tmp_path], scene, scene.masks) == {**expected, "lift_confidence": 0.75}


def test_a_stopped_run_takes_its_pictures_with_it(tmp_path: Path, scene: Scene) -> None:
    run_dir = tmp_path / "run"
    lift(run_dir, scene, tensorboard=True)
    (run_dir / "lift/round_2").mkdir()  # stopped between the folder and its first picture
    for name in ("lift/hidden", "masks", "tensorboard/lift"):
        (run_dir / name).mkdir()
    write_confidence(run_dir, Confidence(0.75), 1)
    for name in ("lift/hidden/000.png", "masks/000.png", "tensorboard/lift/events.out.tfevents.1", "lift/scalars.csv"):
        (run_dir / name).write_bytes(b"")
    unclaim(run_dir)
    assert not run_dir.exists()


def test_a_stopped_run_leaves_other_files(tmp_path: Path, scene: Scene) -> None:
    run_dir = tmp_path / "run"
    lift(run_dir, scene, tensorboard=False)
    for name in ("notes.md", "lift/round_0/mine.txt"):
        (run_dir / name).write_text("mine")
    (run_dir / "mine").mkdir()
    unclaim(run_dir)
    left = sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*"))
    assert left == ["lift", "lift/round_0", "lift/round_0/mine.txt", "mine", "notes.md"]
