"""A run's folder that is removed while the run goes on: one line, exit code 2, and nothing is written elsewhere."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from nto3d.cli import main
from nto3d.stages.reconstruct.objective import Reconstruction
from tests.e2e.conftest import TINY


@pytest.mark.parametrize("rest", [[], ["trainer.log_every=100"]], ids=["while it logs", "while it saves"])
def test_no_traceback_where_the_folder_is_removed(
    box: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], rest: list[str]
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest has one of its own
    prepare = Reconstruction.prepare

    def remove(self: Reconstruction, step: int) -> None:
        if step == 2:
            shutil.rmtree("run")
            future = time.time() + 1000.0  # TensorBoard's thread writes again after two minutes
            monkeypatch.setattr(time, "time", lambda: future)
            time.sleep(0.1)
        prepare(self, step)

    monkeypatch.setattr(Reconstruction, "prepare", remove)
    command = [*TINY, "logger=tensorboard", "trainer.log_every=1", "trainer.steps=4", "trainer.checkpoint_every=3"]
    assert main([*command, *rest]) == 2
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert "Exception in thread" not in shown
    assert shown.splitlines()[-1] == "error: run: the run's folder was removed or replaced while the run went on"
    assert shown.count("error: ") == 1
    assert not Path("run").exists()
