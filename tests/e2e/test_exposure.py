"""Runs that learn exposures: stopped ones end with the same bits, and what they leave can be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nto3d.cli import main
from nto3d.stages.reconstruct import Reconstruction
from tests.e2e.conftest import TINY

RUN = (*TINY, "field.exposure=on", "trainer.steps=12", "trainer.checkpoint_every=100")


def test_a_stopped_run_ends_with_the_same_bits(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*RUN, "output=whole"]) == 0
    prepare = Reconstruction.prepare

    def stopped(self: Reconstruction, step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt
        prepare(self, step)

    monkeypatch.setattr(Reconstruction, "prepare", stopped)
    assert main([*RUN, "output=run"]) == 130
    monkeypatch.setattr(Reconstruction, "prepare", prepare)
    assert main(["resume=run"]) == 0
    states = [torch.load(f"{name}/checkpoint.pt", weights_only=True) for name in ("whole", "run")]
    models = [state["model"] for state in states]
    assert models[0].keys() == models[1].keys()
    assert models[0]["exposure.log_gain"].abs().max() > 0
    assert [name for name in models[0] if not torch.equal(models[0][name], models[1][name])] == []
    assert Path("whole/mesh.ply").read_bytes() == Path("run/mesh.ply").read_bytes()


def test_held_out_views_are_measured_and_off_has_none(box: Path) -> None:
    assert main([*RUN, "evaluate.enabled=true", "output=run"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["psnr_mask"] > 0.0
    assert main([*TINY, "output=auto"]) == 0
    assert main([*TINY, "field.exposure=off", "output=off"]) == 0
    states = [torch.load(f"{name}/checkpoint.pt", weights_only=True)["model"] for name in ("auto", "off")]
    assert not any(name.startswith("exposure") for name in states[0])
    assert [name for name in states[1] if not torch.equal(states[0][name], states[1][name])] == []
