"""Cameras on a ring around a ball that is half target (x > 0), half not: everything is known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nto3d.stages.views.voting import SurfaceVotes, without_color_errors
from nto3d.types import Cameras
from tests.helpers import ring_cameras
from tests.stages.ball import look

SIZE, RADIUS = (60, 80), 0.5


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    return Cameras(*ring_cameras(16, SIZE), SIZE)


def test_nobody_has_voted_yet(cameras: Cameras) -> None:
    seen, _ = look(cameras, 0)
    answer = SurfaceVotes(cameras).ask(seen)
    assert (answer[seen.opacity > 0.5] == 0.5).all()
    assert (answer[seen.opacity <= 0.5] == 0.0).all()


@pytest.mark.parametrize("view", range(0, 16, 3))
def test_a_view_gets_its_own_mask_back(cameras: Cameras, view: int) -> None:
    votes = SurfaceVotes(cameras)
    seen, target = look(cameras, view)
    votes.add(seen, target)
    answer = votes.ask(seen)
    assert ((answer > 0.5) != target)[seen.opacity > 0.5].mean() < 0.03


@pytest.mark.parametrize("view", [1, 4, 8])
def test_the_next_view_knows_what_it_shares(cameras: Cameras, view: int) -> None:
    votes = SurfaceVotes(cameras)
    votes.add(*look(cameras, view))
    seen, target = look(cameras, view + 1)
    answer = votes.ask(seen)
    sure = (seen.opacity > 0.5) & (np.abs(answer - 0.5) > 0.4)
    assert sure.sum() > 0.6 * (seen.opacity > 0.5).sum()
    assert ((answer > 0.5) != target)[sure].mean() < 0.02


def test_the_far_side_stays_open(cameras: Cameras) -> None:
    votes = SurfaceVotes(cameras)
    votes.add(*look(cameras, 0))
    seen, _ = look(cameras, 8)
    answer = votes.ask(seen)[seen.opacity > 0.5]
    assert (answer == 0.5).mean() > 0.8


def test_weights_decide_where_votes_differ(cameras: Cameras) -> None:
    votes = SurfaceVotes(cameras)
    seen, target = look(cameras, 2)
    votes.add(seen, target, 1.0)
    votes.add(seen, ~target, 0.25)
    solid = seen.opacity > 0.5
    assert ((votes.ask(seen) > 0.5) != target)[solid].mean() < 0.03
    np.testing.assert_allclose(np.median(votes.ask(seen)[solid & target]), 0.8, atol=0.02)  # 1 / 1.25


def test_differences_that_most_views_see_are_faults_of_the_fields(cameras: Cameras) -> None:
    # In all views half of the ball differs; in one, everything does
    found = {view: look(cameras, view) for view in range(16)}
    seen = {view: replace(projection, differs=target) for view, (projection, target) in found.items()}
    seen[3] = replace(seen[3], differs=seen[3].opacity > 0.5)
    mended = without_color_errors(seen, cameras)
    assert set(mended) == set(seen)
    solid, target = seen[3].opacity > 0.5, found[3][1]
    assert mended[3].differs[solid & ~target].mean() > 0.95  # nobody else sees a difference there
    assert mended[3].differs[target].mean() < 0.1
    assert mended[4].differs.mean() < 0.02
    assert (mended[3].depth == seen[3].depth).all()


def test_differences_beside_the_surface_stay(cameras: Cameras) -> None:
    found = {view: look(cameras, view)[0] for view in range(16)}
    air = {view: replace(projection, differs=projection.opacity <= 0.5) for view, projection in found.items()}
    for view, projection in without_color_errors(air, cameras).items():
        assert (projection.differs == air[view].differs).all()


def test_what_hides_a_place_from_one_of_two_views_is_no_fault(cameras: Cameras) -> None:
    found = {view: look(cameras, view)[0] for view in (0, 1)}
    found[0] = replace(found[0], differs=found[0].opacity > 0.5)
    assert (without_color_errors(found, cameras)[0].differs == found[0].differs).all()
    alone = {0: found[0]}
    assert (without_color_errors(alone, cameras)[0].differs == found[0].differs).all()


def test_faults_are_learned_of_training_views_alone(cameras: Cameras) -> None:
    found = {view: look(cameras, view) for view in range(16)}
    held_out = [view for view in range(16) if view % 2]
    everywhere = {
        view: replace(projection, differs=projection.opacity > 0.5) if view in held_out else projection
        for view, (projection, _) in found.items()
    }
    # Every other view differs everywhere; only of those that do not is something learned
    mended = without_color_errors(everywhere, cameras, held_out)
    assert all((mended[view].differs == everywhere[view].differs).all() for view in held_out)
    faulty = {view: replace(projection, differs=target) for view, (projection, target) in found.items()}
    mended = without_color_errors(faulty, cameras, held_out)
    assert all(mended[view].differs.mean() < 0.02 for view in found)
