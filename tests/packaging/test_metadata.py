"""pyproject.toml agrees with the requirements files and with the code; the version stands in one place."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nto3d
from tests.helpers import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
BOUNDS = {canonicalize_name(Requirement(line).name): Requirement(line) for line in PROJECT["project"]["dependencies"]}


def pins(name: str) -> dict[str, Requirement]:
    """The lines of a requirements file, by name."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines if line}


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", pin
    return specifier.version


def test_every_tested_version_may_be_installed() -> None:
    tested = pins("requirements.txt")
    assert set(tested) == set(BOUNDS)
    for name, pin in tested.items():
        assert BOUNDS[name].specifier.contains(version(pin)), f"{BOUNDS[name]} shuts out {pin}"


@pytest.mark.parametrize("bound", [*BOUNDS.values(), *(Requirement(one) for one in EXTRAS["photos"])], ids=str)
def test_every_bound_has_two_ends(bound: Requirement) -> None:
    assert sorted(specifier.operator for specifier in bound.specifier) == ["<", ">="]


def test_the_tools_are_those_of_the_requirements() -> None:
    tested = pins("requirements-dev.txt")
    bounds = [Requirement(one) for one in (*EXTRAS["dev"], *EXTRAS["hf"], *EXTRAS["rerun"])]
    named = {canonicalize_name(one.name): one for one in bounds if one.name != "nto3d"}
    assert set(tested) == set(named)
    for name, pin in tested.items():
        assert named[name].specifier.contains(version(pin)), f"{named[name]} shuts out {pin}"
    for tool in ("ruff", "mypy"):  # exactly that one, or what passes here fails there
        assert named[tool].specifier == tested[tool].specifier
    assert EXTRAS["depth"] == EXTRAS["hf"]


def test_the_cuda_extra_is_the_requirement_of_its_file() -> None:
    (url,) = [line for line in (ROOT / "requirements-cuda.txt").read_text().splitlines() if not line.startswith("#")]
    (extra,) = EXTRAS["cuda"]
    assert Requirement(extra).url == url


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "nto3d/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", nto3d.__version__)
    assert re.search(rf"^## \[{re.escape(nto3d.__version__)}\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_command_is_there() -> None:
    module, _, function = PROJECT["project"]["scripts"]["nto3d"].partition(":")
    assert (module, function) == ("nto3d.cli", "main")
    assert callable(__import__(module, fromlist=[function]).main)
