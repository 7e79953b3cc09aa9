"""Which trainings an ablation is made of: its options, the scenes, and the fields in turn for each seed."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nto3d.config.compose import CONFIG_FOLDER, compose_config
from nto3d.config.io import parse_options, parse_overrides
from nto3d.errors import InputError
from nto3d.trials.ablation.table import Training
from nto3d.trials.places import SAMPLE

OWN_KEYS = {
    "output": "the script makes the folders: out=FOLDER",
    "seed": "the script sets it: seeds=[0,1,2]",
    "field": "the script sets it: fields=[neus,neus_feature]",
    "field.feature": "the script sets it: fields=[neus,neus_feature]",
    "resume": "the script goes on by itself: give the same command again",
}
DEFAULTS = {"logger": "none", "evaluate.report": "false", "segmenter": "precomputed"}


@dataclass
class Options:
    """What can be given as key=value, beside overrides for `train.py`."""

    seeds: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])
    fields: list[str] = dataclasses.field(default_factory=lambda: ["neus", "neus_feature"])
    out: str = "runs/ablation"
    table: str | None = None
    sample: bool = True


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and the overrides for `train.py`.

    Raises:
        InputError: an option is impossible, or an override is one that the ablation makes itself.
    """
    for argument in argv:
        if argument.startswith("-"):
            raise InputError(f"{argument}: expected key=value, options of train.py are not for this script")
    names = {field.name for field in dataclasses.fields(Options)}
    own = [argument for argument in argv if argument.partition("=")[0] in names]
    options, rest = parse_options(Options, own), [argument for argument in argv if argument not in own]
    for override in parse_overrides(rest):
        key = override.key_or_group
        if key in OWN_KEYS or key.startswith("hydra."):
            raise InputError(f"{key}: cannot be given, {OWN_KEYS.get(key, 'each training is a single run')}")
    known = sorted(path.stem for path in (CONFIG_FOLDER / "field").glob("*.yaml"))
    if len(options.fields) != 2 or len({*options.fields} & {*known}) != 2:
        raise InputError(f"fields: expected two of {', '.join(known)}, got [{', '.join(options.fields)}]")
    if not options.seeds or min(options.seeds) < 0 or len({*options.seeds}) < len(options.seeds):
        raise InputError(f"seeds: expected at least one, none negative, none twice, got {options.seeds}")
    if options.table is not None and (not Path(options.table).parent.is_dir() or Path(options.table).is_dir()):
        raise InputError(f"table: expected a file in a folder that exists, got {options.table}")
    return options, rest


def scenes(rest: Sequence[str], sample: bool) -> dict[str, list[str]]:
    """The overrides of every scene that is trained on, by its name, without field, seed and output.

    Raises:
        InputError: there is no scene, or the given one is called like the sample.
    """
    keys = [override.key_or_group for override in parse_overrides(rest)]
    given = [f"{key}={value}" for key, value in DEFAULTS.items() if key not in keys] + list(rest)
    if "scene.path" in keys and not {"scene", "experiment"} & {*keys}:
        given.insert(0, "scene=dtu")  # the default, scene=sample, would call it sample
    config = compose_config(["output=unused", *given])
    # Written as seen from the current folder, so that it is the same on every machine
    bundled = f"scene.path={quoted(Path(os.path.relpath(SAMPLE)))}"
    if Path(config.scene.path).resolve() == SAMPLE or config.scene.path == "datasets/sample":
        if not sample and "scene" not in keys and "scene.path" not in keys:
            raise InputError("sample=false: expected another scene, give scene= or scene.path=")
        return {config.scene.name: given if "scene.path" in keys else [*given, bundled]}
    found = {config.scene.name: given}
    if sample:
        if config.scene.name == "sample":
            raise InputError("scene.name: sample is the bundled scene, give scene.name=NAME or sample=false")
        parsed = parse_overrides(given)
        others = [str(o.input_line) for o in parsed if not _of_one_scene(o.key_or_group)]
        found = {"sample": ["scene=sample", bundled, *others], **found}
    return found


def plan(options: Options, overrides: Mapping[str, Sequence[str]]) -> dict[str, list[Training]]:
    """All trainings of every scene, the fields in turn: a machine that slows down hits both alike."""
    trainings: dict[str, list[Training]] = {}
    for scene, values in overrides.items():
        for seed in options.seeds:
            for field in options.fields:
                folder = Path(options.out) / scene / field / f"seed_{seed}"
                own = (*values, f"field={field}", f"seed={seed}", f"output={quoted(folder)}")
                training = Training(field, seed, folder, own, compose_config(own))
                trainings.setdefault(scene, []).append(training)
    return trainings


def quoted(path: Path) -> str:
    """A path as a value of Hydra's grammar, whatever characters it holds."""
    if re.fullmatch(r"[\w./+-]+", str(path)):
        return str(path)
    return "'" + str(path).replace("'", r"\'") + "'"


def _of_one_scene(key: str) -> bool:
    """Whether a value that fits one scene says nothing of another."""
    return key.partition(".")[0] in ("scene", "prompts") or key == "evaluate.points"
