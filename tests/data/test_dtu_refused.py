"""Scenes in the DTU layout that are refused, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from tests.data.broken_scenes import BROKEN
from tests.helpers import write_dtu_scene


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenes_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    break_scene, message = BROKEN[case]
    write_dtu_scene(tmp_path / "box", depths=True, mesh=True)
    break_scene(tmp_path / "box")
    with pytest.raises(InputError, match=message) as caught:
        read_dtu(tmp_path / "box")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("downscale", [0, -1, 25])
def test_downscale_out_of_range(tmp_path: Path, downscale: int) -> None:
    write_dtu_scene(tmp_path)
    with pytest.raises(InputError, match=rf"scene\.downscale: expected 1 to 24 for .*, got {downscale}"):
        read_dtu(tmp_path, downscale=downscale)


@pytest.mark.parametrize(
    ("test_views", "message"),
    [
        ([6], r"views from 0 to 5, got \[6\]"),
        ([-1, 9], r"views from 0 to 5, got \[-1, 9\]"),
        ([0, 1, 2, 3, 4, 5], r"at least 2 views to train on, got 0 \(6 views, 6 of them held out\)"),
        ([0, 1, 2, 3, 4], r"at least 2 views to train on, got 1"),
    ],
)
def test_test_views_out_of_range(tmp_path: Path, test_views: list[int], message: str) -> None:
    write_dtu_scene(tmp_path)
    with pytest.raises(InputError, match=message):
        read_dtu(tmp_path, test_views=test_views)


def test_one_view_is_too_few(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path, views=1)
    with pytest.raises(InputError, match="at least 2 views to train on, got 1"):
        read_dtu(tmp_path)
