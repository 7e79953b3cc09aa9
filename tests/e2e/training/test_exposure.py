"""Runs that learn exposures: stopped ones end with the same bits, and what they leave can be used."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from nto3d.cli import main
from nto3d.stages.reconstruct.objective import Reconstruction
from tests.e2e.conftest import TINY

RUN = (*TINY, "field.exposure=on", "trainer.steps=12", "trainer.checkpoint_every=100")


def weights(run: str) -> dict[str, torch.Tensor]:
    model = torch.load(f"{run}/checkpoint.pt", weights_only=True)["model"]
    return {name: value for name, value in model.items() if isinstance(value, torch.Tensor)}


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """Names of weights that are not the same bits."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def test_a_stopped_run_ends_with_the_same_bits(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*RUN, "output=whole"]) == 0
    prepare = Reconstruction.prepare

    def stopped(self: Reconstruction, step: int) -> None:
        if step == 7:
            signal.raise_signal(signal.SIGINT)
        prepare(self, step)

    monkeypatch.setattr(Reconstruction, "prepare", stopped)
    assert main([*RUN, "output=run"]) == 130
    monkeypatch.setattr(Reconstruction, "prepare", prepare)
    assert main(["resume=run"]) == 0
    whole, stopped_run = weights("whole"), weights("run")
    assert whole["exposure.log_gain"].abs().max() > 0
    assert differing(whole, stopped_run) == []
    assert Path("whole/mesh.ply").read_bytes() == Path("run/mesh.ply").read_bytes()


def test_held_out_views_are_measured_and_off_has_none(box: Path) -> None:
    assert main([*RUN, "evaluate.enabled=true", "output=run"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["psnr_mask"] > 0.0
    assert main([*TINY, "output=auto"]) == 0
    assert main([*TINY, "field.exposure=off", "output=off"]) == 0
    auto, off = weights("auto"), weights("off")
    assert not any(name.startswith("exposure") for name in auto)
    assert differing(auto, off) == []
