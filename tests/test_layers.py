"""Imports point down only, read from the source; and files stay short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nto3d"
FILES = sorted(PACKAGE.rglob("*.py"))
# From the bottom up; folders of one tier do not import each other, single files of the lowest tier may
TIERS = (
    {
        "types",
        "feature_maps",
        "torch_files",
        "errors",
        "config",
        "config_single",
        "config_trainer",
        "config_check",
        "config_io",
        "files",
        "pretrained",
        "progress",
        "run_folder",
    },
    {"geometry", "kernels"},
    {"data", "segment", "depth", "fields", "render", "mcc", "export", "evaluate", "report", "stereo"},
    {"training"},
    {"stages"},
    {"build_exposure"},
    {"build"},
    {"build_segmenter", "build_start", "build_single", "build_train_mcc"},
    {"lift_doubt"},
    {"lift_files", "lift_record", "lift_question"},
    {"lift_notes"},
    {"run_lift", "run_single", "run_train_mcc"},
    {"run_masks"},
    {"run"},
    {"cli"},
)


def tier_of(part: str) -> int:
    """The tier of a folder or file directly below nto3d/."""
    for tier, parts in enumerate(TIERS):
        if part in parts:
            return tier
    raise AssertionError(f"nto3d/{part} belongs to no tier: add it to TIERS")


def imported_parts(source: str, package: tuple[str, ...]) -> set[str]:
    """The folders and files directly below nto3d/ that a module of `package` imports, wherever the import stands."""
    parts = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "nto3d" else [module]
        parts |= {name.split(".")[1] for name in names if name.startswith("nto3d.")}
    return parts - {"__version__"}


def violations(part: str, imported: set[str]) -> list[str]:
    """The imported parts that `part` may not import."""
    own = tier_of(part)
    allowed_beside = TIERS[0] if own == 0 else {part}
    return sorted(
        other for other in imported if tier_of(other) > own or (tier_of(other) == own and other not in allowed_beside)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    if relative.name == "__init__.py" and len(relative.parts) == 1:
        assert imported_parts(path.read_text(), ("nto3d",)) == set()
        return
    part = relative.parts[0].removesuffix(".py")
    found = violations(part, imported_parts(path.read_text(), ("nto3d", *relative.parts[:-1])))
    assert not found, f"nto3d/{relative} must not import {found}"


def test_the_checker_sees_what_it_should() -> None:
    source = """
import nto3d.run
from . import march
def f():
    from ..data import dtu
    from nto3d import cli, __version__
"""
    imported = imported_parts(source, ("nto3d", "kernels"))
    assert imported == {"run", "data", "cli", "kernels"}
    assert violations("kernels", imported) == ["cli", "data", "run"]
    assert violations("data", {"segment", "geometry", "types"}) == ["segment"]
    assert violations("config_io", {"config", "errors"}) == []


def test_train_only_calls_the_command_line() -> None:
    assert imported_parts((ROOT / "train.py").read_text(), ()) == {"cli"}


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "scripts").glob("*.py"))], ids=lambda path: path.name)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 320, f"{path.relative_to(ROOT)} has {lines} lines"


def test_configuration_and_command_line_need_no_torch() -> None:
    code = "import sys, nto3d.cli, nto3d.training.log; assert not {'torch', 'warp', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
