"""Paths with everything that names can hold, through Hydra and into a run's folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nto3d.config.compose import compose_config
from nto3d.config.io import parse_overrides
from nto3d.config.paths import as_it_stands, folder_name, to_type
from nto3d.errors import InputError

NAMES = (
    *("my folder (2)=x%", "a=b", "it's", 'say "so"', "x[1]{2}", "a;b#c&d!e~", "\u00e9t\u00e9 \u8336", "tab\tin", "(("),
    *("back\\slash (1)", "ends\\", 'both\\"(', "50%"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_it_stands(name: str) -> None:
    config = compose_config(["scene=dtu", f"scene.path=data/{name}"])
    assert config.scene.path == f"data/{name}"
    assert Path(config.output).parts[:2] == ("runs", config.scene.name)
    (parsed,) = parse_overrides([f"output=data/{name}"])
    assert parsed.value() == f"data/{name}"


@pytest.mark.parametrize("name", ["007,8", "null", "1e3", " ends with a blank "])
def test_what_hydra_reads_otherwise_is_a_path_where_it_exists(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_it_stands(f"scene.path={name}") == f"scene.path={name}"
    Path(name).mkdir()
    assert compose_config(["scene=dtu", f"scene.path={name}"]).scene.path == name


def test_quotes_of_hydra_and_other_keys_are_left_alone() -> None:
    for override in ('scene.path="my folder (2)"', "scene.path=a,b", "trainer.steps=(", "resume=null", "scene.path="):
        assert as_it_stands(override) == override
    assert compose_config(["scene=dtu", "scene.path='my folder (2)'"]).scene.path == "my folder (2)"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/my folder (2)=x%", "my_folder_2_x"),
        ("data/dtu_scan65", "dtu_scan65"),
        ("data/_a.b+c-", "_a.b+c-"),
        ("data/\u00e9t\u00e9 \u8336", "\u00e9t\u00e9_\u8336"),
        ("data/e\u0301te\u0301", "\u00e9t\u00e9"),  # accents of their own, as macOS writes them
        ("data/((", "scene"),
        ("/", "scene"),
    ],
)
def test_the_name_of_a_scene_follows_its_folder(path: str, name: str) -> None:
    assert folder_name(path) == name
    assert compose_config(["scene=dtu", f"scene.path={path}"]).scene.name == name


def test_the_line_says_what_to_type() -> None:
    override = "prompts.text=a 'red' cup (large)"
    with pytest.raises(InputError) as caught:
        parse_overrides([override])
    typed = str(caught.value).partition("in quotes: ")[2]
    assert typed == to_type(override)
    (parsed,) = parse_overrides(shlex.split(typed))
    assert parsed.value() == "a 'red' cup (large)"


def test_a_path_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"scene\.path: expected a path in UTF-8, got 'caf\\udce9'"):
        compose_config(["scene=dtu", "scene.path=caf\udce9"])
