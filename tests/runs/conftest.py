"""A small scene to point into, and an empty working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import write_dtu_scene


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    """A scene with a sphere in the middle of every picture, 96 x 72."""
    write_dtu_scene(tmp_path / "ball", 4, (72, 96))
    return tmp_path / "ball"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: nothing may be written elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
