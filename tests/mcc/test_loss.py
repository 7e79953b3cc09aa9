"""Losses and measures against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nto3d.mcc.loss import mcc_loss
from nto3d.mcc.measure import f_score, hidden_coverage
from nto3d.mcc.query import decoded_colors

OCCUPIED = torch.tensor([[True, False], [False, True]])


def blank() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(2, 2, 769), torch.zeros(2, 2, 3, dtype=torch.uint8)


def line(*places: float) -> np.ndarray:
    """Points on the x axis."""
    return np.array([[place, 0.0, 0.0] for place in places]).reshape(-1, 3)


def test_who_knows_nothing_loses_the_logarithm_of_the_choices() -> None:
    logits, rgb = blank()
    occupancy, color = mcc_loss(logits, OCCUPIED, rgb)
    assert occupancy.tolist() == [[pytest.approx(math.log(2))] * 2] * 2
    assert color.tolist() == [[pytest.approx(math.log(256))] * 3] * 2


def test_occupancy_is_the_first_logit() -> None:
    logits, rgb = blank()
    logits[..., 0] = math.log(3.0)  # a probability of 3/4
    occupancy, _ = mcc_loss(logits, OCCUPIED, rgb)
    yes, no = pytest.approx(-math.log(0.75)), pytest.approx(-math.log(0.25))
    assert occupancy.tolist() == [[yes, no], [no, yes]]


def test_colors_are_classes_of_red_green_and_blue() -> None:
    logits, rgb = blank()
    rgb[1, 1] = torch.tensor([7, 255, 0])
    for channel, value in enumerate((7, 255, 0)):
        logits[1, 1, 1 + 256 * channel + value] = 2.0 + channel
    rgb[0, 1] = 99  # not occupied: nobody asks
    logits[0, 1] = 50.0
    _, color = mcc_loss(logits, OCCUPIED, rgb)
    expected = [math.log(255 + math.exp(a)) - a for a in (2.0, 3.0, 4.0)]
    assert color[0].tolist() == [pytest.approx(math.log(256))] * 3
    assert color[1].tolist() == pytest.approx(expected)


def test_the_least_loss_is_what_the_sweep_decodes() -> None:
    logits, rgb = blank()
    rgb[1, 1] = torch.tensor([7, 255, 0])
    logits.requires_grad_()
    _, color = mcc_loss(logits, OCCUPIED, rgb)
    (gradient,) = torch.autograd.grad(color.sum(), logits)
    assert decoded_colors(-100 * gradient[1, 1:]).tolist() == [[7, 255, 0]]
    assert not gradient[0, 1].any()


def test_nothing_occupied_leaves_no_colors() -> None:
    logits, rgb = blank()
    occupancy, color = mcc_loss(logits, torch.zeros(2, 2, dtype=torch.bool), rgb)
    assert occupancy.tolist() == [[pytest.approx(math.log(2))] * 2] * 2
    assert color.shape == (0, 3)


def test_half_precision_is_summed_in_full() -> None:
    logits, rgb = blank()
    occupancy, color = mcc_loss(logits.bfloat16(), OCCUPIED, rgb)
    assert occupancy.dtype == color.dtype == torch.float32
    assert color[0, 0].item() == pytest.approx(math.log(256), rel=1e-6)


def test_shapes_that_do_not_fit_are_refused() -> None:
    logits, rgb = blank()
    with pytest.raises(ValueError, match=r"\[2, 2, 769\]"):
        mcc_loss(logits[..., :-1], OCCUPIED, rgb)
    with pytest.raises(ValueError, match="colours"):
        mcc_loss(logits, OCCUPIED, rgb[..., :2])


def test_precision_recall_and_f() -> None:
    # 2 of the 4 found are on the surface; 1.1 of it is 0.25 from the nearest found: 3 of 5 are found
    score = f_score(line(0.0, 1.35, 5.0, 2.0), line(0.0, 0.05, 1.1, 1.9, 2.05), distance=0.09)
    assert (score.precision, score.recall) == (0.5, 0.6)
    assert score.f == pytest.approx(2 * 0.3 / 1.1)


def test_just_the_distance_is_too_far() -> None:
    score = f_score(line(0.5), line(0.0, 0.75), distance=0.5)
    assert (score.precision, score.recall) == (1.0, 0.5)


def test_nothing_found_is_no_agreement() -> None:
    score = f_score(line(), line(0.0))
    assert (score.precision, score.recall, score.f) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="none"):
        f_score(line(0.0), line())


def test_coverage_counts_only_what_was_not_seen() -> None:
    truth, seen = line(0.0, 0.05, 1.0, 2.0, 3.0, 4.0), line(0.0)
    # hidden are 1 to 4; the found ones at 0 bring nothing, those at 2.05 and 3.95 do
    assert hidden_coverage(line(0.0, 2.05, 3.95, 9.0), truth, seen) == 0.5
    assert hidden_coverage(line(), truth, seen) == 0.0
    assert hidden_coverage(truth, truth, line()) == 1.0
    assert math.isnan(hidden_coverage(line(0.0), truth, truth))


def test_points_have_three_coordinates() -> None:
    with pytest.raises(ValueError, match="seen"):
        hidden_coverage(line(0.0), line(0.0), np.zeros((4, 2)))
