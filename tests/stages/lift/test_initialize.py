"""From clicks to masks of all views, on geometry that is known by hand, with a segmenter that goes by its prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nto3d.stages.lift.click_transfer import mask_confidences, transferred
from nto3d.stages.lift.initialize import FirstMasks, KnownScene, open_masks
from nto3d.stages.lift.refine import Segmentation, ViewMask
from nto3d.stages.views.projection import UNSURE
from nto3d.types import BoolArray, FloatArray, Mask, Prompts
from tests.stages.analytic import FLOOR, Analytic, ColourSegmenter, Thing, ball, box, look

RED, YELLOW, BLUE, GREEN = (200, 40, 30), (220, 200, 60), (30, 60, 210), (40, 170, 70)


@cache
def scene() -> Analytic:
    """A house of two colours with a ball against it, and a bar."""
    return look(
        {
            "floor": FLOOR,
            "walls": Thing(box((0.0, -0.3, -0.33), (0.2, 0.17, 0.18)), RED),
            "roof": Thing(box((0.0, -0.3, -0.11), (0.25, 0.2, 0.05)), YELLOW),
            "ball": Thing(ball((0.0, 0.03, -0.36), 0.155), BLUE),
            "bar": Thing(box((-0.3, 0.45, -0.4), (0.3, 0.09, 0.1)), GREEN),
        }
    )


def click(world: Analytic, name: str, view: int = 0) -> list[float]:
    rows, columns = np.nonzero(world.shows[name][view])
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return [float(columns[middle]), float(rows[middle])]


def opened(
    world: Analytic,
    clicks: Mapping[int, Prompts],
    first: Mapping[int, Mask] | None = None,
    held_out: Sequence[int] = (),
    masks: int = 6,
) -> tuple[dict[int, ViewMask], dict[int, FloatArray] | None]:
    """`open_masks` from clicks as a lift calls it, with `masks` first masks unless they are given."""
    scene: Any = SimpleNamespace(cameras=world.cameras, images=world.images)
    segmentation = Segmentation(scene, ColourSegmenter(), 0.2, 0)
    learned = {view: found for view, found in world.seen.items() if view not in held_out}
    own = {view: segmentation.ask(prompts) for view, prompts in clicks.items() if (prompts.labels == 1).any()}
    if first is None:
        asked = {o.view: o for p in clicks.values() for o in transferred(p, world.cameras, learned, masks - 1)}
        first = {**segmentation.ask_all([asked[view] for view in asked if view not in own], 1), **own}
    confidences = mask_confidences(first, own, world.cameras, world.seen)
    known = KnownScene(scene, world.model, world.cameras, world.seen, held_out)
    found, whole = open_masks(segmentation, known, FirstMasks(first, confidences, clicks), 1, 0)
    return found, None if whole is None else whole.targets


def iou(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


@pytest.mark.parametrize("part", ["walls", "roof"])
def test_a_click_on_a_part_gives_the_whole_without_its_neighbour(part: str) -> None:
    world = scene()
    masks, targets = opened(world, {0: Prompts(0, np.array([click(world, part)]), np.array([1]))})
    assert targets is not None
    for view, mask in masks.items():
        assert iou(mask.pixels, world.shows["walls"][view] | world.shows["roof"][view]) > 0.9, view
        assert mask.prompts is not None


def test_a_neighbour_s_first_masks_of_both_are_outvoted_by_its_colours() -> None:
    world = scene()
    both = world.shows["walls"] | world.shows["ball"]
    first = {view: Mask(view, both[view], 0.9) for view in range(4)}
    clicks = {0: Prompts(0, np.array([click(world, "walls")]), np.array([1]))}
    masks, _ = opened(world, clicks, first)
    for view, mask in masks.items():
        assert iou(mask.pixels, world.shows["walls"][view] | world.shows["roof"][view]) > 0.85, view


def test_a_negative_click_on_the_same_lump_divides_it() -> None:
    world = scene()
    rows, columns = np.nonzero(world.shows["bar"][2])
    ends = [int(columns.argmin()), int(columns.argmax())]
    points = np.array([[columns[end], rows[end]] for end in ends], dtype=np.float64)
    points += np.array([[2.0, 0.0], [-2.0, 0.0]])
    shown = world.shows["bar"]
    first = {view: Mask(view, shown[view], 0.9) for view in range(4)}
    _, whole = opened(world, {2: Prompts(2, points[:1], np.array([1]))}, first)
    _, divided = opened(world, {2: Prompts(2, points, np.array([1, 0]))}, first)
    assert whole is not None
    assert divided is not None
    for view in range(len(shown)):
        assert iou(whole[view] > 0.5, shown[view]) > 0.85
        share = (divided[view] > 0.5)[shown[view]].mean()
        assert 0.4 < share < 0.97, view  # what the masks show of the rest stays
        assert not ((divided[view] > 0.5) & ~(whole[view] > 0.5)).any()
    (left_x, left_y), (right_x, right_y) = points.astype(int)
    assert divided[2][left_y, left_x] > 0.5
    assert divided[2][right_y, right_x] < 0.5


def test_nothing_is_learned_of_views_that_are_held_out() -> None:
    world = scene()
    clicks = {0: Prompts(0, np.array([click(world, "walls")]), np.array([1]))}
    held_out = [3, 5]
    masks, targets = opened(world, clicks, held_out=held_out)
    noise = np.random.default_rng(0)
    images, seen = world.images.copy(), dict(world.seen)
    for view in held_out:
        images[view] = noise.integers(0, 256, images[view].shape)
        seen[view] = replace(seen[view], depth=seen[view].depth * 0.9, differs=np.ones_like(seen[view].differs))
    other_masks, other_targets = opened(replace(world, images=images, seen=seen), clicks, held_out=held_out)
    assert targets is not None
    assert other_targets is not None
    for view in set(masks) - set(held_out):
        assert np.array_equal(masks[view].pixels, other_masks[view].pixels), view
        assert np.array_equal(targets[view], other_targets[view]), view
    for view in held_out:
        assert iou(masks[view].pixels, world.shows["walls"][view] | world.shows["roof"][view]) > 0.9


def test_surface_that_is_made_up_is_left_to_the_segmenter() -> None:
    # A bulge of the geometry that the pictures do not show: behind it, they show the floor
    bulge = Thing(ball((0.16, -0.05, -0.3), 0.1), FLOOR.colour, made_up=True)
    world = look({"floor": FLOOR, "walls": Thing(box((0.0, -0.3, -0.3), (0.2, 0.2, 0.2)), RED), "bulge": bulge})
    clicks = {0: Prompts(0, np.array([click(world, "walls")]), np.array([1]))}
    masks, targets = opened(world, clicks)
    assert targets is not None
    values = np.unique(np.concatenate([target.reshape(-1) for target in targets.values()]))
    assert values.tolist() == pytest.approx([0.0, UNSURE, 1.0])
    spilt = 0
    for view, mask in masks.items():
        true = world.shows["walls"][view]
        assert iou(mask.pixels, true) > 0.85, view  # the lowest row is the floor's
        assert (targets[view] == np.float32(UNSURE))[true].mean() < 0.1, view
        spilt += (mask.pixels & ~true).sum()
    assert spilt < 0.4 * sum((targets[view] > 0)[~world.shows["walls"][view]].sum() for view in masks)


def test_a_click_on_the_floor_goes_by_colours_alone() -> None:
    world = scene()
    masks, targets = opened(world, {0: Prompts(0, np.array([[40.0, 57.0]]), np.array([1]))})
    assert world.shows["floor"][0, 57, 40]
    assert targets is None
    assert set(masks) == set(world.seen)
