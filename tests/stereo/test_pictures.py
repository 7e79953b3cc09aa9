"""Which views are compared, and at what size."""

from __future__ import annotations

import numpy as np

from nto3d.stereo.pictures import MARGIN, choose_sources, pyramid
from tests.geometry.textured import cameras_at


def sources(angles: list[float], useful: list[bool] | None = None) -> list[list[int]]:
    flags = np.ones(len(angles), dtype=bool) if useful is None else np.array(useful)
    return [[int(view) for view in row if view >= 0] for row in choose_sources(cameras_at(angles), flags)]


def test_sources_have_good_parallax() -> None:
    assert sources([0.0, 44.0, 46.0, 4.0, 6.0])[0] == [4, 1]  # 5 to 45 degrees
    assert sources([0.0, 14.0, 40.0, 25.0])[0] == [1, 3, 2]
    assert sources([0.0]) == [[]]


def test_one_of_two_neighbouring_sources_counts_less() -> None:
    assert sources([0.0, 14.0, 16.0, -17.0])[0] == [1, 3, 2]


def test_views_that_show_nothing_are_no_sources() -> None:
    assert sources([0.0, 14.0, -14.0], [True, False, True]) == [[2], [0, 2], [0]]


def test_levels_double_and_keep_what_is_wanted() -> None:
    cameras = cameras_at([0.0, 15.0], (160, 200), 160.0)
    images = np.zeros((2, 160, 200, 3), dtype=np.uint8)
    masks = np.zeros((2, 160, 200), dtype=bool)
    masks[0, 40:80, 60:120] = True
    levels = pyramid(images, cameras, range(2), masks, None, 10**6)
    assert [level.cameras.size for level in levels] == [(40, 50), (80, 100), (160, 200)]
    np.testing.assert_allclose(levels[0].cameras.intrinsics[0, 0, 0], cameras.intrinsics[0, 0, 0] / 4)
    assert (levels[-1].inside == masks).all()
    assert levels[-1].wanted[0, 40 - MARGIN : 80 + MARGIN, 90].all()
    assert not levels[-1].wanted[0, : 40 - MARGIN].any()
    assert not levels[-1].wanted[1].any()
    hidden = pyramid(images, cameras, range(2), masks, masks, 10**6)[-1]
    assert not hidden.inside.any()
    # Half of the looked-at pixels: both sides shrink by the square root
    assert pyramid(images, cameras, range(2), masks, None, 1200)[-1].cameras.size == (113, 141)
