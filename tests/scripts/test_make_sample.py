"""scripts/make_sample.py on the command line; what it makes: tests/data/test_synthetic.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nto3d.export.mesh_io import read_mesh
from tests.scripts.conftest import ROOT

SMALL = ("--recipe", "tabletop", "--seed", "3", "--views", "3", "--size", "48", "36")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "make_sample.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_objects_have_masks_and_meshes_of_their_own(tmp_path: Path) -> None:
    done = make(tmp_path, *SMALL, "--objects", "--out", "toys")
    assert (done.returncode, done.stdout) == (0, "wrote toys\n"), done.stderr
    toys = tmp_path / "toys"
    names = sorted(path.stem.removeprefix("gt_mesh_") for path in toys.glob("gt_mesh_*.ply"))
    assert len(names) > 1
    for name in names:
        assert len(list((toys / f"mask_{name}").glob("*.png"))) == 3
        assert len(read_mesh(toys / f"gt_mesh_{name}.ply").faces) > 0
    assert make(tmp_path, *SMALL, "--out", "plain").returncode == 0
    assert not list((tmp_path / "plain").glob("*_*/"))
    assert not list((tmp_path / "plain").glob("gt_mesh_*"))


def test_a_folder_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "mine.txt").touch()
    done = make(tmp_path, *SMALL, "--out", "toys")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if "Warp" not in line]
    assert line.startswith("error: ")
    assert "toys" in line
