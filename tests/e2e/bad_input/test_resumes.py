"""Runs that cannot go on: exit code 2, one line that names the file or key, and the weights stay as they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nto3d.cli import main
from tests.e2e.bad_input.conftest import Prepare, nothing, one_line
from tests.e2e.conftest import TINY
from tests.helpers import truncate, write_dtu_scene


def other_levels(run: Path) -> None:
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["encoding"]["levels"] = 5
    (run / "config.yaml").write_text(yaml.safe_dump(tree))


def foreign_scalars(run: Path) -> None:
    (run / "scalars.csv").write_text("a,b\n1,2\n")


def without_optimizer(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["optimizer"]
    torch.save(state, run / "checkpoint.pt")


def with_value(key: str, value: Any) -> Prepare:
    """One value of the checkpoint replaced."""

    def prepare(run: Path) -> None:
        state = torch.load(run / "checkpoint.pt", weights_only=True)
        torch.save({**state, key: value}, run / "checkpoint.pt")

    return prepare


def without_seconds(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["seconds"]
    torch.save(state, run / "checkpoint.pt")


def endless_weights(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["model"]["viewpoints"] = torch.zeros(1).expand(10**12)
    torch.save(state, run / "checkpoint.pt")


def nan_weights(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["model"]["sdf.out.bias"] *= float("nan")
    torch.save(state, run / "checkpoint.pt")


def empty_weights(run: Path) -> None:
    (run / "checkpoint.pt").write_bytes(b"")


def cut_weights(run: Path) -> None:
    truncate(run / "checkpoint.pt")


def drop(name: str) -> Prepare:
    return lambda run: (run / name).unlink()


def write(name: str, text: str) -> Prepare:
    return lambda run: (run / name).write_text(text) and None


RESUMED: dict[str, tuple[Prepare, list[str], str]] = {
    "checkpoint of another config": (
        other_levels,
        [],
        r"checkpoint\.pt: checkpoint of another config: encoding\.levels",
    ),
    "truncated checkpoint": (
        cut_weights,
        [],
        r"checkpoint\.pt: expected a checkpoint, (it is damaged|the file is empty)",
    ),
    "empty checkpoint": (
        empty_weights,
        [],
        r"checkpoint\.pt: expected a checkpoint, (it is damaged|the file is empty)",
    ),
    "incomplete checkpoint": (without_optimizer, [], r"checkpoint\.pt: .*optimizer is missing"),
    "no stage": (with_value("stage", None), [], r"checkpoint\.pt: stage: expected one of reconstruct, got None"),
    "stage of a click": (
        with_value("stage", "lift"),
        [],
        r"checkpoint\.pt: stage: expected one of reconstruct, got 'l",
    ),
    "half a step": (with_value("step", 0.5), [], r"checkpoint\.pt: step: expected a whole number, .* got 0\.5"),
    "beyond the end": (with_value("step", 4), [], r"checkpoint\.pt: step: expected a whole number, 0 to 3, got 4"),
    "no seconds": (without_seconds, [], r"checkpoint\.pt: .*expected the keys .*; seconds is missing"),
    "weights that are NaN": (
        nan_weights,
        [],
        r"checkpoint\.pt: model\.sdf\.out\.bias: expected finite numbers, got nan",
    ),
    "endless weights": (endless_weights, [], r"checkpoint\.pt: .*a tensor \[1000000000000\] over 4 bytes"),
    "no checkpoint": (drop("checkpoint.pt"), [], r"run: cannot go on, it holds no checkpoint\.pt"),
    "no config": (drop("config.yaml"), [], r"run: expected the folder of a run, but it holds no config\.yaml"),
    "broken config": (write("config.yaml", "a: ["), [], r"run/config\.yaml: "),
    "config of another program": (write("config.yaml", "lr: 1"), [], r"run/config\.yaml: unknown key lr"),
    "broken run.json": (write("run.json", "{"), [], r"run/run\.json: expected the JSON"),
    "foreign scalars": (foreign_scalars, [], r"scalars\.csv: expected the columns"),
    "another value": (nothing, ["trainer.steps=9"], r"trainer\.steps=9: the checkpoint was made with 3"),
    "another group": (nothing, ["trainer=fast"], r"trainer=fast: a group cannot be chosen with resume"),
    "another output": (nothing, ["output=elsewhere"], r"output=elsewhere"),
    "the scene is gone": (nothing, ["scene.path=gone"], r"scene\.path: expected a folder, there is none at gone"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scene `box` and a finished `run` of three steps; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("finished")
    write_dtu_scene(folder / "box", depths=True, mesh=True)
    paths = [f"scene.path={folder / 'box'}", f"output={folder / 'run'}"]
    assert main([*TINY, *paths]) == 0
    return folder


@pytest.mark.parametrize("case", RESUMED)
def test_bad_resumes(finished: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    shutil.copytree(finished, ".", dirs_exist_ok=True)
    prepare, arguments, message = RESUMED[case]
    prepare(Path("run"))
    weights = Path("run/checkpoint.pt")
    before = weights.read_bytes() if weights.exists() else b""
    assert main(["resume=run", *arguments]) == 2
    assert re.search(message, one_line(capfd))
    assert (weights.read_bytes() if weights.exists() else b"") == before


def test_a_folder_that_holds_a_run_is_left_alone(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished, ".", dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert main(TINY) == 2
    assert "run already holds a run; go on with resume=run" in one_line(capfd)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
