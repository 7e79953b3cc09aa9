"""Pointing at a target: what is written is what train.py reads, and the picture shows the mask."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nto3d.config.schema import PromptsConfig
from nto3d.data.dtu import read_dtu
from nto3d.data.images import read_image, read_mask
from nto3d.segment.prompts.read import read_prompts
from nto3d.trials.places import SAMPLE
from tests.runs.pointing import frames, point, refusal, tinted


def test_the_bundled_sample(here: Path) -> None:
    said = point(f"scene={SAMPLE}", "view=0", "points=[[207,110]]", "out=clicks.json", "overlay=jug.png")
    assert "clicks.json" in said
    assert "jug.png" in said
    assert frames(here / "clicks.json") == [{"index": 0, "point": [[207, 110]], "label": [1]}]
    (prompts,) = read_prompts(PromptsConfig(file="clicks.json"), SAMPLE, read_dtu(SAMPLE), 1)
    assert prompts.points.tolist() == [[207.0, 110.0]]
    changed = tinted(here / "jug.png", SAMPLE / "image" / "000000.png")
    mask = read_mask(SAMPLE / "mask" / "000.png")
    assert (changed & mask).sum() / (changed | mask).sum() > 0.85
    assert sorted(path.name for path in here.iterdir()) == ["clicks.json", "jug.png"]


def test_the_file_goes_where_training_looks(ball: Path, here: Path) -> None:
    point(f"scene={ball}", "view=2", "points=[[48,36],[4,4]]", "labels=[1,0]")
    (prompts,) = read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)
    assert (prompts.view, prompts.labels.tolist()) == (2, [1, 0])
    assert (here / "overlay.png").is_file()


def test_an_existing_file_is_kept_unless_told_otherwise(ball: Path, here: Path) -> None:
    def clicks() -> list[tuple[int, list[list[int]]]]:
        return [(frame["index"], frame["point"]) for frame in frames(here / "clicks.json")]

    base = (f"scene={ball}", "out=clicks.json")
    point(*base, "view=2", "points=[[48,36]]")
    before = (here / "clicks.json").read_bytes()
    assert "clicks.json: is there already" in refusal(point, *base, "view=1", "points=[[50,36]]")
    assert (here / "clicks.json").read_bytes() == before
    point(*base, "view=1", "points=[[50,36]]", "add=true")
    assert clicks() == [(1, [[50, 36]]), (2, [[48, 36]])]
    point(*base, "view=1", "points=[[46,36]]", "add=true")
    assert clicks() == [(1, [[46, 36]]), (2, [[48, 36]])]
    point(*base, "view=0", "points=[[48,35]]", "overwrite=true")
    assert clicks() == [(0, [[48, 35]])]


def test_objects_are_added_by_name(ball: Path, here: Path) -> None:
    """Only the frame of the same view *and* object is replaced."""

    def clicks() -> list[tuple[str | None, int, list[int]]]:
        return [(frame.get("object"), frame["index"], frame["point"][0]) for frame in frames(here / "clicks.json")]

    base = (f"scene={ball}", "out=clicks.json", "add=true")
    point(*base, "view=2", "points=[[48,36]]", "object=cup")
    point(*base, "view=2", "points=[[50,36]]", "object=jug")
    point(*base, "view=1", "points=[[49,36]]", "object=cup")
    assert clicks() == [("cup", 1, [49, 36]), ("cup", 2, [48, 36]), ("jug", 2, [50, 36])]
    assert "2 view(s) of cup" in point(*base, "view=2", "points=[[47,36]]", "object=cup")
    point(*base, "view=0", "points=[[46,36]]")  # beside names, it needs one, too
    assert clicks()[1:] == [("cup", 2, [47, 36]), ("jug", 2, [50, 36]), ("object", 0, [46, 36])]
    before = (here / "clicks.json").read_bytes()
    for name, words in (
        ("Jug", "differs from jug in more than its case"),
        ("a/b", "object: expected a name of letters"),
    ):
        assert words in refusal(point, *base, "view=2", "points=[[47,36]]", f"object={name}")
    assert (here / "clicks.json").read_bytes() == before


def test_a_first_name_gives_one_to_what_has_none(ball: Path, here: Path) -> None:
    base = (f"scene={ball}", "out=clicks.json", "add=true")
    point(*base, "view=2", "points=[[48,36]]")
    point(*base, "view=2", "points=[[50,36]]", "object=jug")
    assert [frame["object"] for frame in frames(here / "clicks.json")] == ["object", "jug"]


def test_coordinates_are_those_of_the_file_also_when_reduced(ball: Path, here: Path) -> None:
    """The right edge of the ball at full size lies outside the picture at a third of it, were it not mapped."""
    mask = read_mask(ball / "mask" / "000.png")
    row, column = 36, int(np.nonzero(mask[36])[0][-1]) - 4
    point(f"scene={ball}", "downscale=3", f"points=[[{column},{row}]]", "out=clicks.json")
    assert frames(here / "clicks.json")[0]["point"] == [[column, row]]
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
        (["scene=BALL", "points=[[48,36]]", "segmenter=sam", "checkpoint=no.pth"], "no.pth is neither in"),
        (["scene=BALL", "points=[[48,36]]", "model=m"], "model: expected segmenter=hf with it"),
        (["scene=BALL", "points=[[48,36]]", "overlay=overlay.txt"], "overlay: expected a file ending in png or jpg"),
        (["scene=BALL", "points=[[48,36]]", "out=gone/clicks.json"], "gone/clicks.json"),
        (["scene=BALL", "points=[[48,36]]", "out=a.png", "overlay=a.png"], "overlay: expected another file than out"),
        (["scene=BALL", "points=[[48,36]]", "colour=red"], "unknown key colour"),
        (["run=RUN"], "expected suggest=true"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_fix_is_one_line(ball: Path, here: Path, arguments: list[str], words: str) -> None:
    assert words in refusal(point, *(argument.replace("BALL", str(ball)) for argument in arguments))
    assert not (ball / "prompts.json").exists()
    assert not list(here.glob("*.json"))


def test_a_damaged_file_is_not_added_to(ball: Path, here: Path) -> None:
    shutil.copy(ball / "image" / "000.png", here / "clicks.json")
    line = refusal(point, f"scene={ball}", "points=[[48,36]]", "out=clicks.json", "add=true")
    assert "clicks.json: expected prompts as JSON" in line


def test_two_objects_are_not_clicked_on_one_pixel(ball: Path, here: Path) -> None:
    point(f"scene={ball}", "view=1", "points=[[48,36]]", "object=cup")
    before = (ball / "prompts.json").read_text()
    line = refusal(point, f"scene={ball}", "view=1", "points=[[48,36]]", "object=2_0", "add=true")
    assert "positive clicks of cup and 2_0 on different pixels, both have [48, 36]" in line
    assert (ball / "prompts.json").read_text() == before


def test_negative_points_alone_need_another_view(ball: Path, here: Path) -> None:
    negative = (f"scene={ball}", "view=2", "points=[[5,5]]", "labels=[0]")
    assert "labels: expected at least one 1" in refusal(point, *negative, "add=true")
    assert not (ball / "prompts.json").exists()
    point(f"scene={ball}", "view=0", "points=[[48,36]]")
    assert "no mask" in point(*negative, "add=true")
    assert [prompts.targeted for prompts in read_prompts(PromptsConfig(), ball, read_dtu(ball), 1)] == [True, False]
