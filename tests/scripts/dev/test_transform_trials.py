"""scripts/dev/transform_trials.py on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.dev import transform_trials
from scripts.dev.transform_trials import main
from tests.helpers import ROOT


def test_what_is_not_there_is_one_line() -> None:
    command = [sys.executable, "scripts/dev/transform_trials.py", "only=[nothing]"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: only: expected parts of names of changes or World")


def test_the_exit_code_tells_whether_all_is_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def __init__(self, holds: bool) -> None:
            self.holds = holds

    for holds in (True, False):
        found = {"World": [Found(True)], "Names": [Found(holds)]}
        monkeypatch.setattr(transform_trials, "try_changes", lambda *_, found=found, **__: found)
        assert main(["only=[World]"]) == int(not holds)
