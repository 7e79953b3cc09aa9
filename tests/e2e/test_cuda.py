"""The whole way from the click to the mesh on a GPU."""

import json
from pathlib import Path

import pytest

from nto3d.cli import main
from tests.helpers import SAMPLE
from tests.kernels.devices import needs_cuda


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("field", ["neus", "neus_feature"])
def test_from_one_click_on_cuda(tmp_path: Path, field: str) -> None:
    run = f"output={tmp_path / 'run'}"
    assert main(["device=cuda", run, f"field={field}", "logger=none", "evaluate.max_views=1"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["lift_mask_iou"] > 0.96
    assert metrics["chamfer_relative"] < 0.005
    assert field == "neus" or metrics["feature_cosine"] > 0.9


@pytest.mark.gpu
@needs_cuda
def test_mcc_learns_and_completes_on_cuda(tmp_path: Path) -> None:
    small = ["train_mcc.objects=2", "train_mcc.side=48", "train_mcc.surface_points=1000", "train_mcc.batch=4"]
    rest = ["train_mcc.queries=64", "train_mcc.held_out=1", "train_mcc.calibrate=0", "logger=none", "device=cuda"]
    given = ["mode=train_mcc", *small, *rest, "train_mcc.precision=bfloat16", "train_mcc.steps=6"]
    assert main([*given, f"output={tmp_path / 'learnt'}"]) == 0
    single = ["mode=single", f"scene.path={SAMPLE}", "device=cuda", "logger=none", f"output={tmp_path / 'single'}"]
    assert main([*single, "single.granularity=0.1"]) == 0
    assert (tmp_path / "single" / "mesh.ply").is_file()
