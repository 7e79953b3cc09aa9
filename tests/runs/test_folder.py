"""A run's folder: a failed start takes nothing away that was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.cli import main
from nto3d.config.check import most_threads
from nto3d.config.compose import compose_config
from nto3d.errors import InputError
from nto3d.runs.folder import last_command, load_run_config, read_metrics, unclaim, write_run_config

MISSING = ("trainer=smoke", "scene=dtu", "scene.path=gone", "output=mine")


@pytest.mark.parametrize(
    "name",
    [
        "log.txt",
        "scalars.csv",
        "run.json",
        "rounds.csv",
        "tensorboard/events",
        "masks/000.png",
        "objects/cup/rounds.csv",
        "mesh_cup.ply",
        "mcc.safetensors",
        "features.npz",
    ],
)
def test_files_of_the_user_stay(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert main(list(MISSING)) == 2
    assert file.read_text() == "mine"
    assert name.partition("/")[0] in capfd.readouterr().err


def test_other_files_are_no_obstacle_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.md").write_text("mine")
    assert main(list(MISSING)) == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.md"]


def test_what_lifts_of_objects_left_is_taken_away(tmp_path: Path) -> None:
    """And what is not theirs stays."""
    files = ("rounds.csv", "masks/000.png", "lift/scalars.csv", "lift/round_0/000.png", "lift/hidden/000.png")
    for name in ("cup", "jug"):
        for file in (*files, "tensorboard/lift/events.out.tfevents.1"):
            (tmp_path / "run" / "objects" / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "run" / "objects" / name / file).write_text("x")
    unclaim(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "objects" / "cup").mkdir(parents=True)
    (tmp_path / "run" / "objects" / "cup" / "notes.md").write_text("mine")
    unclaim(tmp_path / "run")
    assert (tmp_path / "run" / "objects" / "cup" / "notes.md").read_text() == "mine"


def test_a_run_of_a_machine_with_more_cores_can_be_read(tmp_path: Path) -> None:
    config = compose_config(["scene=sample"])
    config.threads = most_threads() + 1
    write_run_config(tmp_path, config)
    assert load_run_config(tmp_path).threads == most_threads()
    assert load_run_config(tmp_path, ["threads=1"]).threads == 1
    with pytest.raises(InputError, match="threads: expected a number from 1"):
        load_run_config(tmp_path, [f"threads={most_threads() + 1}"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "expected a list, got 3"),
        ("[3]", r"\[0\]: expected a dict, got 3"),
        ("[{}]", r"\[0\]: expected the keys command; command is missing"),
        ('[{"command": null}]', r"\[0\]\.command: expected a string, got None"),
        ('[{"command": "x", "versions": {"torch": 2}}]', r"\[0\]\.versions\.torch: expected a string, got 2"),
    ],
)
def test_how_it_was_started_is_told_in_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=rf"run\.json: .*{words}"):
        last_command(tmp_path)


@pytest.mark.parametrize("value", ['"0.5"', "null", "true", "[1]", f"1{'0' * 400}"], ids=str.__len__)
def test_metrics_are_numbers(tmp_path: Path, value: str) -> None:
    (tmp_path / "metrics.json").write_text(f'{{"psnr": Infinity, "iou": NaN, "chamfer": {value}}}')
    with pytest.raises(InputError, match=r"metrics\.json: chamfer: expected a finite number, got"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text('{"psnr": Infinity, "iou": NaN, "views": 3}')
    assert read_metrics(tmp_path)["views"] == 3.0
