"""One short run that the scripts can work on, and a way to call a script like the command line does."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nto3d.cli import guarded

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[..., int]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few seconds; its pictures are the bundled sample's."""
    folder = tmp_path_factory.mktemp("scripts") / "run"
    values = ["trainer=smoke", "trainer.steps=20", "logger=none", "evaluate.report=false", f"output={folder}"]
    scene = [f"scene.path={ROOT / 'datasets' / 'sample'}", "scene.downscale=4", "segmenter=precomputed"]
    command = [sys.executable, "train.py", *values, *scene]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
    return folder


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Calls `scripts/NAME.py` with arguments and returns its exit code."""
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def call(name: str, *arguments: str) -> int:
        spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return guarded(module.main, list(arguments))

    return call
