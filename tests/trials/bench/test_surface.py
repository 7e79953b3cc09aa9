"""Surfaces trained with and without a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.errors import InputError
from nto3d.trials.bench.surface import bench_surface, scene_arguments

SMALL = (
    *("trainer=smoke", "trainer.steps=20", "scene.downscale=4", "field.start=sphere", "field.exposure=off"),
    *("evaluate.max_views=1", "device=cpu", "threads=1"),
)


def test_scenes_are_trained_with_and_without(tmp_path: Path) -> None:
    noted: list[str] = []
    rows = bench_surface(["sample"], ["unseen as it is"], SMALL, tmp_path, noted.append)
    assert [row["what"] for row in rows] == ["unseen as it is"]
    for row in rows:
        assert (row["part"], row["size"]) == ("surface", "sample")
        assert row["ms"] > 0
        assert 0 < row["normal_error"] < 180
        assert row["chamfer_relative"] > 0
        assert 0.05 < row["peak_gb"] < 8
    assert (tmp_path / "sample_unseen_as_it_is" / "mesh.ply").is_file()
    assert noted == ["measured surface sample unseen as it is"]


def test_scenes_go_by_name_or_folder(tmp_path: Path) -> None:
    assert scene_arguments("tabletop:7")[:2] == ["scene=synthetic", "scene.seed=7"]
    assert scene_arguments(str(tmp_path)) == ["scene=dtu", f"scene.path={tmp_path}"]
    (tmp_path / "check_points_24.npz").touch()
    assert scene_arguments(str(tmp_path))[2] == f"evaluate.points={tmp_path / 'check_points_24.npz'}"
    for unknown in ("tabletop:x", "nowhere"):
        with pytest.raises(InputError, match="scenes: expected sample, concave, tabletop:SEED or a folder"):
            scene_arguments(unknown)


def test_a_failing_training_says_which(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample, no patches: training failed: error: unknown key"):
        bench_surface(["sample"], ["no patches"], ["trainer.stepz=1"], tmp_path, print)
