"""Trials of the lift as a whole: options, the kinds of trials, what is said of them, and trials.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from nto3d.config.compose import compose_config
from nto3d.config.io import parse_options
from nto3d.config.schema import Config, Reader
from nto3d.data.load import load_scene
from nto3d.data.synthetic import RECIPES as PLANS
from nto3d.data.synthetic import make_scene
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.trials.lift.measure import HEADER, Outcome, SceneTrials
from nto3d.trials.lift.trial import Trial, clicks, damages, rounds
from nto3d.types import Scene

RECIPES = ("patchwork", "touching", "camouflage", "cropped")  # of trials=objects
BAD = 0.9  # IoU below which a result ought to be in doubt
Say = Callable[[str], None]


@dataclasses.dataclass
class Options:
    """What can be given as key=value, beside overrides for the configuration."""

    trials: str = MISSING
    recipes: list[str] = dataclasses.field(default_factory=lambda: list(RECIPES))
    count: int = 10
    seed: int = 0
    second: bool = False
    out: str | None = None


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and the overrides for the configuration.

    Raises:
        InputError: a wrong type or an impossible value.
    """
    names = {field.name for field in dataclasses.fields(Options)}
    own = [argument for argument in argv if argument.partition("=")[0] in names]
    options = parse_options(Options, own)
    if options.count < 1 or options.seed < 0:
        raise InputError(f"count, seed: expected at least 1 and 0, got {options.count} and {options.seed}")
    unknown = [recipe for recipe in options.recipes if recipe not in PLANS]
    if unknown or not options.recipes:
        raise InputError(f"recipes: expected some of {', '.join(PLANS)}, got {options.recipes}")
    return options, [argument for argument in argv if argument not in own]


def try_lift(options: Options, overrides: Sequence[str], say: Say) -> list[Outcome]:
    """Run trials of one kind.

    Args:
        overrides: for the configuration. say: is told the head of the table, every row, and what they say together.

    Raises:
        InputError: there is no such kind, the scene has no masks, or a lift failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        config = compose_config([f"output={folder}", "logger=none", *overrides])
        say("  ".join(HEADER))
        if options.trials == "objects":
            found = run_objects(config, options, folder, say)
        else:
            found = run_scene(config, options, folder, say)
        means = [one.mean for one in found]
        say(f"mean of the means {np.mean(means):.3f}, worst {np.min(means):.3f}")
        for line in doubt_lines(found, config.lift.sure):
            say(line)
        if options.out is not None:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([HEADER, *(one.cells() for one in found)])
            write_atomic(folder / "trials.csv", text.getvalue())
    return found


def run_scene(config: Config, options: Options, out: Path, say: Say) -> list[Outcome]:
    """All trials of one kind on the scene of the configuration.

    Raises:
        InputError: the scene has no masks, there is no such kind, or a lift failed.
    """
    scene = load_scene(config.scene)
    if scene.masks is None:
        raise InputError(f"{config.scene.path}: expected a scene with masks to compare with, found none")
    makers = {
        "clicks": lambda: clicks(config, scene, options.count, options.seed),
        "damage": lambda: damages(config),
        "rounds": lambda: rounds(config),
    }
    if options.trials not in makers:
        raise InputError(f"trials: expected one of {', '.join(makers)}, objects, got {options.trials}")
    trials = list(makers[options.trials]())[: options.count]
    return run_trials(config, scene, trials, out, options.seed, options.second, say)


def run_objects(config: Config, options: Options, out: Path, say: Say) -> list[Outcome]:
    """A click on the target of each scene of each recipe; says the recipes' means, too.

    Raises:
        InputError: a scene cannot be made or read, or a lift failed.
    """
    found: list[Outcome] = []
    for recipe in options.recipes:
        own = []
        for number in range(options.seed, options.seed + options.count):
            folder = out / "scenes" / f"{recipe}{number}"
            if not folder.is_dir():
                make_scene(recipe, number, folder)
            changed = dataclasses.replace(config.scene, reader=Reader.dtu, name=folder.name, path=str(folder))
            here = dataclasses.replace(config, scene=changed)
            scene = load_scene(here.scene)
            trials = [
                dataclasses.replace(trial, name=f"{folder.name} {trial.name.partition(': ')[2]}")
                for trial in clicks(here, scene, 1, number)
            ]
            own += run_trials(here, scene, trials, out / folder.name, number, options.second, say)
        means = [one.mean for one in own]
        say(f"{recipe}: mean {np.mean(means):.3f}, worst {np.min(means):.3f}")
        found += own
    return found


def run_trials(
    config: Config, scene: Scene, trials: Sequence[Trial], out: Path, seed: int, second: bool, say: Say
) -> list[Outcome]:
    """Trials in one scene, in folders of `out`; for the others see `SceneTrials.run`."""
    lifts, found = SceneTrials(config, scene), []
    for number, trial in enumerate(trials):
        found.append(lifts.run(trial, out / f"{number:02d}", seed, second))
        say("  ".join(found[-1].cells()))
    return found


def doubt_lines(found: Sequence[Outcome], sure: float) -> list[str]:
    """How well doubt tells bad results from good ones, and what second clicks bring.

    Args:
        sure: the confidence from which on a result is not in doubt.
    """
    lines = []
    for name, some in (
        ("under", [one for one in found if one.mean < BAD]),
        ("from", [one for one in found if one.mean >= BAD]),
    ):
        doubtful = sum(one.confidence < sure for one in some)
        lines.append(f"in doubt, of those {name} {BAD:g}: {doubtful} of {len(some)}")
    both = [(one.mean, one.second) for one in found if one.second is not None]
    if both:
        before, after = np.mean(both, axis=0)
        lines.append(
            f"with the second click that they ask for: {before:.3f} before, {after:.3f} after ({len(both)} trials)"
        )
    return lines
