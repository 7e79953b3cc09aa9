"""The optimizers of train_mcc take over what a checkpoint holds of them, or say in one line what does not fit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from nto3d.config.single import TrainMccConfig
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.parsers.contents import MismatchError
from nto3d.stages.mcc.learn import MuonWithAdam
from nto3d.training.restore import load_module

SIZES = MccSizes(16, 8, 8, 4, 8, 1, 2, 8, 1, 2)
STEPS = 2


def trained() -> tuple[Mcc, MuonWithAdam]:
    torch.manual_seed(0)
    model = Mcc(SIZES)
    optimizer = MuonWithAdam(model, TrainMccConfig())
    for _ in range(STEPS):
        step(model, optimizer)
    return model, optimizer


def step(model: Mcc, optimizer: MuonWithAdam) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = parameter.detach().sin()
    optimizer.step()


def test_both_optimizers_go_on_with_the_same_bits() -> None:
    model, optimizer = trained()
    other = Mcc(SIZES)
    load_module(other, copy.deepcopy(model.state_dict()))
    again = MuonWithAdam(other, TrainMccConfig())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()), STEPS)
    step(model, optimizer)
    step(other, again)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        (0, "momentum_buffer", torch.zeros(3), r"parts\[0\]\.state\.0\.momentum_buffer: expected float32"),
        (0, "momentum_buffer", "x", r"parts\[0\]\.state\.0\.momentum_buffer: .* got 'x'"),
        (1, "exp_avg_sq", None, r"parts\[1\]\.state\.0\.exp_avg_sq: .* got None"),
        (1, "step", torch.tensor(2.5), r"parts\[1\]\.state\.0\.step: expected a whole number, 1 to 2, got 2\.5"),
        (1, "step", STEPS + 1, r"parts\[1\]\.state\.0\.step: expected a whole number, 1 to 2, got 3"),
        (1, "more", 1, r"parts\[1\]\.state\.0: expected the keys step, exp_avg, exp_avg_sq, got"),
    ],
)
def test_what_they_cannot_have_gathered_is_refused(part: int, name: str, value: Any, words: str) -> None:
    model, optimizer = trained()
    state = copy.deepcopy(optimizer.state_dict())
    state["parts"][part]["state"][0][name] = value
    with pytest.raises(MismatchError, match=words):
        MuonWithAdam(model, TrainMccConfig()).load_state_dict(state, STEPS)


def test_a_parameter_and_a_setting_may_not_be_another() -> None:
    model, optimizer = trained()
    state = copy.deepcopy(optimizer.state_dict())
    del state["parts"][1]["state"][1]
    with pytest.raises(MismatchError, match=r"parts\[1\]\.state: expected all \d+ parameters, 1 is missing"):
        MuonWithAdam(model, TrainMccConfig()).load_state_dict(state, STEPS)
    state = copy.deepcopy(optimizer.state_dict())
    state["parts"][0]["param_groups"][0]["momentum"] = 0.5
    with pytest.raises(MismatchError, match=r"param_groups\[0\]\.momentum: expected 0\.95, got 0\.5"):
        MuonWithAdam(model, TrainMccConfig()).load_state_dict(state, STEPS)
