"""A recording is read back: its entities, when they became known, and that nothing is kept twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nto3d.config.schema import ViewerName
from nto3d.errors import InputError
from nto3d.report import recording as module
from nto3d.report.recording import Recording, RerunRecording, free_name, open_recording
from nto3d.types import Mesh, Prompts
from tests.report.entities import entities

PICTURE = np.zeros((48, 64, 3), dtype=np.uint8)
LENS, POSE = np.array([[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]]), np.eye(3, 4)
MESH = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.full((3, 3), 200, dtype=np.uint8))


def tell(recording: Recording) -> None:
    recording.camera("camera", LENS, POSE, (48, 64))
    recording.picture("camera/picture", PICTURE)
    prompts = Prompts(0, np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([1, 0]), np.array([1.0, 2.0, 30.0, 40.0]), None)
    recording.prompt("camera/prompt", prompts)
    mask = np.zeros((48, 64), dtype=np.bool_)
    for number in range(4):
        recording.at("pass", number)
        mask[5, 5] = number >= 2
        recording.mask("camera/mask", mask)
        recording.scalar("iou", 0.5 if number else float("nan"))
        recording.points(f"completed/pass_{number}", np.eye(3)[:number], PICTURE[0, :number], 0.1)
    recording.depth("camera/depth", np.ones((48, 64)))
    recording.mesh("mesh", MESH)


def test_what_was_told_is_read_back(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    path = tmp_path / "recording.rrd"
    with open_recording(ViewerName.rerun, path, "test") as recording:
        assert isinstance(recording, RerunRecording)
        tell(recording)
        assert not path.exists()  # under its name only when it is whole
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert free_name(path).name == "recording_2.rrd"
    assert free_name(tmp_path / "b.rrd").name == "b.rrd"
    found = entities(path, "pass")
    always = {"/camera", "/camera/picture", "/camera/prompt", "/camera/prompt/box"}
    assert all(set(found[name]) == {None} for name in always)
    assert found["/camera/mask"] == [None, 0, 2]  # its colours; where it changed
    assert found["/iou"] == [1, 2, 3]
    assert [found[f"/completed/pass_{number}"] for number in range(4)] == [[0], [1], [2], [3]]
    assert found["/camera/depth"] == found["/mesh"] == [3]


def test_a_scene_far_away_is_kept_relative_to_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 could not tell these vertices apart: it has steps of half a metre there."""
    pytest.importorskip("rerun")
    place, told = np.array([450000.0, 5400000.0, 300.0]), {}
    with open_recording(ViewerName.rerun, tmp_path / "a.rrd", "test") as recording:
        monkeypatch.setattr(recording, "_log", lambda entity, what, always=False: told.update({entity: what}))
        recording.about(place)
        recording.mesh("mesh", Mesh(place + 0.1 * np.eye(3), MESH.faces))
        recording.points("points", place + 0.1 * np.eye(3), PICTURE[0, :3], 0.1)
    vertices = told["mesh"].vertex_positions.as_arrow_array().to_pylist()
    np.testing.assert_allclose(vertices, 0.1 * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(told["points"].positions.as_arrow_array().to_pylist(), vertices)


def fail_halfway(path: Path) -> None:
    with open_recording(ViewerName.rerun, path, "test") as recording:
        recording.at("pass", 7)
        recording.mesh("mesh", MESH)
        raise InputError("halfway")


def test_what_a_failed_run_has_told_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    with pytest.raises(InputError, match="halfway"):
        fail_halfway(tmp_path / "a.rrd")
    assert entities(tmp_path / "a.rrd", "pass")["/mesh"] == [7]


def test_without_a_viewer_nothing_is_written(tmp_path: Path) -> None:
    with open_recording(ViewerName.none, tmp_path / "a.rrd", "test") as recording:
        tell(recording)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install rerun-sdk"):
        open_recording(ViewerName.rerun, tmp_path / "a.rrd", "test")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    with pytest.raises(InputError, match="cannot write"):
        open_recording(ViewerName.rerun, tmp_path / "nowhere" / "a.rrd", "test")
