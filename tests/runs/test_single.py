"""The mask of a single picture's target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nto3d.config.compose import compose_config
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.single import target_mask
from tests.helpers import write_dtu_scene


def test_negative_clicks_alone_point_at_nothing(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path / "ball", 3, (48, 64))
    frames = [{"index": 0, "point": [[32, 24]]}, {"index": 2, "point": [[32, 24]], "label": [0]}]
    (tmp_path / "ball" / "prompts.json").write_text(json.dumps({"frames": frames}))
    values = ("mode=single", "scene=dtu", f"scene.path={tmp_path / 'ball'}", "segmenter=grabcut")
    masks = {}
    for view in (0, 2):
        config = compose_config([*values, f"scene.view={view}"])
        scene = load_scene(config.scene, config.segmenter.name)
        if view == 0:
            masks[view], _ = target_mask(config, scene)
            assert masks[view].any()
        else:
            with pytest.raises(InputError, match=r"expected a point of label 1 or a box in view 2"):
                target_mask(config, scene)
