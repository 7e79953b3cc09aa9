"""A way to call a script like the command line does."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nto3d.cli import guarded

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[..., int]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Calls `scripts/NAME.py` (or `dev/NAME`) with arguments and returns its exit code."""
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)

    def call(name: str, *arguments: str) -> int:
        spec = importlib.util.spec_from_file_location(f"script_{Path(name).name}", ROOT / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return guarded(module.main, list(arguments))

    return call
