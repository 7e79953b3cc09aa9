"""Clicks on a ball that other cameras see, too; masks of its halves, one of them wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nto3d.geometry.cameras import project
from nto3d.stages.lift.click_transfer import completed, mask_confidences, on_surface, transferred
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, Cameras, Mask, Prompts
from tests.helpers import ring_cameras
from tests.stages.ball import RADIUS, look

SIZE = (60, 80)


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    return Cameras(*ring_cameras(16, SIZE), SIZE)


@pytest.fixture(scope="module")
def seen(cameras: Cameras) -> dict[int, Projection]:
    return {view: look(cameras, view)[0] for view in range(16)}


def click(seen: Projection) -> Prompts:
    """In the middle of what a view sees of the ball."""
    rows, columns = np.nonzero(seen.opacity > 0.5)
    return Prompts(seen.view, np.array([[columns.mean().round(), rows.mean().round()]]), np.array([1]))


@pytest.mark.parametrize("view", [0, 5])
def test_a_click_comes_to_lie_on_the_same_point(cameras: Cameras, seen: dict[int, Projection], view: int) -> None:
    prompts = click(seen[view])
    towards = cameras.centers[view] / np.linalg.norm(cameras.centers[view])
    point = RADIUS * towards  # where the middle of the ball's picture lies on its surface, nearly
    found = transferred(prompts, cameras, seen, 4)
    assert len(found) == 4
    for other in found:
        assert other.view != view
        expected, _ = project(cameras.intrinsics[other.view], cameras.cam_to_world[other.view], point)
        assert np.abs(other.points - expected).max() < 2.0


def test_views_behind_the_ball_do_not_see_the_click(cameras: Cameras, seen: dict[int, Projection]) -> None:
    found = transferred(click(seen[0]), cameras, seen, 16)
    towards = cameras.centers / np.linalg.norm(cameras.centers, axis=1, keepdims=True)
    assert found
    assert all(towards[prompts.view] @ towards[0] > 0.0 for prompts in found)


def test_views_in_which_something_stands_in_front_are_left_out(cameras: Cameras, seen: dict[int, Projection]) -> None:
    nearest = transferred(click(seen[0]), cameras, seen, 1)[0].view
    hidden = {
        view: Projection(view, p.target, p.depth, p.opacity, np.full(SIZE, view == nearest)) for view, p in seen.items()
    }
    assert nearest not in {prompts.view for prompts in transferred(click(seen[0]), cameras, hidden, 16)}


def test_a_click_on_nothing_is_seen_nowhere(cameras: Cameras, seen: dict[int, Projection]) -> None:
    assert seen[0].opacity[0, 0] == 0.0
    assert transferred(Prompts(0, np.array([[0.0, 0.0]]), np.array([1])), cameras, seen, 16) == []


def test_negative_points_go_along(cameras: Cameras, seen: dict[int, Projection]) -> None:
    points = np.concatenate([click(seen[0]).points, click(seen[0]).points + [4.0, 0.0]])
    found = transferred(Prompts(0, points, np.array([1, 0])), cameras, seen, 1)[0]
    assert found.labels.tolist() == [1, 0]


def test_only_views_that_may_be_asked_are_witnesses(cameras: Cameras, seen: dict[int, Projection]) -> None:
    assert {prompts.view for prompts in transferred(click(seen[0]), cameras, seen, 4)} == {1, 2, 14, 15}
    asked = {prompts.view for prompts in transferred(click(seen[0]), cameras, seen, 4, views=[0, 2, 3, 13])}
    assert asked == {2, 3, 13}


def test_clicks_of_other_views_come_along(cameras: Cameras, seen: dict[int, Projection]) -> None:
    negative = Prompts(1, click(seen[1]).points + [6.0, 0.0], np.array([0]))
    found = transferred(click(seen[0]), cameras, seen, 3, [negative])
    assert found[0].labels.tolist() == [1, 0]
    both = completed(click(seen[0]), cameras, seen, [negative])
    assert both is not None
    assert both.labels.tolist() == [1, 0]
    (place,) = on_surface(negative, cameras, seen[1])
    expected, _ = project(cameras.intrinsics[0], cameras.cam_to_world[0], place)
    np.testing.assert_allclose(both.points[1], expected, atol=1e-6)


def test_clicks_on_the_far_side_do_not_come_along(cameras: Cameras, seen: dict[int, Projection]) -> None:
    behind = Prompts(8, click(seen[8]).points, np.array([0]))
    assert completed(click(seen[0]), cameras, seen, [behind]) is None
    assert completed(click(seen[0]), cameras, seen, []) is None


def test_a_negative_click_on_what_stands_in_front_is_no_place_of_the_surface(
    cameras: Cameras, seen: dict[int, Projection]
) -> None:
    middle = click(seen[0]).points
    prompts = Prompts(0, np.concatenate([middle, middle]), np.array([1, 0]))
    hidden = replace(seen[0], differs=np.ones(SIZE, dtype=bool))
    assert np.isfinite(on_surface(prompts, cameras, seen[0])).all()
    assert np.isfinite(on_surface(prompts, cameras, hidden)).all(axis=1).tolist() == [True, False]


def test_a_wrong_mask_counts_less() -> None:
    def mask(view: int, pixels: BoolArray) -> Mask:
        return Mask(view, pixels, 0.9)

    cameras = Cameras(*ring_cameras(64, SIZE), SIZE)  # nine of them see much the same of the ball
    views = [
        view for view in range(64) if 0.3 < look(cameras, view)[1].sum() / look(cameras, view)[0].opacity.sum() < 0.7
    ]
    views = views[:9]
    seen = {view: look(cameras, view)[0] for view in views}
    masks = {view: mask(view, look(cameras, view)[1]) for view in views}
    wrong = views[4]
    masks[wrong] = mask(wrong, seen[wrong].opacity > 0.5)  # the whole ball
    confidences = mask_confidences(masks, {}, cameras, seen)
    assert confidences[wrong] < 0.6 * min(confidences[view] for view in views if view != wrong)
    assert max(confidences.values()) == pytest.approx(0.5)


def test_what_the_user_pointed_at_counts_more(cameras: Cameras, seen: dict[int, Projection]) -> None:
    masks = {view: Mask(view, look(cameras, view)[1], 0.9) for view in (3, 4, 5)}
    plain = mask_confidences(masks, {}, cameras, seen)
    own = mask_confidences(masks, {4: masks[4]}, cameras, seen)
    assert own[4] == pytest.approx(2.0 * plain[4])
    assert own[3] == pytest.approx(plain[3])


def test_two_masks_cannot_outvote_each_other(cameras: Cameras, seen: dict[int, Projection]) -> None:
    masks = {view: Mask(view, look(cameras, view)[1], 0.9) for view in (3, 4)}
    assert mask_confidences(masks, {}, cameras, seen) == {3: 1.0, 4: 1.0}
