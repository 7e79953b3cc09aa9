"""scripts/annotate.py: what it writes is what train.py reads, and the picture shows the mask."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from nto3d.config.compose import compose_config
from nto3d.config.schema import PromptsConfig
from nto3d.data.dtu import read_dtu
from nto3d.data.images import read_image, read_mask
from nto3d.runs.folder import write_run_config
from nto3d.runs.lift.confidence import write_doubt
from nto3d.runs.lift.files import write_masks
from nto3d.segment.prompts.read import read_prompts
from nto3d.stages.lift.confidence import Doubt
from tests.helpers import write_dtu_scene
from tests.scripts.conftest import ROOT, Script

SAMPLE = ROOT / "datasets" / "sample"
JUG = "points=[[207,110]]"


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    """A scene with a sphere in the middle of every picture, 96 x 72."""
    write_dtu_scene(tmp_path / "ball", 4, (72, 96))
    return tmp_path / "ball"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: nothing may be written elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def tinted(overlay: Path, picture: Path) -> np.ndarray:
    """Where the overlay differs from the picture, at the picture's size."""
    image = read_image(picture)
    shown = cv2.resize(read_image(overlay), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    changed: np.ndarray = np.abs(shown.astype(int) - image).max(axis=2) > 25
    return changed


def test_the_bundled_sample(script: Script, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert script("annotate", f"scene={SAMPLE}", "view=0", JUG, "out=clicks.json", "overlay=jug.png") == 0
    shown = capfd.readouterr().out
    assert "clicks.json" in shown
    assert "jug.png" in shown
    frames = json.loads((here / "clicks.json").read_text())["frames"]
    assert frames == [{"index": 0, "point": [[207, 110]], "label": [1]}]
    scene = read_dtu(SAMPLE)
    (prompts,) = read_prompts(PromptsConfig(file="clicks.json"), SAMPLE, scene, 1)
    assert prompts.points.tolist() == [[207.0, 110.0]]
    changed = tinted(here / "jug.png", SAMPLE / "image" / "000000.png")
    mask = read_mask(SAMPLE / "mask" / "000.png")
    assert (changed & mask).sum() / (changed | mask).sum() > 0.85
    assert sorted(path.name for path in here.iterdir()) == ["clicks.json", "jug.png"]


def test_the_file_goes_where_training_looks(script: Script, ball: Path, here: Path) -> None:
    assert script("annotate", f"scene={ball}", "view=2", "points=[[48,36],[4,4]]", "labels=[1,0]") == 0
    (prompts,) = read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)
    assert (prompts.view, prompts.labels.tolist()) == (2, [1, 0])
    assert (here / "overlay.png").is_file()


def test_an_existing_file_is_kept_unless_told_otherwise(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def frames() -> list[tuple[int, list[list[int]]]]:
        content = json.loads((here / "clicks.json").read_text())
        return [(frame["index"], frame["point"]) for frame in content["frames"]]

    base = (f"scene={ball}", "out=clicks.json")
    assert script("annotate", *base, "view=2", "points=[[48,36]]") == 0
    before = (here / "clicks.json").read_bytes()
    assert script("annotate", *base, "view=1", "points=[[50,36]]") == 2
    assert "clicks.json: is there already" in capfd.readouterr().err
    assert (here / "clicks.json").read_bytes() == before
    assert script("annotate", *base, "view=1", "points=[[50,36]]", "add=true") == 0
    assert frames() == [(1, [[50, 36]]), (2, [[48, 36]])]
    assert script("annotate", *base, "view=1", "points=[[46,36]]", "add=true") == 0
    assert frames() == [(1, [[46, 36]]), (2, [[48, 36]])]
    assert script("annotate", *base, "view=0", "points=[[48,35]]", "overwrite=true") == 0
    assert frames() == [(0, [[48, 35]])]


def test_objects_are_added_by_name(script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only the frame of the same view *and* object is replaced."""

    def frames() -> list[tuple[str | None, int, list[int]]]:
        content = json.loads((here / "clicks.json").read_text())
        return [(frame.get("object"), frame["index"], frame["point"][0]) for frame in content["frames"]]

    base = (f"scene={ball}", "out=clicks.json", "add=true")
    assert script("annotate", *base, "view=2", "points=[[48,36]]", "object=cup") == 0
    assert script("annotate", *base, "view=2", "points=[[50,36]]", "object=jug") == 0
    assert script("annotate", *base, "view=1", "points=[[49,36]]", "object=cup") == 0
    assert frames() == [("cup", 1, [49, 36]), ("cup", 2, [48, 36]), ("jug", 2, [50, 36])]
    capfd.readouterr()
    assert script("annotate", *base, "view=2", "points=[[47,36]]", "object=cup") == 0
    assert "2 view(s) of cup" in capfd.readouterr().out
    assert script("annotate", *base, "view=0", "points=[[46,36]]") == 0  # beside names, it needs one, too
    assert frames()[1:] == [("cup", 2, [47, 36]), ("jug", 2, [50, 36]), ("object", 0, [46, 36])]
    before = (here / "clicks.json").read_bytes()
    for name, words in (
        ("Jug", "differs from jug in more than its case"),
        ("a/b", "object: expected a name of letters"),
    ):
        assert script("annotate", *base, "view=2", "points=[[47,36]]", f"object={name}") == 2
        assert words in capfd.readouterr().err
    assert (here / "clicks.json").read_bytes() == before


def test_a_first_name_gives_one_to_what_has_none(script: Script, ball: Path, here: Path) -> None:
    base = (f"scene={ball}", "out=clicks.json", "add=true")
    assert script("annotate", *base, "view=2", "points=[[48,36]]") == 0
    assert script("annotate", *base, "view=2", "points=[[50,36]]", "object=jug") == 0
    content = json.loads((here / "clicks.json").read_text())
    assert [frame["object"] for frame in content["frames"]] == ["object", "jug"]


def test_coordinates_are_those_of_the_file_also_when_reduced(script: Script, ball: Path, here: Path) -> None:
    """The right edge of the ball at full size lies outside the picture at a third of it, were it not mapped."""
    mask = read_mask(ball / "mask" / "000.png")
    row, column = 36, int(np.nonzero(mask[36])[0][-1]) - 4
    command = (f"scene={ball}", "downscale=3", f"points=[[{column},{row}]]", "out=clicks.json")
    assert script("annotate", *command) == 0
    assert json.loads((here / "clicks.json").read_text())["frames"][0]["point"] == [[column, row]]
    shown = read_image(here / "overlay.png")
    times = shown.shape[1] / mask.shape[1]
    dot = np.argwhere((np.abs(shown.astype(int) - (40, 255, 40)) < 12).all(axis=2)).mean(axis=0)
    np.testing.assert_allclose(dot, (np.array([row, column]) + 0.5) * times - 0.5, atol=1.0)
    changed = tinted(here / "overlay.png", ball / "image" / "000.png")
    assert (changed & mask).sum() / (changed | mask).sum() > 0.8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "scene is missing: give it as scene=FOLDER"),
        (["scene=gone", "points=[[1,1]]"], "expected a folder, there is none at gone"),
        (["scene=BALL"], "points is missing: give it as 'points=[[x,y]]'"),
        (["scene=BALL", "points=[[96,3]]"], "points[0]: expected [x, y] inside the picture of 96 x 72 pixels"),
        (["scene=BALL", "points=[[3,3]]", "labels=[0]"], "labels: expected at least one 1"),
        (["scene=BALL", "points=[[3,3]]", "labels=[1,1]"], "labels: expected a label for each of the 1 points"),
        (["scene=BALL", "points=[[48,36]]", "view=4"], "view: expected a view from 0 to 3, got 4"),
        (["scene=BALL", "points=[[48,36]]", "view=-1"], "view: expected a view from 0 to 3, got -1"),
        (["scene=BALL", "points=[48,36]"], "points"),
        (["scene=BALL", "points=[[48,a]]"], "points"),
        (["scene=BALL", "box=[9,9,3,3]"], "box: expected [x0, y0, x1, y1] with x0 < x1"),
        (["scene=BALL", "points=[[48,36]]", "downscale=0"], "downscale: expected 1 to 72"),
        (["scene=BALL", "points=[[48,36]]", "segmenter=cut"], "segmenter"),
        (["scene=BALL", "points=[[48,36]]", "segmenter=sam"], "checkpoint: expected weights with segmenter=sam"),
        (["scene=BALL", "points=[[48,36]]", "overlay=overlay.txt"], "overlay: expected a file ending in png or jpg"),
        (["scene=BALL", "points=[[48,36]]", "out=gone/clicks.json"], "gone/clicks.json"),
        (["scene=BALL", "points=[[48,36]]", "colour=red"], "unknown key colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_fix_is_one_line(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert script("annotate", *(argument.replace("BALL", str(ball)) for argument in arguments)) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert not (ball / "prompts.json").exists()
    assert not list(here.glob("*.json"))


def test_a_damaged_file_is_not_added_to(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ball / "image" / "000.png", here / "clicks.json")
    assert script("annotate", f"scene={ball}", "points=[[48,36]]", "out=clicks.json", "add=true") == 2
    assert "clicks.json: expected prompts as JSON" in capfd.readouterr().err


def doubtful_run(ball: Path, here: Path, *overrides: str, objects: tuple[str, ...] = ()) -> Path:
    """The folder of a run with masks that are in doubt in view 2."""
    run = here / "run"
    config = compose_config([f"scene.path={ball}", "scene=dtu", f"output={run}", *overrides])
    for folder in [run / "objects" / name for name in objects] or [run]:
        (folder / "lift").mkdir(parents=True)
        write_doubt(folder, Doubt(0.7, 2, np.array([40.0, 30.0])), config.scene.downscale)
        mask = np.zeros((72 // config.scene.downscale, 96 // config.scene.downscale), dtype=bool)
        mask[10:20, 10:30] = True
        write_masks(folder / "masks", {2: mask})
    write_run_config(run, config)
    return run


def test_the_place_that_a_run_asks_about(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("annotate", f"scene={ball}", "view=1", "points=[[48,36]]") == 0
    run = doubtful_run(ball, here)
    assert script("annotate", "suggest=true", f"run={run}", "overlay=asked.png") == 0
    shown = capfd.readouterr().out
    assert "confidence 0.70" in shown
    assert "view 2 at [40, 30]" in shown
    changed = tinted(here / "asked.png", ball / "image" / "002.png")
    assert changed[12:18, 12:28].mean() > 0.9
    assert changed[30, 40]
    assert not changed[50:, 60:].any()
    before = (ball / "prompts.json").read_text()
    for answer, label in (("no", 0), ("yes", 1)):
        (ball / "prompts.json").write_text(before)
        assert script("annotate", "suggest=true", f"run={run}", f"answer={answer}") == 0
        scene = read_dtu(ball)
        first, second = read_prompts(PromptsConfig(), ball, scene, 1)
        assert (first.view, first.points.tolist(), first.labels.tolist()) == (1, [[48.0, 36.0]], [1])
        assert (second.view, second.points.tolist(), second.labels.tolist()) == (2, [[40.0, 30.0]], [label])
        assert second.targeted == bool(label)


def test_an_answer_joins_the_clicks_of_its_view(script: Script, ball: Path, here: Path) -> None:
    run = doubtful_run(ball, here, "prompts.view=2", "prompts.points=[[48,36]]", "scene.downscale=2")
    assert script("annotate", "suggest=true", f"run={run}", "answer=no", "out=clicks.json") == 0
    (frame,) = json.loads((here / "clicks.json").read_text())["frames"]
    assert frame == {"index": 2, "point": [[48, 36], [80.5, 60.5]], "label": [1, 0]}


def test_an_answer_about_one_of_several_objects(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("annotate", f"scene={ball}", "view=1", "points=[[48,36]]", "object=cup") == 0
    assert script("annotate", f"scene={ball}", "view=1", "points=[[50,40]]", "object=can", "add=true") == 0
    run = doubtful_run(ball, here, objects=("cup", "can"))
    capfd.readouterr()
    assert script("annotate", "suggest=true", f"run={run}") == 2
    assert "object: expected one of can, cup, got None" in capfd.readouterr().err
    assert script("annotate", "suggest=true", f"run={run}", "object=can", "answer=no") == 0
    frames = json.loads((ball / "prompts.json").read_text())["frames"]
    assert [(frame["object"], frame["index"], frame["label"]) for frame in frames] == [
        ("cup", 1, [1]),
        ("can", 1, [1]),
        ("can", 2, [0]),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suggest=true",), "run is missing"),
        (("suggest=true", "run=nowhere"), "expected the folder of a run"),
        (("suggest=true", "run=RUN", "view=1", "points=[[1,1]]"), "points: cannot be given with suggest=true"),
        (("run=RUN",), "expected suggest=true"),
        (("suggest=true", "run=RUN", "answer=maybe"), "answer"),
        (
            ("suggest=true", "run=RUN", "object=cup"),
            "object: expected none, the run's only object has no name, got cup",
        ),
        (("suggest=true", "run=RUN", "answer=no"), "the run did not read it"),
        (("suggest=true", "run=RUN", "overlay=a.gif"), "overlay"),
        (("suggest=true", "run=RUN", "overlay=BALL/image/000.png"), "outside of the scene's pictures"),
    ],
)
def test_what_is_wrong_with_a_question_is_one_line(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    (ball / "prompts.json").write_text('{"frames": [{"index": 0, "point": [[5, 5]]}]}')
    run = doubtful_run(ball, here, "prompts.view=2", "prompts.points=[[48,36]]")
    capfd.readouterr()
    assert (
        script("annotate", *(argument.replace("RUN", str(run)).replace("BALL", str(ball)) for argument in arguments))
        == 2
    )
    error = capfd.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1


def test_another_answer_replaces_the_first(script: Script, ball: Path, here: Path) -> None:
    (ball / "prompts.json").write_text(
        '{"frames": [{"index": 2, "point": [[48, 36]], "label": [1], "box": [45, 33, 60, 50]}]}'
    )
    run = doubtful_run(ball, here)
    boxes = {"yes": [40, 30, 60, 50], "no": [40, 30, 60, 50]}  # it has grown to hold what is part of the object
    for answer, label in (("yes", 1), ("no", 0), ("no", 0)):
        assert script("annotate", "suggest=true", f"run={run}", f"answer={answer}") == 0
        (frame,) = json.loads((ball / "prompts.json").read_text())["frames"]
        assert frame == {"index": 2, "point": [[48, 36], [40, 30]], "label": [1, label], "box": boxes[answer]}
        read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)


def test_an_answer_to_a_run_from_a_noun_leaves_the_file_alone(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = '{"frames": [{"index": 0, "point": [[5, 5]]}]}'
    (ball / "prompts.json").write_text(text)
    run = doubtful_run(ball, here, "segmenter=hf", "prompts.text=cup")
    assert script("annotate", "suggest=true", f"run={run}", "answer=yes") == 2
    assert "the run did not read it" in capfd.readouterr().err
    assert (ball / "prompts.json").read_text() == text


def test_an_answer_where_names_have_come_or_gone_since(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("annotate", f"scene={ball}", "view=1", "points=[[48,36]]") == 0
    run = doubtful_run(ball, here)
    assert script("annotate", f"scene={ball}", "view=1", "points=[[44,32]]", "object=jug", "add=true") == 0
    assert script("annotate", "suggest=true", f"run={run}", "answer=no") == 0
    frames = json.loads((ball / "prompts.json").read_text())["frames"]
    assert [(frame["object"], frame["index"]) for frame in frames] == [("object", 1), ("object", 2), ("jug", 1)]
    before = (ball / "prompts.json").read_text()
    (run / "objects" / "can").mkdir(parents=True)
    shutil.copytree(run / "lift", run / "objects" / "can" / "lift")
    shutil.copytree(run / "masks", run / "objects" / "can" / "masks")
    capfd.readouterr()
    assert script("annotate", "suggest=true", f"run={run}", "object=can", "answer=no") == 2
    assert "holds, object, jug, got can" in capfd.readouterr().err
    assert (ball / "prompts.json").read_text() == before


def test_two_objects_are_not_clicked_on_one_pixel(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("annotate", f"scene={ball}", "view=1", "points=[[48,36]]", "object=cup") == 0
    before = (ball / "prompts.json").read_text()
    assert script("annotate", f"scene={ball}", "view=1", "points=[[48,36]]", "object=2_0", "add=true") == 2
    assert "positive clicks of cup and 2_0 on different pixels, both have [48, 36]" in capfd.readouterr().err
    assert (ball / "prompts.json").read_text() == before


def test_negative_points_alone_need_another_view(
    script: Script, ball: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    negative = (f"scene={ball}", "view=2", "points=[[5,5]]", "labels=[0]")
    assert script("annotate", *negative, "add=true") == 2
    assert "labels: expected at least one 1" in capfd.readouterr().err
    assert not (ball / "prompts.json").exists()
    assert script("annotate", f"scene={ball}", "view=0", "points=[[48,36]]") == 0
    assert script("annotate", *negative, "add=true") == 0
    assert "no mask" in capfd.readouterr().out
    assert [prompts.targeted for prompts in read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)] == [True, False]
