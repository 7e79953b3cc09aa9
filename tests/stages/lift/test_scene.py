"""What the scene stage leaves goes through a checkpoint unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.views.projection import Projection


def test_state_and_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen = {
        view: Projection(
            view,
            np.zeros((3, 4), np.float32),
            rng.random((3, 4), np.float32),
            rng.random((3, 4), np.float32),
            rng.random((3, 4)) > 0.5,
        )
        for view in (5, 2)
    }
    fitted = SceneFit({"weight": torch.ones(2)}, {"state": {}}, seen, 1.5)
    torch.save(fitted.state(), tmp_path / "state.pt")
    again = SceneFit.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert sorted(again.seen) == [2, 5]
    assert again.seconds == 1.5
    assert torch.equal(again.model["weight"], torch.ones(2))
    for view, projection in seen.items():
        for name in ("target", "depth", "opacity", "differs"):
            value = getattr(again.seen[view], name)
            assert value.dtype == getattr(projection, name).dtype
            assert np.array_equal(value, getattr(projection, name))


def test_a_missing_map_is_said() -> None:
    with pytest.raises(KeyError, match="depth"):
        SceneFit.from_state({"model": {}, "optimizer": {}})
