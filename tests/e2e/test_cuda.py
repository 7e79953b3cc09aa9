"""The whole way from the click to the mesh on a GPU."""

import json
from pathlib import Path

import pytest

from nto3d.cli import main
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
