"""What is in doubt: on things whose pictures and geometry are known by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from nto3d.stages.lift.confidence import Confidence, estimate_confidence
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.views.projection import UNSURE
from nto3d.types import BoolArray, FloatArray
from tests.stages.analytic import FLOOR, SIZE, VIEWS, Analytic, Thing, ball, look

RED, BLUE = (200, 40, 30), (30, 60, 210)
NONE = np.zeros((0, 3))


@cache
def scene(alike: bool) -> Analytic:
    """A ball with a smaller one against it, on a floor; the first in the floor's colour, or not."""
    return look(
        {
            "floor": FLOOR,
            "target": Thing(ball((0.0, -0.1, -0.22), 0.28), FLOOR.colour if alike else RED),
            "other": Thing(ball((0.0, 0.34, -0.34), 0.16), BLUE),
        }
    )


def doubted(
    world: Analytic,
    masks: BoolArray,
    against: Mapping[int, FloatArray] | None = None,
    clicked: FloatArray = NONE,
    targets: Mapping[int, FloatArray] | None = None,
) -> Confidence:
    """Of masks [V, H, W], which geometry agrees with unless it has targets of its own."""
    nothing = np.zeros(SIZE, dtype=np.float32)
    found = {view: ViewMask(mask, 1.0, None, nothing, np.zeros(SIZE, bool)) for view, mask in enumerate(masks)}
    if targets is None and against is not None:
        targets = {view: mask.astype(np.float32) for view, mask in enumerate(masks)}
    args = (found, targets, against, world.seen, world.cameras, world.images, range(VIEWS))
    return estimate_confidence(*args, clicked)


def test_the_truth_in_its_own_colours_is_sure() -> None:
    world = scene(alike=False)
    nothing = dict.fromkeys(range(VIEWS), np.zeros(SIZE, dtype=np.float32))
    assert doubted(world, world.shows["target"], nothing).confidence > 0.99
    assert doubted(world, world.shows["target"]).confidence > 0.99  # with colours alone


def test_what_votes_and_colours_speak_against_is_asked_about() -> None:
    world = scene(alike=False)
    both = world.shows["target"] | world.shows["other"]
    against = {view: 0.8 * world.shows["other"][view].astype(np.float32) for view in range(VIEWS)}
    found = doubted(world, both, against)
    share = world.shows["other"].sum() / both.sum()
    assert found.confidence == pytest.approx(1.0 - 0.8 * share, abs=0.03)
    assert found.view is not None
    assert found.place is not None
    column, row = found.place.astype(int)
    assert world.shows["other"][found.view, row, column]
    assert world.shows["other"][found.view].sum() >= np.median(world.shows["other"].sum(axis=(1, 2)))


def test_what_geometry_leaves_open_is_not_asked_about() -> None:
    world = scene(alike=False)
    against = {view: world.shows["other"][view].astype(np.float32) for view in range(VIEWS)}
    target = world.shows["target"]
    open_ = {view: np.where(world.shows["other"][view], UNSURE, target[view]) for view in range(VIEWS)}
    assert doubted(world, target, against, targets=open_) == Confidence(doubted(world, target).confidence)


def test_nobody_is_asked_twice_about_a_place() -> None:
    world = scene(alike=False)
    both = world.shows["target"] | world.shows["other"]
    against = {view: world.shows["other"][view].astype(np.float32) for view in range(VIEWS)}
    surface = ball((0.0, 0.34, -0.34), 0.16)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.6, 0.6, 49)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    everywhere = grid[np.abs(surface(grid)) < 0.03]
    assert doubted(world, both, against, everywhere).view is None


def test_views_that_disagree_count_where_colours_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    confidence = {}
    for alike in (False, True):
        world = scene(alike)
        masks = world.shows["target"].copy()
        for view in range(VIEWS):  # each view lacks another part
            rows, columns = np.nonzero(masks[view])
            side = columns < np.quantile(columns, 0.3) if rng.random() < 0.5 else rows < np.quantile(rows, 0.3)
            masks[view, rows[side], columns[side]] = False
        confidence[alike] = doubted(world, masks).confidence
    assert confidence[False] > 0.95
    assert confidence[True] < 0.85


def test_what_stands_in_front_is_not_asked_about() -> None:
    world = scene(alike=False)
    both = world.shows["target"] | world.shows["other"]
    against = {view: world.shows["other"][view].astype(np.float32) for view in range(VIEWS)}
    hidden = {view: replace(seen, differs=world.shows["other"][view]) for view, seen in world.seen.items()}
    assert doubted(replace(world, seen=hidden), both, against).view is None


def test_a_target_that_is_nowhere() -> None:
    assert doubted(scene(alike=False), np.zeros((VIEWS, *SIZE), dtype=bool)) == Confidence(0.0)
