"""What is tried in a scene: clicks on the target, damaged masks, rounds and prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nto3d.config.compose import compose_config
from nto3d.config.schema import Config, PromptUse
from nto3d.data.load import load_scene
from nto3d.evaluate.damage import DAMAGES
from nto3d.trials.lift.measure import answered, damaged
from nto3d.trials.lift.trial import clicks, damages, rounds
from nto3d.types import Mask, Prompts, Scene
from tests.helpers import write_dtu_scene


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_dtu_scene(tmp_path / "ball", 6, (48, 64))
    return compose_config(["scene=dtu", f"scene.path={tmp_path / 'ball'}", "scene.downscale=2", "output=unused"])


@pytest.fixture
def scene(config: Config) -> Scene:
    return load_scene(config.scene)


def test_clicks_lie_on_the_target_in_training_views(config: Config, scene: Scene) -> None:
    assert scene.masks is not None
    found = list(clicks(config, scene, 5, seed=3))
    assert [trial.name.partition(":")[0] for trial in found] == list("01234")
    for trial in found:
        view, points = trial.config.prompts.view, trial.config.prompts.points
        assert view in scene.train
        assert points is not None
        ((x, y),) = points  # pixels of the file
        assert scene.masks[view, int((y + 0.5) // 2), int((x + 0.5) // 2)]
        assert trial.name.endswith(f"view {view} [{x:g}, {y:g}]")
        assert trial.damage is None
    assert len({trial.name.partition(": ")[2] for trial in found}) > 1
    assert [trial.name for trial in clicks(config, scene, 5, seed=3)] == [trial.name for trial in found]


def test_every_damage_and_every_kind_of_prompts_is_tried(config: Config) -> None:
    assert [trial.damage for trial in damages(config)] == [None, *DAMAGES]
    found = [(trial.config.lift.prompts, trial.config.lift.max_rounds) for trial in rounds(config)]
    assert found == [(use, number) for use in PromptUse for number in (0, config.lift.max_rounds)]


def test_first_masks_are_damaged_away_from_the_click(scene: Scene) -> None:
    assert scene.masks is not None
    rows, columns = np.nonzero(scene.masks[1])
    click = np.array([[columns.min() + 2.0, rows[columns == columns.min() + 2][0]]])
    first = {1: Mask(1, scene.masks[1], 0.5)}
    found = damaged(first, {1: Prompts(1, click, np.array([1]))}, scene, "cut", seed=0)[1]
    assert (found.view, found.score) == (1, 0.5)
    assert found.pixels.sum() == pytest.approx(0.8 * scene.masks[1].sum(), rel=0.1)
    assert found.pixels[int(click[0, 1]), int(click[0, 0])]
    assert first[1].pixels.sum() == scene.masks[1].sum()


def test_a_second_click_is_answered_from_the_truth() -> None:
    truth = np.zeros((10, 10), dtype=bool)
    truth[:5] = True
    prompts = {
        1: Prompts(1, np.array([[2.0, 2.0]]), np.array([1])),
        3: Prompts(3, np.array([[1.0, 1.0]]), np.array([1])),
    }
    first, second = answered(prompts, 3, np.array([4.0, 7.0]), truth)
    assert first is prompts[1]
    assert second.points.tolist() == [[1.0, 1.0], [4.0, 7.0]]
    assert second.labels.tolist() == [1, 0]
    assert answered(prompts, 0, np.array([4.0, 2.0]), truth)[0].labels.tolist() == [1]
