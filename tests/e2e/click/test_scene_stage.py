"""A lift that is stopped in its scene stage loses at most a hundred steps, and ends with the same bits."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nto3d.cli import main
from nto3d.errors import InputError
from nto3d.pipeline import scene
from nto3d.runs.folder import load_run_config
from nto3d.runs.stored import open_run
from nto3d.stages.lift.objective import Lift
from nto3d.training.checkpoint import load_checkpoint
from nto3d.training.contents import SCENE_STAGE
from tests.helpers import write_dtu_scene

RUN = (
    *("scene=dtu", "trainer=smoke", "device=cpu", "threads=1", "logger=none", "lift.max_rays=256"),
    *(
        "prompts.view=0",
        "prompts.points=[[16,12]]",
        "field.start=sphere",
        "field.sphere_radius=0.5",
        "lift.scene_steps=46",
    ),
    *("lift.scene_steps=46", "trainer.start_steps=36", "trainer.steps=2", "export.resolution=16", "lift.max_rounds=0"),
    *("evaluate.enabled=false", "evaluate.report=false", "scene.path=ball"),
)


class Killed(BaseException):
    """Nobody catches it."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that lifts take; a negative one after it is put in ends the run there."""
    taken: list[int] = []
    prepare = Lift.prepare

    def noted(self: Lift, step: int) -> None:
        if taken and taken[0] == -step:
            raise Killed
        taken.append(step)
        prepare(self, step)

    monkeypatch.setattr(Lift, "prepare", noted)
    return taken


def results(run: str) -> dict[str, bytes]:
    names = ("mesh.ply", *(f"masks/{view:03d}.png" for view in range(6)))
    return {name: (Path(run) / name).read_bytes() for name in names}


def test_it_goes_on_from_the_last_checkpoint(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert scene.CHECKPOINT_EVERY == 100
    monkeypatch.setattr(scene, "CHECKPOINT_EVERY", 20)
    # As of stereo, which sees nothing on a smooth ball
    monkeypatch.setattr(scene, "build_start", lambda *_: SimpleNamespace(distance=torch.full((8, 8, 8), 0.1)))
    write_dtu_scene(Path("ball"))
    assert main([*RUN, "field.exposure=on", "output=whole"]) == 0
    steps[:] = [-12]
    with pytest.raises(Killed):
        main([*RUN, "field.exposure=on", "output=run"])
    begun = load_checkpoint(Path("run/checkpoint.pt"))
    assert (begun["stage"], begun["step"]) == (SCENE_STAGE, 0)
    for end, begin in ((30, 0), (41, 20)):  # the starting surface pulls until step 36
        steps[:] = [-end]
        with pytest.raises(Killed):
            main(["resume=run"])
        assert steps[1:] == list(range(begin, end))
    state = load_checkpoint(Path("run/checkpoint.pt"))
    assert (state["stage"], state["step"]) == (SCENE_STAGE, 40)
    with pytest.raises(InputError, match="there is no mesh yet"):
        open_run(Path("run"), load_run_config(Path("run")), torch.device("cpu"))
    steps.clear()
    assert main(["resume=run"]) == 0
    assert steps[:6] == list(range(40, 46))
    assert (begun["objective"]["start"] is not None, state["objective"]["start"]) == (True, None)
    assert results("run") == results("whole")
    kept = (Path("run/lift/scalars.csv").read_text(), Path("whole/lift/scalars.csv").read_text())
    rows = [sorted(line.split(",")[:2] for line in text.split()) for text in kept]
    assert rows[0] == rows[1]


def test_ctrl_c_in_the_scene_stage_keeps_what_was_learnt(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_dtu_scene(Path("ball"))
    prepare = Lift.prepare

    def stop(self: Lift, step: int) -> None:
        if step == 33:
            signal.raise_signal(signal.SIGINT)
        prepare(self, step)

    monkeypatch.setattr(Lift, "prepare", stop)
    assert main([*RUN, "output=run"]) == 130
    assert "go on with: python train.py resume=run" in capfd.readouterr().err
    state = load_checkpoint(Path("run/checkpoint.pt"))
    assert (state["stage"], state["step"]) == (SCENE_STAGE, 34)
