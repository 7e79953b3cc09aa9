"""`scripts/evaluate_mcc.py`: figures, a picture, a calibrated network, and what cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.weights import load_mcc, save_mcc
from tests.scripts.conftest import Script

SIZES = MccSizes(32, 8, 16, 4, 24, 1, 3, 16, 1, 4, frequencies=2, hints=True)
COARSE = ("objects=2", "granularity=0.15")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = Mcc(SIZES)
    with torch.no_grad():  # every answer is 0.5
        model.decoder_pred.weight.zero_()
    save_mcc(model, tmp_path / "mcc.safetensors", torch.float32)
    return "weights=mcc.safetensors"


def test_it_prints_a_line_a_threshold(script: Script, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("evaluate_mcc", weights, *COARSE, "thresholds=[0.4,0.6]") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 objects")
    assert [line.split(":")[0] for line in lines[1:]] == ["threshold 0.4", "threshold 0.6"]
    # every answer is 0.5: everything is occupied at 0.4, nothing at 0.6
    recall = re.search(r" recall (\S+)", lines[1])
    assert recall is not None
    assert float(recall[1]) > 0.9
    assert "f_score 0.000" in lines[2]


def test_it_draws_and_calibrates(script: Script, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        script(
            "evaluate_mcc", weights, "objects=1", "granularity=0.3", "thresholds=[0.4]", "pictured=1", "picture=a.png"
        )
        == 0
    )
    picture = cv2.imread("a.png")
    assert picture is not None
    assert picture.shape[1] == 5 * 128 + 8
    assert (
        script("evaluate_mcc", weights, "objects=1", "granularity=0.3", "thresholds=[0.3]", "calibrated=b.safetensors")
        == 0
    )
    assert "now it is 0.3" in capsys.readouterr().out
    # every threshold below 0.5 was as good, 0.2 the lowest of the candidates
    shift = float(load_mcc(Path("b.safetensors")).decoder_pred.bias[0])
    assert shift == pytest.approx(np.log(0.3 / 0.7) - np.log(0.2 / 0.8), abs=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["objects=0"], "objects"),
        (["thresholds=[1.0]"], "thresholds: expected numbers between 0 and 1"),
        (["granularity=0"], "granularity"),
        (["picture=nowhere/a.png"], "there is no folder nowhere"),
        (["weights=other.pth"], "other.pth: expected weights of MCC"),
        (["colour=1"], "colour"),
    ],
)
def test_what_cannot_be_is_one_line(
    script: Script, weights: str, given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = given if any(one.startswith("weights=") for one in given) else [weights, *given]
    assert script("evaluate_mcc", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert said in error[0]
