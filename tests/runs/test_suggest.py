"""The click that a run asks for: shown, and added to the prompts that it read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nto3d.config.compose import compose_config
from nto3d.config.schema import PromptsConfig
from nto3d.data.dtu import read_dtu
from nto3d.runs.folder import write_run_config
from nto3d.runs.lift.confidence import write_confidence
from nto3d.runs.lift.files import write_masks
from nto3d.segment.prompts.read import read_prompts
from nto3d.stages.lift.confidence import Confidence
from tests.runs.pointing import frames, point, refusal, tinted


def doubtful_run(ball: Path, here: Path, *overrides: str, objects: tuple[str, ...] = ()) -> Path:
    """The folder of a run with masks that are in doubt in view 2."""
    run = here / "run"
    config = compose_config([f"scene.path={ball}", "scene=dtu", f"output={run}", *overrides])
    for folder in [run / "objects" / name for name in objects] or [run]:
        (folder / "lift").mkdir(parents=True)
        write_confidence(folder, Confidence(0.7, 2, np.array([40.0, 30.0])), config.scene.downscale)
        mask = np.zeros((72 // config.scene.downscale, 96 // config.scene.downscale), dtype=bool)
        mask[10:20, 10:30] = True
        write_masks(folder / "masks", {2: mask})
    write_run_config(run, config)
    return run


def test_the_place_that_a_run_asks_about(ball: Path, here: Path) -> None:
    point(f"scene={ball}", "view=1", "points=[[48,36]]")
    run = doubtful_run(ball, here)
    said = point("suggest=true", f"run={run}", "overlay=asked.png")
    assert "confidence 0.70" in said
    assert "view 2 at [40, 30]" in said
    changed = tinted(here / "asked.png", ball / "image" / "002.png")
    assert changed[12:18, 12:28].mean() > 0.9
    assert changed[30, 40]
    assert not changed[50:, 60:].any()
    before = (ball / "prompts.json").read_text()
    for answer, label in (("no", 0), ("yes", 1)):
        (ball / "prompts.json").write_text(before)
        said = point("suggest=true", f"run={run}", f"answer={answer}")
        assert f"train again with prompts.file={ball / 'prompts.json'}" in said
        first, second = read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)
        assert (first.view, first.points.tolist(), first.labels.tolist()) == (1, [[48.0, 36.0]], [1])
        assert (second.view, second.points.tolist(), second.labels.tolist()) == (2, [[40.0, 30.0]], [label])
        assert second.targeted == bool(label)


def test_a_run_without_doubt_asks_nothing(ball: Path, here: Path) -> None:
    run = doubtful_run(ball, here)
    write_confidence(run, Confidence(1.0), 1)
    said = point("suggest=true", f"run={run}").splitlines()
    assert "confidence 1.00, sure enough" in said[0]
    assert said[1:] == ["there is no place where a click would help"]
    assert not (here / "overlay.png").exists()


def test_an_answer_joins_the_clicks_of_its_view(ball: Path, here: Path) -> None:
    run = doubtful_run(ball, here, "prompts.view=2", "prompts.points=[[48,36]]", "scene.downscale=2")
    point("suggest=true", f"run={run}", "answer=no", "out=clicks.json")
    (frame,) = frames(here / "clicks.json")
    assert frame == {"index": 2, "point": [[48, 36], [80.5, 60.5]], "label": [1, 0]}


def test_an_answer_about_one_of_several_objects(ball: Path, here: Path) -> None:
    point(f"scene={ball}", "view=1", "points=[[48,36]]", "object=cup")
    point(f"scene={ball}", "view=1", "points=[[50,40]]", "object=can", "add=true")
    run = doubtful_run(ball, here, objects=("cup", "can"))
    assert "object: expected one of can, cup, got None" in refusal(point, "suggest=true", f"run={run}")
    point("suggest=true", f"run={run}", "object=can", "answer=no")
    found = [(frame["object"], frame["index"], frame["label"]) for frame in frames(ball / "prompts.json")]
    assert found == [("cup", 1, [1]), ("can", 1, [1]), ("can", 2, [0])]


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
    ball: Path, here: Path, arguments: tuple[str, ...], words: str
) -> None:
    (ball / "prompts.json").write_text('{"frames": [{"index": 0, "point": [[5, 5]]}]}')
    run = doubtful_run(ball, here, "prompts.view=2", "prompts.points=[[48,36]]")
    given = (argument.replace("RUN", str(run)).replace("BALL", str(ball)) for argument in arguments)
    assert words in refusal(point, *given)


def test_another_answer_replaces_the_first(ball: Path, here: Path) -> None:
    (ball / "prompts.json").write_text(
        '{"frames": [{"index": 2, "point": [[48, 36]], "label": [1], "box": [45, 33, 60, 50]}]}'
    )
    run = doubtful_run(ball, here)
    box = [40, 30, 60, 50]  # it has grown to hold what is part of the object
    for answer, label in (("yes", 1), ("no", 0), ("no", 0)):
        point("suggest=true", f"run={run}", f"answer={answer}")
        (frame,) = frames(ball / "prompts.json")
        assert frame == {"index": 2, "point": [[48, 36], [40, 30]], "label": [1, label], "box": box}
        read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)


def test_an_answer_to_a_run_from_a_noun_leaves_the_file_alone(ball: Path, here: Path) -> None:
    text = '{"frames": [{"index": 0, "point": [[5, 5]]}]}'
    (ball / "prompts.json").write_text(text)
    run = doubtful_run(ball, here, "segmenter=hf", "prompts.text=cup")
    assert "the run did not read it" in refusal(point, "suggest=true", f"run={run}", "answer=yes")
    assert (ball / "prompts.json").read_text() == text


def test_an_answer_where_names_have_come_or_gone_since(ball: Path, here: Path) -> None:
    point(f"scene={ball}", "view=1", "points=[[48,36]]")
    run = doubtful_run(ball, here)
    point(f"scene={ball}", "view=1", "points=[[44,32]]", "object=jug", "add=true")
    point("suggest=true", f"run={run}", "answer=no")
    found = [(frame["object"], frame["index"]) for frame in frames(ball / "prompts.json")]
    assert found == [("object", 1), ("object", 2), ("jug", 1)]
    before = (ball / "prompts.json").read_text()
    for name in ("lift", "masks"):
        shutil.copytree(run / name, run / "objects" / "can" / name)
    line = refusal(point, "suggest=true", f"run={run}", "object=can", "answer=no")
    assert "holds, object, jug, got can" in line
    assert (ball / "prompts.json").read_text() == before
