from __future__ import annotations

import numpy as np
import pytest

from nto3d.geometry.cameras import project
from nto3d.stages.views.projection import MARGIN, Projection, colors_differ, enlarged, prompts_from, reduced
from nto3d.types import Cameras, FloatArray
from tests.helpers import ring_cameras

SIZE = (120, 160)
CENTER, RADIUS = (90.0, 50.0), 30.0  # x, y


def disc(center: tuple[float, float] = CENTER, radius: float = RADIUS) -> FloatArray:
    """A prior that falls from 1 to 0 over four pixels at the rim of a disc."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(x - center[0], y - center[1]) - radius
    return (0.5 - away / 4.0).clip(0.0, 1.0).astype(np.float32)


def test_points_lie_well_inside_and_just_outside() -> None:
    prompts = prompts_from(3, disc())
    assert prompts is not None
    away = np.hypot(*(prompts.points - CENTER).T)
    assert prompts.view == 3
    assert (away[prompts.labels == 1] < 0.65 * RADIUS).all()
    negative = away[prompts.labels == 0]
    assert (negative > RADIUS + 2).all()
    assert (negative < 1.5 * RADIUS).all()


def test_points_are_spread() -> None:
    prompts = prompts_from(0, disc())
    assert prompts is not None
    for label, least in ((1, 8.0), (0, 25.0)):
        points = prompts.points[prompts.labels == label]
        assert len(points) >= 4
        apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        assert apart[~np.eye(len(points), dtype=bool)].min() > least


def test_the_box_has_a_margin_and_stays_in_the_picture() -> None:
    prompts = prompts_from(0, disc())
    assert prompts is not None
    assert prompts.box is not None
    margin = MARGIN * 2 * RADIUS + 1
    x, y = CENTER
    expected = [x - RADIUS - margin, y - RADIUS - margin, x + RADIUS + margin, y + RADIUS + margin]
    np.testing.assert_allclose(prompts.box, expected, atol=1.5)
    cut = prompts_from(0, disc(center=(5.0, 5.0)))
    assert cut is not None
    assert cut.box is not None
    assert cut.box.min() == 0.0


@pytest.mark.parametrize("prior", [disc(radius=1.0), np.zeros(SIZE, np.float32), np.full(SIZE, 0.5, np.float32)])
def test_out_of_sight_means_no_prompts(prior: FloatArray) -> None:
    assert prompts_from(0, prior) is None


def test_a_target_that_fills_the_picture_has_no_negative_points() -> None:
    prompts = prompts_from(0, np.ones(SIZE, np.float32))
    assert prompts is not None
    assert (prompts.labels == 1).all()


def test_reduced_cameras_and_enlarged_maps_agree_about_pixels() -> None:
    intrinsics, cam_to_world = ring_cameras(2, SIZE)
    cameras = Cameras(intrinsics, cam_to_world, SIZE)
    small = reduced(cameras, 40)
    assert small.size == (30, 40)
    point = np.array([[0.1, -0.2, 0.05]])
    (large_xy,), _ = project(intrinsics[0], cam_to_world[0], point)
    (small_xy,), _ = project(small.intrinsics[0], small.cam_to_world[0], point)
    # A ramp over the small picture's x, enlarged, must say at the large pixel where the small one was.
    ramp = np.tile(np.arange(40, dtype=np.float32), (30, 1))
    row, column = np.rint(large_xy[::-1]).astype(int)
    slope = 40 / SIZE[1]
    assert abs(enlarged(ramp, SIZE)[row, column] + (large_xy[0] - column) * slope - small_xy[0]) < 1e-3


def test_points_lie_on_what_stands_in_front() -> None:
    others = disc(radius=8.0, center=(CENTER[0] + 10.0, CENTER[1])) > 0.5
    prompts, plain = prompts_from(0, disc(), others=others), prompts_from(0, disc())
    assert prompts is not None
    assert plain is not None
    more = {tuple(xy) for xy in prompts.points} - {tuple(xy) for xy in plain.points}
    assert 1 <= len(more) <= 2
    assert all(others[int(y), int(x)] for x, y in more)
    assert (prompts.labels == 0).sum() == (plain.labels == 0).sum() + len(more)


def test_nothing_is_sure_where_the_picture_differs() -> None:
    target = np.full((30, 40), 0.9, np.float32)
    differs = np.zeros((30, 40), dtype=bool)
    differs[10:20, 10:20] = True
    seen = Projection(0, target, target, target, differs)
    prior = seen.prior(target)
    assert prior[10:20, 10:20].max() < 0.5
    assert prior[:10].min() == pytest.approx(0.9)
    assert seen.prior(0.1 * target).max() == pytest.approx(0.09)  # never more than the target says


def test_wide_differences_of_colour_are_found_and_thin_ones_are_not() -> None:
    rgb = np.full((60, 80, 3), 0.3, np.float32)
    picture = np.full((120, 160, 3), round(0.3 * 255), np.uint8)
    picture[40:80, 60:100] = (250, 40, 40)
    picture[:, 150:152] = 255  # an edge
    found = colors_differ(picture, rgb)
    assert found.shape == (60, 80)
    assert found[22:38, 32:48].all()
    assert not found[:, 70:].any()
    assert not found[:16].any()
