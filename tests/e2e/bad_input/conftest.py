"""What the tests of bad input share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The only line that starts with `error: `; there is no traceback."""
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    lines = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, shown
    assert shown.rstrip("\n").endswith(lines[0])
    return lines[0]


def nothing(_: Path) -> None: ...


Prepare = Callable[[Path], None]
