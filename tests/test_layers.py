"""The plan of the house, read from the source: imports point down, nothing goes round, rooms and files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nto3d"
FILES = sorted(PACKAGE.rglob("*.py"))
TRACKED = sorted([*FILES, *(ROOT / "scripts").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
# From the bottom up. Rooms of one floor do not import each other; the files at the bottom may
BOTTOM = {"types", "errors", "files", "progress", "parsers", "weights"}
FLOORS = (
    BOTTOM,
    {"config", "geometry", "kernels"},
    {"data", "segment", "depth", "fields", "render", "mcc", "export", "evaluate", "report", "stereo"},
    {"training"},
    {"stages.model"},
    {"stages.views", "stages.mcc"},
    {"stages.features", "stages.whole"},
    {"stages.reconstruct"},
    {"stages.lift"},
    {"stages.objects"},
    {"build"},
    {"pipeline"},
    {"api"},
    {"runs"},
    {"trials"},
    {"cli"},
    {"__main__"},
)
MOST_LINES, MOST_FUNCTION_LINES, MOST_MODULES, MOST_AT_THE_TOP = 300, 50, 10, 8


def name_of(path: Path) -> str:
    """The dotted name of a module below nto3d, without that prefix; of a package's __init__.py, the package's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def floor_of(module: str) -> tuple[int, str]:
    """The floor and the room of a module."""
    for floor, rooms in enumerate(FLOORS):
        for room in rooms:
            if module == room or module.startswith(f"{room}."):
                return floor, room
    raise AssertionError(f"nto3d.{module} belongs to no room: add it to FLOORS")


def imported_modules(source: str, package: str, at_start: bool = False) -> set[str]:
    """The modules below nto3d, without that prefix, that a module in `package` imports.

    Args:
        at_start: only what runs when the module is imported; else wherever the import stands.
    """
    found: set[str] = set()
    tree = ast.parse(source)
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("nto3d.") for alias in node.names if alias.name.startswith("nto3d.")}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = ["nto3d", *parts[: len(parts) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.partition(".")[0] != "nto3d":
                continue
            inner = module.removeprefix("nto3d").removeprefix(".")
            for alias in node.names:
                deeper = f"{inner}.{alias.name}" if inner else alias.name
                found.add(deeper if deeper in MODULES else inner)
    return found - {""}


def violations(module: str, imported: set[str]) -> list[str]:
    """The imported modules that `module` may not import."""
    floor, room = floor_of(module)
    wrong = []
    for other in imported:
        below, beside = floor_of(other)
        if below > floor or (below == floor and room != beside and floor > 0):
            wrong.append(other)
    return sorted(wrong)


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_imports_point_down(module: str) -> None:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    if module == "stages":
        assert imported_modules(path.read_text(), package) == set()
        return
    found = violations(module, imported_modules(path.read_text(), package))
    assert not found, f"nto3d.{module} must not import {found}"


def test_no_import_goes_round() -> None:
    edges = {}
    for module, path in MODULES.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        edges[module] = imported_modules(path.read_text(), package) - {module}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"goes round: {' -> '.join([*trail[trail.index(module) :], module])}"
        if module not in done:
            for other in sorted(edges.get(module, ())):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_the_checker_sees_what_it_should() -> None:
    source = """
import nto3d.runs.multiview
from . import march
def f():
    from ..data import dtu
    from nto3d import cli, __version__
"""
    imported = imported_modules(source, "kernels")
    assert imported == {"runs.multiview", "data.dtu", "cli", "kernels.march"}
    assert violations("kernels.launch", imported) == ["cli", "data.dtu", "runs.multiview"]
    assert violations("data.dtu", {"segment.base", "geometry.cameras", "types"}) == ["segment.base"]
    assert violations("config.io", {"config.schema", "errors"}) == []
    assert violations("stages.views.render", {"stages.lift.refine"}) == ["stages.lift.refine"]


@pytest.mark.parametrize("path", ["train.py", "nto3d/__main__.py"])
def test_a_start_only_calls_the_command_line(path: str) -> None:
    assert imported_modules((ROOT / path).read_text(), "") == {"cli"}


@pytest.mark.parametrize("path", TRACKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    source = path.read_text()
    lines = len(source.splitlines())
    assert lines <= MOST_LINES, f"{path.relative_to(ROOT)} has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            length = int(node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"


def test_rooms_stay_small() -> None:
    folders = {path.parent for path in TRACKED}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_TOP


def test_configuration_and_command_line_need_no_torch() -> None:
    code = "import sys, nto3d.cli, nto3d.training.log; assert not {'torch', 'warp', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
