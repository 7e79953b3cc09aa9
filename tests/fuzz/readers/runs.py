"""Readers of a run's folder, and of the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import yaml

from nto3d import cli
from nto3d.config.compose import compose_config
from nto3d.config.io import parse_options, to_dict
from nto3d.config.schema import Config
from nto3d.data.dtu import read_dtu
from nto3d.runs.folder import last_command, load_run_config, read_metrics, read_run_info
from nto3d.runs.lift.confidence import log_confidence, read_confidence
from nto3d.runs.lift.files import lift_metrics, read_masks, read_rounds
from nto3d.runs.start import resume_config
from nto3d.training.log import RunLogger, read_scalars
from tests.fuzz.harness import Case, Reader
from tests.fuzz.mutate.meshes import cells, lines
from tests.fuzz.mutate.pictures import png
from tests.fuzz.mutate.trees import json_tree, yaml_tree
from tests.fuzz.mutate.words import words
from tests.fuzz.readers.scenes import SIZE, VIEWS, png_seeds
from tests.helpers import write_dtu_scene

EARLIER = Path(__file__).parents[2] / "runs" / "earlier_run"
ROUNDS = b"round,agreement,iou,least_iou,trust,seconds\n0,,0.5,0.25,1,3.5\n1,0.9,0.75,0.5,1,7.25\n"
OVERRIDES = (
    *(
        "trainer.steps=20",
        "scene.path=/a b/c",
        "prompts.points=[[3,2],[7.5,1]]",
        "prompts.labels=[1,0]",
        "lift.sure=0.5",
    ),
    *("trainer=smoke", "device=cpu", "evaluate.report=false", "scene.test_views=null", "export.resolution=64"),
    *("scene.name=a_b", "seed=3", "threads=1", "segmenter=sam", "logger.tensorboard=true", "field.hidden=32"),
)


@dataclasses.dataclass
class Options:
    """Options as a script has them."""

    run: str
    count: int = 3
    share: float = 0.5
    names: list[str] = dataclasses.field(default_factory=list)
    place: str | None = None
    on: bool = False


def _config(folder: Path) -> Case:
    config = Config()
    config.scene.path, config.output = "scene", str(folder)
    plain = yaml.safe_dump(to_dict(config), sort_keys=False).encode()
    seeds = [plain, (EARLIER / "config.yaml").read_bytes(), b"seed: 3\nscene: {path: a}\noutput: b\n"]
    return Case(folder / "config.yaml", seeds, lambda: load_run_config(folder))


def _info(folder: Path) -> Case:
    seeds = [(EARLIER / "run.json").read_bytes(), b'[{"command": "train.py", "versions": {}}]']
    return Case(folder / "run.json", seeds, lambda: (read_run_info(folder), last_command(folder)))


def _metrics(folder: Path) -> Case:
    return Case(
        folder / "metrics.json", [b'{"psnr": 30.5, "lift_rounds": 2, "chamfer": 0.01}'], lambda: read_metrics(folder)
    )


def _rounds(folder: Path) -> Case:
    scene = read_dtu(write_dtu_scene(folder / "scene", VIEWS, SIZE).path)
    assert scene.masks is not None
    masks = scene.masks
    return Case(folder / "rounds.csv", [ROUNDS], lambda: (read_rounds(folder), lift_metrics([folder], scene, masks)))


def _round_picture(folder: Path) -> Case:
    (folder / "rounds.csv").write_bytes(ROUNDS)
    (folder / "lift" / "round_1").mkdir(parents=True)
    return Case(folder / "lift" / "round_1" / "002.png", png_seeds(), lambda: read_rounds(folder))


def _mask(folder: Path) -> Case:
    scene = read_dtu(write_dtu_scene(folder / "scene", VIEWS, SIZE).path)
    shutil.copytree(folder / "scene" / "mask", folder / "masks")
    return Case(folder / "masks" / "001.png", png_seeds(), lambda: read_masks(folder / "masks", scene))


def _scalars(folder: Path) -> Case:
    path = folder / "scalars.csv"
    seeds = [(EARLIER / "scalars.csv").read_bytes(), b"step,name,value\n1,loss,0.5\n2,loss,nan\n2,a b,1e-3\n"]
    return Case(path, seeds, lambda: (read_scalars(path), RunLogger(folder, 9, 5, terminal=False)))


def _confidence(folder: Path) -> Case:
    (folder / "lift").mkdir()
    seeds = [
        b'{"confidence": 0.77, "view": 21, "point": [210, 183]}',
        b'{"confidence": 1, "view": null, "point": null}',
    ]
    config = Config()
    return Case(
        folder / "lift" / "confidence.json", seeds, lambda: log_confidence(read_confidence(folder), config, "cup")
    )


def _arguments(folder: Path, read: Callable[[list[str]], object], seeds: list[bytes]) -> Case:
    path = folder / "arguments"

    def given() -> object:
        text = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "")  # as argv comes to a program
        return read([argument for argument in text.split("\n") if argument])

    return Case(path, seeds, given)


def _lines(*chosen: str) -> bytes:
    return "\n".join(chosen).encode()


def _overrides(folder: Path) -> Case:
    shutil.copy(EARLIER / "config.yaml", folder / "config.yaml")
    some = [text for text in OVERRIDES if text not in ("trainer=smoke", "segmenter=sam")]
    seeds = [_lines(text) for text in some] + [_lines(*some[:4]), _lines(*some[4:])]
    return _arguments(folder, lambda argv: load_run_config(folder, argv), seeds)


def _compose(folder: Path) -> Case:
    seeds = [_lines(text, "scene.path=a", "scene.name=b") for text in OVERRIDES if "scene." not in text]
    return _arguments(folder, compose_config, seeds)


def _command(folder: Path) -> Case:
    shutil.copy(EARLIER / "config.yaml", folder / "config.yaml")
    shutil.copy(EARLIER / "checkpoint.pt", folder / "checkpoint.pt")
    nothing = mock.patch.multiple(
        cli, start=lambda *_: None, go_on=lambda run_dir, given, _: resume_config(run_dir, given)
    )

    def run(argv: list[str]) -> None:
        with nothing, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = cli.main(argv)
        if code not in (0, 2, 130):
            raise AssertionError(said.getvalue())

    output = f"output={folder / 'run'}"
    seeds = [_lines(text, "scene.path=a", output) for text in OVERRIDES if "scene." not in text]
    return _arguments(folder, run, [*seeds, _lines(f"resume={folder}", "device=cpu"), _lines("--help")])


def _options(folder: Path) -> Case:
    seeds = [
        _lines("run=a", "count=4", "names=[a,b]"),
        _lines("run=a b", "share=0.25", "place=null", "on=true", "names=c"),
    ]
    return _arguments(folder, lambda argv: parse_options(Options, argv), seeds)


RUNS: dict[str, Reader] = {
    "run_config": Reader(_config, (yaml_tree,), quick=60, pace=0.05),
    "run_info": Reader(_info, (json_tree,)),
    "metrics": Reader(_metrics, (json_tree,)),
    "rounds": Reader(_rounds, (cells,)),
    "round_picture": Reader(_round_picture, (png,)),
    "lift_mask": Reader(_mask, (png,)),
    "scalars": Reader(_scalars, (cells,)),
    "confidence": Reader(_confidence, (json_tree,)),
    "overrides": Reader(_overrides, (words, lines), quick=60, pace=0.05),
    "compose": Reader(_compose, (words,), quick=10, pace=0.02),
    "command": Reader(_command, (words,), quick=6, pace=0.01),
    "options": Reader(_options, (words,), quick=200, pace=0.3),
}
