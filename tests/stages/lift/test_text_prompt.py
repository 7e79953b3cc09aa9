"""First masks from a noun, with a finder whose instances are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nto3d.config.schema import SceneConfig, SegmenterName
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.segment.base import Instances
from nto3d.stages.lift.text_prompt import TextPrompt, is_meant, spread
from nto3d.types import BoolArray, ByteArray, Prompts, Scene
from tests.helpers import write_dtu_scene

SIZE = (24, 32)


def halves() -> BoolArray:
    """Two masks: the left and the right half."""
    masks = np.zeros((2, *SIZE), dtype=bool)
    masks[0, :, :16], masks[1, :, 16:] = True, True
    return masks


class Given:
    """Finds the right half with 0.9 and the left one with 0.6, but nothing in some of the pictures."""

    def __init__(self, blind: list[ByteArray]) -> None:
        self.blind, self.asked = blind, 0

    def instances(self, image: ByteArray, text: str) -> Instances:
        assert text == "cup"
        self.asked += 1
        if any(np.array_equal(image, one) for one in self.blind):
            return Instances(np.zeros((0, *SIZE), dtype=bool), np.zeros(0))
        return Instances(halves()[::-1], np.array([0.9, 0.6]))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path: Path = write_dtu_scene(tmp_path_factory.mktemp("box"), masks=False).path
    return load_scene(SceneConfig(path=str(path), test_views=[4]), SegmenterName.grabcut)


def click(view: int, x: float, labels: tuple[int, ...] = (1,), box: np.ndarray | None = None) -> Prompts:
    points = np.array([[x, 5.0], [31.4, 5.0]])[: len(labels)]
    return Prompts(view, points, np.array(labels), box)


def test_the_best_of_several_views_from_different_sides(scene: Scene) -> None:
    finder = Given(blind=[scene.images[0]])
    found = TextPrompt(finder, scene, "cup").first([], scene.train, 3)
    assert finder.asked == 3
    assert 0 not in found
    assert len(found) == 2
    assert set(found) <= set(scene.train)
    for mask in found.values():
        assert mask.score == 0.9
        assert mask.pixels[:, 16:].all()
        assert not mask.pixels[:, :16].any()


def test_a_click_chooses_the_instance(scene: Scene) -> None:
    noun = TextPrompt(Given(blind=[scene.images[1]]), scene, "cup")
    found = noun.first([click(0, 3.0), click(2, 20.0)], scene.train, 3)
    assert {view: mask.score for view, mask in found.items()} == {0: 0.6, 2: 0.9}
    assert set(noun.at([click(0, 3.0), click(1, 3.0)])) == {0}
    with pytest.raises(InputError, match="no 'cup' is found at the click in view 1"):
        noun.first([click(1, 3.0)], scene.train, 3)
    with pytest.raises(InputError, match="no 'cup' is found at the click in view 0"):
        noun.first([click(0, 20.0, labels=(1, 0))], scene.train, 3)


def test_nothing_of_that_name_is_said(scene: Scene) -> None:
    noun = TextPrompt(Given(blind=list(scene.images)), scene, "cup")
    with pytest.raises(InputError, match=r"prompts\.text: nothing looks like 'cup' in views 0, .*: try another noun"):
        noun.first([], scene.train, 3)


def test_points_and_boxes_mean_a_mask() -> None:
    left, right = halves()
    assert is_meant(left, click(0, 3.0, labels=(1, 0)))
    assert not is_meant(left, click(0, 3.0, labels=(1, 1)))
    assert is_meant(right, click(0, 20.0, labels=(1, 1)))  # on the very border
    box = np.array([18.0, 0.0, 31.0, 23.0])
    empty = Prompts(0, np.zeros((0, 2)), np.zeros(0, dtype=np.int64), box)
    assert is_meant(right, empty)
    assert not is_meant(left, empty)
    assert not is_meant(right, click(0, 20.0, box=np.array([18.0, 0.0, 22.0, 23.0])))  # it is far larger than the box


def test_views_are_spread(scene: Scene) -> None:
    chosen = spread(scene.cameras, scene.train, 3)
    assert chosen[0] == scene.train[0]
    towards = scene.cameras.outward
    assert float(towards[chosen[1]] @ towards[chosen[0]]) < 0.0  # on the other side
    assert len(set(chosen)) == 3
    assert sorted(spread(scene.cameras, scene.train, 99)) == list(scene.train)
