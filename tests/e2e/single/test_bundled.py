"""The bundled small network: what `python train.py mode=single` does without any download, and how good it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nto3d.cli import main
from nto3d.config.single import FIRST_HELD_OUT, TrainMccConfig
from nto3d.data.synthetic.pool import PoolSpec, one_object
from nto3d.mcc.model import Mcc
from nto3d.mcc.weights import BUNDLED, load_mcc
from nto3d.stages.mcc.assess import HeldOut, complete_view, mean_scores
from tests.helpers import SAMPLE

POOL = PoolSpec(views=1, side=TrainMccConfig.side, points=TrainMccConfig.surface_points)
THRESHOLD = 0.3


@pytest.fixture(scope="module")
def bundled() -> Mcc:
    return load_mcc(BUNDLED)


def held_out(model: Mcc, number: int) -> HeldOut:
    return HeldOut.of(one_object(FIRST_HELD_OUT + number, POOL), 0, model.sizes)


def test_it_is_small(bundled: Mcc) -> None:
    assert BUNDLED.stat().st_size <= 8e6
    assert sum(value.numel() for value in bundled.parameters()) > 1e6


def test_the_sample_becomes_a_closed_mesh_on_its_depth(tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ("mode=single", f"scene.path={SAMPLE}", f"output={run}", "device=cpu", "logger=none")
    assert main([*given, "evaluate.report=false", "single.granularity=0.07"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["seen_median"] <= 0.02 * metrics["size"]
    mesh = trimesh.load_mesh(run / "mesh.ply")
    assert mesh.is_watertight
    assert mesh.volume > 0
    truth = trimesh.load_mesh(SAMPLE / "gt_mesh.ply")  # of the same unit, so as large, if it was completed
    assert mesh.scale == pytest.approx(truth.scale, rel=0.3)


@pytest.mark.slow
def test_it_completes_objects_that_it_has_not_seen(bundled: Mcc) -> None:
    """A few of them, coarsely; fifty are measured by scripts/evaluate_mcc.py."""
    completed = [complete_view(bundled, held_out(bundled, number), 0.1, THRESHOLD, 8192) for number in range(8)]
    scores = mean_scores(completed, THRESHOLD)
    assert scores["f_score"] > 0.7
    assert scores["f_score"] > scores["seen_f_score"] + 0.1
    assert scores["hidden_coverage"] > 0.45


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_sweep_finds_what_asking_everywhere_finds(bundled: Mcc, number: int) -> None:
    view = held_out(bundled, number)
    fine = complete_view(bundled, view, 0.05, THRESHOLD, 8192).found
    assert fine.asked <= 0.12 * 120**3
    whole = complete_view(bundled, view, 0.05, THRESHOLD, 8192, first_stride=1).found
    assert whole.asked == 120**3
    both = np.count_nonzero(whole.occupied & fine.occupied)
    assert both >= 0.99 * np.count_nonzero(whole.occupied | fine.occupied)
