"""When exposures are learnt, and what a checkpoint knows of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from nto3d.build import exposure as module
from nto3d.build.exposure import build_exposure, find_exposures, stored_exposures
from nto3d.build.model import parameter_groups
from nto3d.config.schema import Config, ExposureUse
from nto3d.geometry.exposure import Exposures
from nto3d.types import Cameras, Scene
from tests.helpers import ring_cameras

GAIN = np.array([[0.8] * 3, [1.25] * 3, [1.1] * 3])


def scene() -> Scene:
    intrinsics, poses = ring_cameras(3, (24, 32))
    images, cameras = np.zeros((3, 24, 32, 3), np.uint8), Cameras(intrinsics, poses, (24, 32))
    return Scene("dark", images, cameras, None, None, ("0", "1", "2"), (0, 1), (2,), np.eye(4))


def answer(monkeypatch: pytest.MonkeyPatch, use: ExposureUse, difference: float) -> Exposures | None:
    """What is found where the estimate has a difference."""
    monkeypatch.setattr(module, "estimate_exposures", lambda *_: Exposures(GAIN, 0.0 * GAIN, difference))
    config = Config()
    config.field.exposure = use
    return find_exposures(config, scene())


@pytest.mark.parametrize(
    ("use", "difference", "found"),
    [
        (ExposureUse.auto, 0.2, True),
        (ExposureUse.auto, 0.03, False),
        (ExposureUse.on, 0.0, True),
        (ExposureUse.off, 0.2, False),
    ],
)
def test_when_exposures_are_learnt(
    monkeypatch: pytest.MonkeyPatch, use: ExposureUse, difference: float, found: bool
) -> None:
    assert (answer(monkeypatch, use, difference) is not None) is found


def test_what_was_found_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nto3d"):
        answer(monkeypatch, ExposureUse.auto, 0.2)
        answer(monkeypatch, ExposureUse.auto, 0.02)
    assert "gains 0.80 to 1.25; learning one gain and offset a view" in caplog.text  # of the training views
    assert "the same exposure: neighbours differ by 2.0 %" in caplog.text


def test_black_pictures_say_nothing() -> None:
    assert find_exposures(Config(), scene()) is None


def test_a_checkpoint_knows_the_estimate_and_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    exposure = build_exposure(Exposures(GAIN, 0.1 * GAIN), (0, 1))
    assert exposure is not None
    with torch.no_grad():
        exposure.log_gain += 0.3  # learning does not change it
    state = {f"exposure.{name}": value for name, value in exposure.state_dict().items()}
    monkeypatch.setattr(module, "estimate_exposures", lambda *_: pytest.fail("the pictures are not looked at again"))
    found = find_exposures(Config(), scene(), {"model": state})
    assert found is not None
    again = build_exposure(found, (0, 1))
    assert again is not None
    for name in ("start_gain", "start_offset", "train_views"):
        assert torch.equal(again.get_buffer(name), exposure.get_buffer(name))
    assert find_exposures(Config(), scene(), {"model": {}}) is None
    assert stored_exposures({}) is None


def test_exposures_are_a_group_of_their_own() -> None:
    parts = torch.nn.ModuleDict(
        {"color": torch.nn.Linear(2, 2), "exposure": build_exposure(Exposures(GAIN, GAIN), (0,))}
    )
    groups = parameter_groups(Config(), parts)
    assert [(group["lr"], len(group["params"])) for group in groups] == [(2e-3, 2), (1e-3, 2)]
