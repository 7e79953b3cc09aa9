"""Making scenes: what is refused, what is replaced, and the sample that comes with the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nto3d.data.synthetic import make_scene
from nto3d.errors import InputError
from tests.data.synthetic.scene_files import contents
from tests.helpers import ROOT, SAMPLE

SIZE = (96, 72)  # width, height


@pytest.mark.parametrize(
    ("recipe", "seed", "views", "size", "named"),
    [
        ("teapot", 0, 2, SIZE, "recipe"),
        ("sample", -1, 2, SIZE, "seed"),
        ("sample", 0, 0, SIZE, "views"),
        ("sample", 0, 2, (8, 72), "size"),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, recipe: str, seed: int, views: int, size: tuple[int, int], named: str
) -> None:
    with pytest.raises(InputError, match=f"^{named}: expected"):
        make_scene(recipe, seed, tmp_path / "out", views=views, size=size)
    assert list(tmp_path.iterdir()) == []


def test_files_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(InputError, match="new or empty folder"):
        make_scene("tabletop", 0, tmp_path / "mine", views=1, size=(32, 24))
    with pytest.raises(InputError, match=r"without scene\.json"):
        make_scene("tabletop", 0, tmp_path / "mine", views=1, size=(32, 24), overwrite=True)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


def test_overwrite_replaces_a_scene(tmp_path: Path) -> None:
    out = tmp_path / "scene"
    make_scene("tabletop", 0, out, views=2, size=(32, 24))
    make_scene("tabletop", 0, out, views=1, size=(32, 24), overwrite=True)
    assert [p.name for p in (out / "image").iterdir()] == ["000000.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["scene"]  # nothing temporary is left


def test_command_reports_bad_input_in_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts/make_sample.py"),
        "--recipe",
        "nothing",
        "--out",
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: recipe: expected one of")]


def test_bundled_sample_is_small_and_whole() -> None:
    sample = SAMPLE
    files = contents(sample)
    assert sum(len(data) for data in files.values()) <= 6_000_000
    assert sum(name.startswith("image/") for name in files) == 32
    about = json.loads(files["scene.json"])
    assert (about["recipe"], about["seed"], about["size"]) == ("sample", 0, [320, 240])


@pytest.mark.slow
def test_bundled_sample_is_what_the_recipe_makes(tmp_path: Path) -> None:
    make_scene("sample", 0, tmp_path / "sample")
    made, bundled = contents(tmp_path / "sample"), contents(SAMPLE)
    assert made.keys() == bundled.keys()
    assert [name for name in made if made[name] != bundled[name]] == []
