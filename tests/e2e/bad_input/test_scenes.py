"""Broken scenes: exit code 2, one line that names the file, and no folder of a run is left."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nto3d.cli import main
from tests.data.broken_scenes import BROKEN
from tests.e2e.bad_input.conftest import one_line
from tests.e2e.conftest import TINY


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenes(box: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    break_scene, message = BROKEN[case]
    break_scene(box)
    assert main(TINY) == 2
    assert re.search(message, one_line(capfd))
    assert not Path("run").exists()


def test_the_masks_are_missing_unless_none_are_asked_for(box: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(box / "mask")
    assert main(TINY) == 2
    assert "pass scene.masks=none" in one_line(capfd)
    assert main([*TINY, "scene.masks=none"]) == 0
