"""A small scene, and prompts in it from the configuration and from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.config.schema import PromptsConfig
from nto3d.data.dtu import read_dtu
from nto3d.segment.prompts.read import read_prompts
from nto3d.types import Prompts, Scene
from tests.helpers import write_dtu_scene

SIZE = (47, 64)  # divisible by none of the reductions below


def click(**values: object) -> PromptsConfig:
    return PromptsConfig(**{"view": 0, **values})  # type: ignore[arg-type]


def from_text(text: str, folder: Path, scene: Scene, tmp_path: Path) -> tuple[Prompts, ...]:
    file = tmp_path / "clicks.json"
    file.write_text(text, encoding="utf-8")
    return read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts")
    write_dtu_scene(path, 3, SIZE)
    return path


@pytest.fixture(scope="module")
def scene(folder: Path) -> Scene:
    return read_dtu(folder)
