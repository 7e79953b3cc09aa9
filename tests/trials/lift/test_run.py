"""Trials of the lift: what is said of them, which kinds there are, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nto3d.config.io import CONFIG_ERRORS, explain
from nto3d.errors import InputError
from nto3d.trials.lift.measure import HEADER, Outcome
from nto3d.trials.lift.run import doubt_lines, read_options, try_lift
from tests.helpers import write_dtu_scene

QUICK = (
    *("scene.path=ball", "scene=dtu", "trainer=smoke", "device=cpu", "threads=1", "field.start=sphere"),
    *("field.sphere_radius=0.5", "field.init_inv_std=100", "lift.scene_steps=1", "lift.max_rounds=0"),
)


@pytest.fixture(autouse=True)
def _ball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder with two scenes, with the threads of before afterwards."""
    monkeypatch.chdir(tmp_path)
    write_dtu_scene(tmp_path / "ball", 6, (48, 64))
    write_dtu_scene(tmp_path / "bare", 2, masks=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def tried(*arguments: str) -> tuple[list[Outcome], list[str]]:
    """The outcomes, and what is said."""
    said: list[str] = []
    options, overrides = read_options(arguments)
    return try_lift(options, overrides, said.append), said


def test_clicks_are_measured_and_kept() -> None:
    outcomes, said = tried("trials=clicks", "count=2", "out=kept", *QUICK)
    assert len(outcomes) == 2
    for one in outcomes:
        assert 0.0 < one.first <= 1.0
        assert 0.0 <= one.least <= one.mean <= 1.0
        assert (one.rounds, one.second) == (0, None)
        assert one.opened == one.last
    assert said[:3] == ["  ".join(HEADER), *("  ".join(one.cells()) for one in outcomes)]
    assert said[3].startswith("mean of the means ")
    assert [line.partition(":")[0] for line in said[4:]] == [
        "in doubt, of those under 0.9",
        "in doubt, of those from 0.9",
    ]
    with Path("kept/trials.csv").open() as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows == [HEADER, *(one.cells() for one in outcomes)]
    assert sorted(path.name for path in Path("kept").iterdir()) == ["00", "01", "trials.csv"]
    assert len(list(Path("kept/01/masks").glob("*.png"))) == 6


def test_nothing_is_left_unless_it_is_kept(tmp_path: Path) -> None:
    outcomes, _ = tried("trials=damage", "count=1", "prompts.view=1", "prompts.points=[[32,24]]", *QUICK)
    assert [one.trial for one in outcomes] == ["undamaged"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball", "bare"]


def outcome(mean: float, confidence: float, second: float | None = None) -> Outcome:
    return Outcome("a", 0.5, 0.5, 0.5, mean, 0.1, 1, 3, confidence, second)


def test_doubt_is_counted_and_second_clicks_compared() -> None:
    assert outcome(0.5, 0.25).cells() == ("a", "0.500", "0.500", "0.500", "0.500", "0.100", "1", "3", "0.250", "")
    some = [outcome(0.5, 0.6), outcome(0.8, 0.9), outcome(0.95, 0.7), outcome(0.96, 0.9)]
    assert doubt_lines(some, sure=0.8) == [
        "in doubt, of those under 0.9: 1 of 2",
        "in doubt, of those from 0.9: 1 of 2",
    ]
    some += [outcome(0.4, 0.6, 0.9), outcome(0.6, 0.6, 0.8)]
    assert doubt_lines(some, sure=0.8)[2] == (
        "with the second click that they ask for: 0.500 before, 0.850 after (2 trials)"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "trials is missing"),
        (["trials=clocks", *QUICK], "trials: expected one of clicks, damage, rounds, objects, got clocks"),
        (["trials=clicks", "count=0"], "count, seed: expected at least 1 and 0, got 0 and 0"),
        (["trials=clicks", "second=perhaps"], "second"),
        (["trials=objects", "recipes=[castle]"], "recipes: expected some of"),
        (["trials=clicks", "lift.rounds=3"], "unknown key lift.rounds"),
        (
            ["trials=clicks", *QUICK[1:], "scene.path=bare", "scene.masks=none"],
            "bare: expected a scene with masks to compare with",
        ),
    ],
)
def test_what_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises((InputError, *CONFIG_ERRORS)) as caught:
        tried(*arguments)
    assert words in explain(caught.value)
