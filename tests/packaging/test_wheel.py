"""What the wheel holds: the package, and in it configs/, the network's weights and the sample; nothing else."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile

import pytest

import nto3d
from tests.helpers import ROOT

KINDS = {".py", ".typed", ".safetensors"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed (requirements-dev.txt)")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
    (file,) = folder.iterdir()
    assert file.name == f"nto3d-{nto3d.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(file)


def inside(folder: str, kinds: set[str] | None = None) -> list[str]:
    """The files of a folder of the repository, without caches."""
    files = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    kept = [path for path in files if ".cache" not in path.parts and (kinds is None or path.suffix in kinds)]
    return [path.as_posix() for path in kept]


def test_the_wheel_holds_what_a_run_needs_and_no_more(wheel: zipfile.ZipFile) -> None:
    data = [f"nto3d/bundled/{name}" for name in (*inside("configs"), *inside("datasets/sample"))]
    expected = {*inside("nto3d", KINDS), *data}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected
    for name in ("mcc/bundled.safetensors", "py.typed", "bundled/configs/config.yaml", "__main__.py"):
        assert f"nto3d/{name}" in found
    assert "nto3d/bundled/datasets/sample/prompts.json" in found
    assert wheel.read("nto3d/mcc/bundled.safetensors") == (ROOT / "nto3d" / "mcc" / "bundled.safetensors").read_bytes()


def test_its_metadata(wheel: zipfile.ZipFile) -> None:
    folder = f"nto3d-{nto3d.__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {nto3d.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Dist: torch<3,>=2.9\n" in metadata
    assert wheel.read(f"{folder}/entry_points.txt").decode().split() == [
        "[console_scripts]",
        "nto3d",
        "=",
        "nto3d.cli:main",
    ]
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
