"""The tutorial and the README's script do what they show, with a small trainer."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import trimesh
from nbclient import NotebookClient

from tests.helpers import ROOT

TINY = (
    *("trainer=smoke", "device=cpu", "threads=1", "field.start=sphere", "field.exposure=off", "trainer.steps=30"),
    *("lift.scene_steps=80", "lift.max_rounds=0", "lift.max_rays=256"),
)


def smaller(source: str) -> str:
    """The same on pictures of a fifth of the size, with the same click."""
    return source.replace('load_scene("datasets/sample")', 'load_scene("datasets/sample", 5)').replace(
        "158, 133", "31, 26"
    )


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without results
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"overrides = {list(TINY)!r}"
    for cell in notebook.cells:
        cell.source = smaller(cell.source)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    said = "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")
    assert len(shown) == 5
    assert "confidence" in said
    assert len(trimesh.load(tmp_path / "object.glb", force="mesh").faces) > 100


def test_the_readme_s_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"^    import nto3d\n(?:    .*\n|\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    lines = [line[4:] for line in script.splitlines()]
    assert sum(bool(line) for line in lines) <= 10
    values = ", ".join(repr(value) for value in TINY)
    code = smaller("\n".join(lines).replace('"trainer=fast"', values))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "object.glb").stat().st_size > 1000
