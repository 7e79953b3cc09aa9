"""What a recording is told of a scene's views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nto3d.data.dtu import read_dtu
from nto3d.report.recording import Recording
from nto3d.runs.lift.record import record_views
from nto3d.types import FloatArray
from tests.helpers import write_dtu_scene


class Told(Recording):
    """Keeps the place that everything is relative to, and the cameras' centres."""

    def __init__(self) -> None:
        self.place: FloatArray | None = None
        self.centers: list[FloatArray] = []

    def about(self, place: FloatArray) -> None:
        """See `Recording`."""
        self.place = place

    def camera(self, entity: str, intrinsics: FloatArray, cam_to_world: FloatArray, size: tuple[int, int]) -> None:
        """See `Recording`."""
        self.centers.append(cam_to_world[:, 3])


@pytest.mark.parametrize("far", [True, False])
def test_a_scene_far_away_is_relative_to_a_place(tmp_path: Path, far: bool) -> None:
    shift = np.array([450000.0, 5400000.0, 300.0]) if far else np.zeros(3)
    moved = np.eye(4)
    moved[:3, 3] = shift

    def move(entries: dict) -> dict:
        exact = {key: old.astype(np.float64) for key, old in entries.items()}
        return {
            key: old @ np.linalg.inv(moved) if key.startswith("world") else moved @ old for key, old in exact.items()
        }

    written, told = write_dtu_scene(tmp_path, edit_cameras=move), Told()
    record_views(told, read_dtu(tmp_path))
    expected = written.cam_to_world[:, :, 3] * 10.0 + written.world_from_normalized[:3, 3] + shift
    np.testing.assert_allclose(told.centers, expected, rtol=0, atol=1e-4)
    if far:
        assert told.place is not None
        assert np.linalg.norm(told.place - expected[0]) < 60.0
    else:
        assert told.place is None
