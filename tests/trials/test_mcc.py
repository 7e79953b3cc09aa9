"""An MCC on objects that it has not seen: figures, a picture, a calibrated network, and what cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.weights import load_mcc, save_mcc
from nto3d.trials.mcc import evaluate_mcc, read_options
from tests.runs.pointing import refusal

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


def measured(*arguments: str) -> list[str]:
    """What is said."""
    said: list[str] = []
    evaluate_mcc(read_options(arguments), said.append)
    return said


def test_there_is_a_line_a_threshold(weights: str) -> None:
    lines = measured(weights, *COARSE, "thresholds=[0.4,0.6]")
    assert lines[0].startswith("2 objects")
    assert [line.split(":")[0] for line in lines[1:]] == ["threshold 0.4", "threshold 0.6"]
    # every answer is 0.5: everything is occupied at 0.4, nothing at 0.6
    recall = re.search(r" recall (\S+)", lines[1])
    assert recall is not None
    assert float(recall[1]) > 0.9
    assert "f_score 0.000" in lines[2]


def test_it_draws_and_calibrates(weights: str) -> None:
    one = (weights, "objects=1", "granularity=0.3")
    measured(*one, "thresholds=[0.4]", "pictured=1", "picture=a.png")
    picture = cv2.imread("a.png")
    assert picture is not None
    assert picture.shape[1] == 5 * 128 + 8
    (line,) = measured(*one, "thresholds=[0.3]", "calibrated=b.safetensors")
    assert "now it is 0.3" in line
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
def test_what_cannot_be_is_one_line(weights: str, given: list[str], said: str) -> None:
    arguments = given if any(one.startswith("weights=") for one in given) else [weights, *given]
    assert said in refusal(measured, *arguments)
    assert "weights is missing" in refusal(measured)
