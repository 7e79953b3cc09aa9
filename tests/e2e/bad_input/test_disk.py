"""A full or read-only disk: one line that names the file; what was trained is not lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nto3d.cli import main
from tests.e2e.bad_input.conftest import one_line
from tests.e2e.conftest import TINY
from tests.helpers import write_to_full_device


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", ["config.yaml", "run.json", "scalars.csv", "checkpoint.pt"])
def test_no_space_for_a_file_of_the_run(
    box: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_to_full_device(monkeypatch, name)
    assert main([*TINY, "logger.tensorboard=true"]) == 2
    assert f"cannot write run/{name}: No space left on device" in one_line(capfd)
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["mesh.ply", "metrics.json"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_cannot_be_written_in_the_end_can_be_made_again(
    box: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(code, os.strerror(code))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    assert main(TINY) == 2
    line = one_line(capfd)
    assert name in line
    assert os.strerror(code) in line
    assert not Path(f"run/{name}").exists()
    assert not list(Path("run").glob(".*tmp*"))
    monkeypatch.undo()
    monkeypatch.chdir(box.parent)
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert main(["resume=run"]) == 0  # the training is not lost
    assert Path(f"run/{name}").exists()
