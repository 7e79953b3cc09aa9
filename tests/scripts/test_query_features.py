"""scripts/query_features.py: what it refuses is one line. Its answers: tests/runs/after/test_query.py and tests/e2e."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.conftest import Script


def test_what_the_user_can_fix_is_one_line(script: Script, trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ((), "run is missing: give it as run=RUN"),
        ((f"run={trained}",), "point: expected either view=I 'point=[x,y]' or vertex=N, got neither"),
        ((f"run={trained}", "vertex=3"), "train with field=neus_feature"),
        ((f"run={trained}", "vertex=three"), "vertex"),
        ((f"run={trained}", "vertex=3", "colour=red"), "unknown key colour"),
    ):
        assert script("query_features", *arguments) == 2
        said, error = capfd.readouterr()
        (line,) = error.splitlines()
        assert said == ""
        assert line.startswith("error: ")
        assert words in line
