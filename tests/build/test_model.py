"""What a configuration becomes."""

from __future__ import annotations

import pytest

from nto3d.build.model import build_schedule
from nto3d.config.compose import compose_config


@pytest.mark.parametrize(("objects", "steps"), [(1, 400), (2, 480), (3, 560)])
def test_more_objects_are_trained_longer(objects: int, steps: int) -> None:
    config = compose_config(["trainer.steps=400", "trainer.object_steps=0.2"])
    assert build_schedule(config, objects).steps == steps
