"""A stand-in for `nto3d.runs.dispatch`, and what the tests of the command line share."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from nto3d.config.schema import Config

Run = Callable[[Config], dict[str, float]]


class Runs(list[Config]):
    """What the stand-in for `nto3d.runs.dispatch.run` was called with; `act` is what it does."""

    act: Run = staticmethod(lambda config: save(config))


def save(config: Config) -> dict[str, float]:
    (Path(config.output) / "checkpoint.pt").write_bytes(b"weights")
    return {"psnr": 30.0}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    runs = Runs()

    def run(config: Config) -> dict[str, float]:
        runs.append(config)
        return runs.act(config)

    module = types.ModuleType("nto3d.runs.dispatch")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nto3d.runs.dispatch", module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    return runs


def failing(error: BaseException) -> Run:
    def run(_: Config) -> dict[str, float]:
        raise error

    return run


def one_error_line(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]
