"""Masks from projections, with a segmenter whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nto3d.config.schema import PromptUse
from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.stages.lift.refine import Segmentation, ViewMask, agreement, lost, mean_truth_iou, to_arrays
from nto3d.stages.views.projection import UNSURE, Projection
from nto3d.types import BoolArray, FloatArray, Prompts, Scene
from tests.stages.lift.scripted import SIZE, TARGET, Scripted, echo, numbered_views, rectangle, soft

HALF = rectangle(20, 10, 40, 50)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return numbered_views()


def projection(target: FloatArray, view: int = 3, differs: BoolArray | None = None) -> Projection:
    zero = np.zeros(target.shape, np.float32)
    return Projection(view, target, zero, zero, np.zeros(target.shape, bool) if differs is None else differs)


def refined(scene: Scene, answer: BoolArray, target: FloatArray, accept: float = 0.6, **others: object) -> ViewMask:
    differs = others.pop("differs", None)
    assert differs is None or isinstance(differs, np.ndarray)
    segmentation = Segmentation(scene, Scripted(lambda prompts: answer), accept, seed=0)
    return segmentation.refine(projection(target, differs=differs), target, **others)  # type: ignore[arg-type]


# One view


def test_the_answer_where_it_agrees_with_the_projection(scene: Scene) -> None:
    answer = rectangle(22, 10, 62, 50)  # 38 of 42 columns in common
    found = refined(scene, answer, soft(TARGET))
    np.testing.assert_array_equal(found.pixels, answer)
    assert found.trust == pytest.approx(0.5 * 38 / 42)
    np.testing.assert_array_equal(found.prior, soft(TARGET))
    assert not found.hidden.any()


def test_the_projection_where_they_do_not_agree(scene: Scene) -> None:
    found = refined(scene, rectangle(50, 10, 70, 50), soft(TARGET))  # 10 of 50 columns
    np.testing.assert_array_equal(found.pixels, TARGET)
    assert found.trust == pytest.approx(0.5 * 10 / 50)
    assert refined(scene, np.zeros(SIZE, bool), soft(TARGET)).trust == 0.0


@pytest.mark.parametrize(("accept", "taken"), [(0.49, HALF), (0.5, HALF), (0.51, TARGET)])
def test_the_least_agreement_that_is_accepted(scene: Scene, accept: float, taken: BoolArray) -> None:
    np.testing.assert_array_equal(refined(scene, HALF, soft(TARGET), accept).pixels, taken)


@pytest.mark.parametrize("target", [np.zeros(SIZE, np.float32), soft(TARGET, 0.5), soft(rectangle(3, 3, 5, 6))])
def test_out_of_sight_is_an_empty_mask_that_is_sure(scene: Scene, target: FloatArray) -> None:
    segmenter = Scripted(echo)
    found = Segmentation(scene, segmenter, 0.6, seed=0).refine(projection(target), target)
    assert not found.pixels.any()
    assert found.trust == 1.0
    assert found.prompts is None
    assert not segmenter.asked


def test_a_reduced_projection_is_enlarged(scene: Scene) -> None:
    small = soft(rectangle(5, 3, 15, 12, (15, 20)))  # a quarter of each side
    segmenter = Scripted(echo)
    segmentation = Segmentation(scene, segmenter, 0.6, seed=0)
    assert segmentation.size == SIZE
    found = segmentation.refine(projection(small), small)
    np.testing.assert_array_equal(found.prior, small)
    assert iou(found.pixels, rectangle(20, 12, 60, 48)) > 0.95


# What stands in front


def test_what_stands_in_front_is_hidden_and_no_background(scene: Scene) -> None:
    front = rectangle(20, 10, 36, 50)
    found = refined(scene, TARGET & ~front, soft(TARGET), differs=front | rectangle(0, 0, 80, 5))
    np.testing.assert_array_equal(found.pixels, TARGET & ~front)
    assert iou(found.hidden, front) > 0.95  # not what differs beside the target
    assert not (found.hidden & ~front).any()
    np.testing.assert_allclose(found.prior[front], UNSURE)
    np.testing.assert_array_equal(found.prior[~front], soft(TARGET)[~front])


def test_what_the_segmenter_finds_after_all_is_not_hidden(scene: Scene) -> None:
    front = rectangle(20, 10, 28, 50)
    found = refined(scene, TARGET, soft(TARGET), differs=front)
    np.testing.assert_array_equal(found.pixels, TARGET)
    assert not found.hidden.any()


def test_a_target_all_of_which_is_hidden(scene: Scene) -> None:
    found = refined(scene, TARGET, soft(TARGET), differs=np.ones(SIZE, bool))
    assert found.prompts is None
    assert not found.pixels.any()
    np.testing.assert_array_equal(found.hidden, TARGET)


def test_a_narrow_rest_at_the_outline_is_not_hidden(scene: Scene) -> None:
    front = rectangle(18, 10, 34, 50)
    found = refined(scene, rectangle(22, 10, 60, 50), soft(TARGET), differs=front)
    assert iou(found.pixels, rectangle(22, 10, 60, 50)) == 1.0
    assert not found.hidden.any()  # two columns


# What is asked


def test_clicks_are_added(scene: Scene) -> None:
    segmenter = Scripted(echo)
    clicks = Prompts(3, np.array([[25.0, 15.0], [70.0, 5.0]]), np.array([1, 0]))
    found = Segmentation(scene, segmenter, 0.6, seed=0).refine(projection(soft(TARGET)), soft(TARGET), clicks)
    (asked,) = segmenter.asked
    assert found.prompts is not None
    np.testing.assert_array_equal(found.prompts.points, asked.points)
    assert found.prompts.prior is None  # large, and said by the projection
    assert asked.view == 3
    assert asked.points[:2].tolist() == [[25.0, 15.0], [70.0, 5.0]]
    assert asked.labels[:2].tolist() == [1, 0]
    assert len(asked.points) == len(asked.labels) > 6
    inside = TARGET[asked.points[:, 1].astype(int), asked.points[:, 0].astype(int)]
    np.testing.assert_array_equal(inside, asked.labels == 1)
    assert asked.box is not None
    np.testing.assert_allclose(asked.box, [20, 10, 59, 49], atol=4)
    np.testing.assert_array_equal(asked.prior, soft(TARGET))


@pytest.mark.parametrize(
    ("use", "box", "prior"),
    [(PromptUse.all, True, True), (PromptUse.box, True, False), (PromptUse.points, False, False)],
)
def test_what_of_a_projection_is_used(scene: Scene, use: PromptUse, box: bool, prior: bool) -> None:
    segmenter = Scripted(lambda prompts: TARGET)
    Segmentation(scene, segmenter, 0.6, seed=0, use=use).refine(projection(soft(TARGET)), soft(TARGET))
    (asked,) = segmenter.asked
    assert (asked.box is not None, asked.prior is not None) == (box, prior)
    assert (asked.labels == 1).any()


def test_what_was_hidden_before_is_pointed_at_as_something_else(scene: Scene) -> None:
    segmenter = Scripted(echo)
    segmentation = Segmentation(scene, segmenter, 0.6, seed=0)
    front = rectangle(50, 10, 60, 50)
    rest = soft(TARGET & ~front)
    segmentation.refine(projection(rest), rest)
    segmentation.refine(projection(rest), rest, before=ViewMask(TARGET & ~front, 0.5, None, soft(TARGET), front))
    without, asked = (prompts.points[prompts.labels == 0].astype(int).tolist() for prompts in segmenter.asked)
    more = [point for point in asked if point not in without]
    assert len(more) == 2
    assert all(52 <= x < 58 and front[y, x] for x, y in more)


def test_pictures_are_prepared_once(scene: Scene) -> None:
    segmenter = Scripted(echo)
    segmentation = Segmentation(scene, segmenter, 0.6, seed=0)
    for view in (3, 5, 3, 5):
        segmentation.refine(projection(soft(TARGET), view), soft(TARGET))
    assert sorted(segmenter.prepared) == [3, 5]
    assert len(segmenter.asked) == 4


def test_many_views_at_once_are_each_one_alone(scene: Scene) -> None:
    clicks = {5: Prompts(5, np.array([[25.0, 15.0]]), np.array([1]))}
    seen = [projection(soft(np.roll(TARGET, view, axis=1)), view) for view in (7, 5, 9, 2)]
    segmenter = Scripted(echo)
    together = Segmentation(scene, segmenter, 0.6, seed=0).refine_all(seen, clicks, threads=3)
    assert list(together) == [7, 5, 9, 2]
    assert sorted(prompts.view for prompts in segmenter.asked) == [2, 5, 7, 9]
    for p in seen:
        alone = Segmentation(scene, Scripted(echo), 0.6, seed=0).refine(p, p.target, clicks.get(p.view))
        np.testing.assert_array_equal(together[p.view].pixels, alone.pixels)
        prompts = together[p.view].prompts
        assert prompts is not None
        assert alone.prompts is not None
        np.testing.assert_array_equal(prompts.points, alone.prompts.points)
        assert (prompts.points[0].tolist() == [25.0, 15.0]) == (p.view == 5)


def test_views_in_which_nothing_stands_out_are_left_out(scene: Scene) -> None:
    def answer(prompts: Prompts) -> BoolArray:
        if prompts.view == 2:
            raise InputError("prompts: nothing stands out")
        return TARGET

    segmentation = Segmentation(scene, Scripted(answer), 0.6, seed=0)
    clicks = [Prompts(view, np.array([[25.0, 15.0]]), np.array([1])) for view in (4, 2, 1)]
    found = segmentation.ask_all(clicks, threads=2)
    assert list(found) == [4, 1]
    assert found[4].view == 4
    with pytest.raises(InputError, match="nothing stands out"):
        segmentation.ask(clicks[1])


def test_doubt_is_only_asked_for_where_the_answer_is_accepted(scene: Scene) -> None:
    mask = (TARGET | rectangle(60, 20, 70, 40)) & ~rectangle(20, 10, 30, 30)
    np.testing.assert_array_equal(refined(scene, mask, soft(TARGET)).pixels, mask)
    found = refined(scene, mask, soft(TARGET), uncertain=0.3)
    np.testing.assert_array_equal(found.pixels, TARGET)
    assert found.trust == pytest.approx(0.5 * iou(mask, TARGET))  # of the answer, not of what became of it


# All views


def view_mask(pixels: BoolArray, hidden: BoolArray | None = None) -> ViewMask:
    return ViewMask(pixels, 0.5, None, soft(pixels), np.zeros(SIZE, bool) if hidden is None else hidden)


def test_agreement_of_two_rounds() -> None:
    before = {0: view_mask(TARGET), 4: view_mask(TARGET), 6: view_mask(HALF)}
    after = {0: view_mask(TARGET), 4: view_mask(HALF), 6: view_mask(TARGET & ~HALF), 9: view_mask(HALF)}
    assert agreement(before, after, (0, 4)) == pytest.approx(0.75)
    assert agreement(before, after, (0, 4, 6)) == pytest.approx(0.5)


def test_arrays_of_all_views() -> None:
    front = rectangle(60, 10, 65, 50)
    whole, hidden = to_arrays({2: view_mask(TARGET, front), 0: view_mask(HALF)}, 4, SIZE)
    assert whole.shape == hidden.shape == (4, *SIZE)
    assert whole.dtype == hidden.dtype == np.bool_
    for view, (mask, in_front) in enumerate([(HALF, None), (None, None), (TARGET, front), (None, None)]):
        np.testing.assert_array_equal(whole[view], np.zeros(SIZE, bool) if mask is None else mask)
        np.testing.assert_array_equal(hidden[view], np.zeros(SIZE, bool) if in_front is None else in_front)


def test_lost() -> None:
    empty = view_mask(np.zeros(SIZE, bool), hidden=TARGET)
    assert lost({0: empty, 1: empty})
    assert not lost({0: empty, 1: view_mask(rectangle(3, 3, 4, 4))})


def test_mean_iou_with_the_truth() -> None:
    truth = np.stack([TARGET, TARGET, HALF, np.zeros(SIZE, bool)])
    masks = {0: view_mask(TARGET), 1: view_mask(HALF), 3: view_mask(np.zeros(SIZE, bool))}
    assert mean_truth_iou(masks, truth, (0, 1)) == pytest.approx(0.75)
    assert mean_truth_iou(masks, truth, (0, 1, 2)) == pytest.approx(0.75)  # nothing is known of view 2
    assert mean_truth_iou(masks, truth, (1, 3)) == pytest.approx(0.75)


def test_masks_of_a_round_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        view_mask(TARGET).trust = 1.0  # type: ignore[misc]
    assert replace(view_mask(TARGET), trust=1.0).trust == 1.0
