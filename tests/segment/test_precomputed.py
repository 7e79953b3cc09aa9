from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.segment.precomputed import given_masks
from tests.helpers import write_dtu_scene


def test_gives_the_masks_of_the_scene(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    assert (given_masks(read_dtu(tmp_path)) == written.masks).all()


def test_says_what_to_do_without_masks(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    scene = dataclasses.replace(read_dtu(tmp_path, name="box"), masks=None)
    with pytest.raises(InputError, match=r"box.*pass scene\.masks=none"):
        given_masks(scene)
