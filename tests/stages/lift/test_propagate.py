"""From view to view around a ball, one half of which is the target, with a segmenter whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.evaluate.masks import iou
from nto3d.stages.lift.refine import Segmentation, ViewMask, propagate_masks
from nto3d.types import BoolArray, Mask, Prompts, Scene
from tests.stages.ball import look
from tests.stages.lift.scripted import VIEWS, Scripted, echo, numbered_views


@pytest.fixture(scope="module")
def scene() -> Scene:
    return numbered_views()


def test_masks_are_carried_around_the_ball(scene: Scene) -> None:
    seen = {view: look(scene.cameras, view) for view in range(VIEWS)}
    segmenter = Scripted(echo, score=1.0)
    segmentation = Segmentation(scene, segmenter, 0.6, seed=0)
    first = {view: Mask(view, seen[view][1], 1.0) for view in (4, 12)}
    projections = {view: p for view, (p, _) in seen.items()}
    confidences = dict.fromkeys(first, 1.0)
    clicks = {4: Prompts(4, np.array([[45.0, 30.0]]), np.array([1]))}
    found = propagate_masks(segmentation, scene.cameras, projections, first, confidences, clicks, held_out=(3, 11))
    assert sorted(found) == list(range(VIEWS))
    order = [prompts.view for prompts in segmenter.asked]
    assert set(order[:2]) == {4, 12}
    assert set(order[-2:]) == {3, 11}
    for view in (2, 3, 4, 5, 11, 12, 13, 14):
        assert iou(found[view].pixels, seen[view][1]) > 0.8, view
    assert segmenter.asked[order.index(4)].points[0].tolist() == [45.0, 30.0]


def test_the_nearest_to_a_known_view_comes_first(scene: Scene) -> None:
    projections = {view: look(scene.cameras, view)[0] for view in range(VIEWS)}
    first = {2: Mask(2, look(scene.cameras, 2)[1], 1.0)}
    segmentation = Segmentation(scene, Scripted(echo), 0.6, seed=0)
    order = list(propagate_masks(segmentation, scene.cameras, projections, first, {2: 1.0}, {}))
    directions = scene.cameras.centers / np.linalg.norm(scene.cameras.centers, axis=1, keepdims=True)
    angles = np.arccos((directions @ directions.T).clip(-1.0, 1.0))
    for place in range(1, VIEWS):
        nearest = angles[:, order[:place]].min(axis=1)
        assert nearest[order[place]] == pytest.approx(nearest[order[place:]].min(), abs=1e-6)


def test_nothing_is_learnt_from_held_out_views(scene: Scene) -> None:
    """Their answers are wrong on purpose; the others' masks are those of a run without them."""
    seen = {view: look(scene.cameras, view)[0] for view in range(6)}
    first = {2: Mask(2, look(scene.cameras, 2)[1], 1.0)}

    def answer(prompts: Prompts) -> BoolArray:
        return np.roll(echo(prompts), 4 if prompts.view in (1, 3) else 0, axis=1)

    def run(views: tuple[int, ...], held_out: tuple[int, ...]) -> tuple[dict[int, ViewMask], list[int]]:
        segmenter = Scripted(answer)
        segmentation = Segmentation(scene, segmenter, 0.3, seed=0)
        some = {view: seen[view] for view in views}
        found = propagate_masks(segmentation, scene.cameras, some, first, {2: 1.0}, {}, held_out)
        return found, [prompts.view for prompts in segmenter.asked]

    whole, order = run((0, 1, 2, 3, 4, 5), (1, 3))
    without, _ = run((0, 2, 4, 5), ())
    for view, mask in without.items():
        np.testing.assert_array_equal(mask.prior, whole[view].prior)
    assert set(order[-2:]) == {1, 3}


def test_a_first_mask_that_is_not_believed_has_no_say(scene: Scene) -> None:
    seen = {view: look(scene.cameras, view) for view in (2, 3, 4)}
    projections = {view: p for view, (p, _) in seen.items()}
    wrong = {2: seen[2][1], 3: seen[3][1], 4: (seen[4][0].opacity > 0.5) & ~seen[4][1]}
    first = {view: Mask(view, pixels, 1.0) for view, pixels in wrong.items()}
    segmentation = Segmentation(scene, Scripted(echo), 0.6, seed=0)
    found = propagate_masks(segmentation, scene.cameras, projections, first, {2: 1.0, 3: 1.0, 4: 0.01}, {})
    assert iou(found[4].pixels, seen[4][1]) > 0.8
