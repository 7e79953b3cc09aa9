"""The changes do what they say, and the table says what came; a stand-in runs in place of train.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.geometry.poses import normalize_cameras
from nto3d.trials.places import SAMPLE
from nto3d.trials.transformed import run
from nto3d.trials.transformed.change import Change, Expected, read_entries
from nto3d.trials.transformed.run import CHANGES, Outcome, read_options, table, try_changes
from nto3d.trials.transformed.world import CAMERA, WORLD


def cameras(scene: Path) -> tuple[np.ndarray, np.ndarray]:
    entries = read_entries(scene)
    matrices = [entries[f"world_mat_{view}"].astype(np.float64) for view in range(32)]
    return normalize_cameras(matrices, entries["scale_mat_0"].astype(np.float64))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample without its pictures."""
    folder = tmp_path_factory.mktemp("sample") / "scene"
    folder.mkdir()
    for name in ("cameras_sphere.npz", "gt_mesh.ply", "scene.json"):
        shutil.copy(SAMPLE / name, folder)
    return folder


FRAMES = [c for c in (*WORLD, *CAMERA) if c.expected is Expected.same and "normalized frame" not in c.name]


@pytest.mark.parametrize("change", FRAMES, ids=[change.name for change in FRAMES])
def test_cameras_and_truth_move_together(small: Path, tmp_path: Path, change: Change) -> None:
    """In the normalized frame nothing has changed; the true surface is where the moved world says."""
    scene = tmp_path / "scene"
    shutil.copytree(small, scene)
    change.make(scene)
    if (scene / "cameras.npz").exists():
        (scene / "cameras.npz").rename(scene / "cameras_sphere.npz")
    intrinsics, poses = cameras(scene)
    expected_intrinsics, expected = cameras(SAMPLE)
    np.testing.assert_allclose(intrinsics, expected_intrinsics, rtol=1e-4, atol=1e-3)
    if "upright" in change.name or "UTM" in change.name:  # another normalized frame, of the same size
        np.testing.assert_allclose(
            np.linalg.norm(poses[:, :, 3], axis=1), np.linalg.norm(expected[:, :, 3], axis=1), atol=1e-5
        )
    else:
        np.testing.assert_allclose(poses, expected, atol=1e-5)


def test_every_change_of_files_can_be_made(tmp_path: Path) -> None:
    """And those of names leave pictures and masks in their order."""
    for heading, name in (("Names", "folders images/ and masks/"), ("Names", "files that systems leave behind")):
        (change,) = [change for change in CHANGES[heading] if change.name == name]
        scene = tmp_path / name.replace("/", "_")
        shutil.copytree(SAMPLE, scene, ignore=shutil.ignore_patterns(".*"))
        change.make(scene)
        assert len(read_dtu(scene, downscale=16).names) == 32
    assert sum(len(changes) for changes in CHANGES.values()) >= 40
    names = [change.name for changes in CHANGES.values() for change in changes]
    assert len(set(names)) == len(names)


def stand_in(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
    """The scene's true surface for a mesh; a scene without masks is refused."""
    given = dict(argument.split("=", 1) for argument in command[2:])
    scene, out = Path(given["scene.path"]), Path(given["output"])
    if not (scene / "mask").is_dir():
        return subprocess.CompletedProcess(command, 2, b"", f"error: {scene}: no mask | at all\n".encode())
    out.mkdir()
    shutil.copy(scene / "gt_mesh.ply", out / "mesh.ply")
    return subprocess.CompletedProcess(command, 0, b"", b"done\n")


def test_meshes_are_measured_in_the_samples_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.subprocess, "run", stand_in)
    options, overrides = read_options(["only=['scaled by 7',Missing,'negated without']", f"table={tmp_path / 't.md'}"])
    said: list[str] = []
    found = try_changes(options, overrides, "python it", said.append)
    (utm,) = found["World"]
    assert utm.change.folder == "scene"
    assert utm.ratio == pytest.approx(1.0, abs=0.05)
    refused = found["Missing"][-1]
    assert (refused.code, refused.ratio, refused.holds) == (2, None, True)
    page = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert "| no mask at all | 2 | SCENE: no mask \\| at all |" in page
    assert "    python it\n" in page
    assert said[0].startswith("unchanged: Chamfer distance")


def test_the_table_tells_what_is_not_as_expected() -> None:
    good, bad = Change("good", lambda scene: None), Change("bad", lambda scene: None)
    outcomes = [
        Outcome(good, 0, 1.29, ""),
        Outcome(bad, 0, 1.31, ""),
        Outcome(bad, 2, None, "error: no"),
        Outcome(bad, 1, None, "KeyError"),
    ]
    assert [outcome.holds for outcome in outcomes] == [True, False, False, False]
    page = table({"Some": outcomes}, 2.5, "it")
    assert "**4 changes: 1 follow, 0 are refused as they should be, 3 are not as expected.**" in page
    assert "| bad | 0 | 1.31 **not as expected: same mesh** |" in page
    either = Change("either", lambda scene: None, Expected.either)
    assert [Outcome(either, *rest).holds for rest in ((0, 1.0, ""), (2, None, "error: no"), (1, None, "no"))] == [
        True,
        True,
        False,
    ]


def test_nothing_asked_for_is_an_error() -> None:
    with pytest.raises(InputError, match="only: expected parts of names of changes or World, Cameras"):
        read_options(["only=[nothing]"])
