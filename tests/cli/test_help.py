"""`--help`: what Hydra would say, sooner; and what the program is called in it."""

from pathlib import Path

import pytest

from nto3d.cli import _call_hydra, main
from nto3d.config import usage
from nto3d.config.io import register
from nto3d.config.usage import program
from tests.cli.conftest import Runs, one_error_line


@pytest.mark.parametrize("argv", [["-h", "trainer=quality"], ["--help", "seed=3", "scene.path='/a b'"]])
def test_help_is_what_hydra_says(runs: Runs, capfd: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main(argv) == 0
    shown = capfd.readouterr().out
    register()
    _call_hydra(lambda tree: None, argv)
    assert shown == capfd.readouterr().out
    assert runs == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--help", "trainer=slow"], "trainer=slow: no such option"),
        (["--help", "trainer.stepz=1"], "unknown key trainer.stepz"),
        (["--help", "+more=1"], "cannot be added"),
        (["--help", "resume=run"], "cannot be used together with resume"),
    ],
)
def test_help_refuses_what_a_run_refuses(
    runs: Runs, capfd: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    assert main(argv) == 2
    assert words in one_error_line(capfd)


@pytest.mark.parametrize(
    ("started", "installed", "expected"),
    [
        ("train.py", False, "python train.py"),
        ("/somewhere/else/train.py", False, "python train.py"),
        ("scripts/evaluate.py", False, "python train.py"),
        ("/usr/bin/own_program", True, "nto3d"),
        ("/venv/bin/nto3d", True, "nto3d"),
        ("/venv/bin/nto3d", False, "nto3d"),  # pip install -e .
        ("nto3d.exe", True, "nto3d"),
        ("/venv/lib/nto3d/__main__.py", True, "python -m nto3d"),
        ("", True, "nto3d"),
    ],
)
def test_the_program_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, started: str, installed: bool, expected: str
) -> None:
    monkeypatch.setattr("sys.argv", [started])
    monkeypatch.setattr(usage, "INSTALLED", installed)
    assert program() == expected


def test_a_run_keeps_the_command_that_was_typed(
    runs: Runs, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/venv/bin/nto3d"])
    assert main(["output=here", "seed=3"]) == 0
    assert '"command": "nto3d output=here seed=3"' in Path("here/run.json").read_text()
    assert main(["--reusme"]) == 2
    assert one_error_line(capfd) == "error: --reusme: not understood (nto3d --help)"
