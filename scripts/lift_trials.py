"""Try the lift where the truth is known: other clicks, damaged first masks, fewer rounds, fewer kinds of prompts.

    python scripts/lift_trials.py trials=clicks [count=10] [seed=0] [scene=...] [OVERRIDES]
    python scripts/lift_trials.py trials=damage [scene=dtu scene.path=FOLDER scene.downscale=2] [OVERRIDES]
    python scripts/lift_trials.py trials=rounds [OVERRIDES]
    python scripts/lift_trials.py trials=objects [recipes=[patchwork,touching]] [count=5] [seed=0] [second=true] ...

`clicks`: random clicks inside the target in random training views. `damage`: the first mask with a fifth cut away, with
a foreign patch, spilt over its outline. `rounds`: the click projected once (`lift.max_rounds=0`) against all rounds,
with points, points and box, and everything as prompts. `objects`: a random click each on the targets of `count` scenes
of every recipe, which are made first: many-coloured ones, some that touch their neighbours, some in the colours of the
table, some cut by the picture's border. The scene needs masks to compare with; they are used for nothing else. Geometry
is fitted once a scene. `second=true` tries results that are in doubt again, with the click that they ask for, answered
from the true masks. Prints a table; `out=FOLDER` keeps the scenes, masks, rounds and a trials.csv.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from omegaconf import MISSING  # noqa: E402

from nto3d.build.device import build_device  # noqa: E402
from nto3d.build.exposure import find_exposures  # noqa: E402
from nto3d.cli import guarded  # noqa: E402
from nto3d.config.compose import compose_config  # noqa: E402
from nto3d.config.io import parse_options  # noqa: E402
from nto3d.config.schema import Config, PromptsConfig, PromptUse, Reader  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.data.synthetic import RECIPES as PLANS  # noqa: E402
from nto3d.data.synthetic import make_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.evaluate.damage import DAMAGES  # noqa: E402
from nto3d.evaluate.masks import iou  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.pipeline.lift import Lifter, Target  # noqa: E402
from nto3d.pipeline.scene import fit_scene  # noqa: E402
from nto3d.report.recording import Recording  # noqa: E402
from nto3d.runs.lift.notes import LiftNotes  # noqa: E402
from nto3d.segment.prompts.read import read_prompts, to_file_pixels, with_click  # noqa: E402
from nto3d.stages.lift.refine import mean_truth_iou  # noqa: E402
from nto3d.stages.lift.scene import SceneFit  # noqa: E402
from nto3d.types import Mask, Prompts, Scene  # noqa: E402

RECIPES = ("patchwork", "touching", "camouflage", "cropped")  # of trials=objects
HEADER = ("trial", "first", "round 0", "last round", "mean", "least", "rounds", "seconds", "confidence", "second click")
BAD = 0.9  # IoU below which a result ought to be in doubt


@dataclass(frozen=True)
class Trial:
    """One lift: its name, its configuration, and what is done to the first mask (a key of DAMAGES, or nothing)."""

    name: str
    config: Config
    damage: str | None = None


def clicks(config: Config, scene: Scene, count: int, seed: int) -> Iterator[Trial]:
    """Random pixels of the target in random training views, each in a trial."""
    assert scene.masks is not None
    rng = np.random.default_rng(seed)
    for number in range(count):
        view = int(rng.choice([view for view in scene.train if scene.masks[view].any()]))
        rows, columns = np.nonzero(scene.masks[view])
        pick = int(rng.integers(len(rows)))
        x, y = to_file_pixels(np.array([columns[pick], rows[pick]]), config.scene.downscale).tolist()
        prompts = PromptsConfig(view=view, points=[[x, y]])
        yield Trial(f"{number}: view {view} [{x:g}, {y:g}]", dataclasses.replace(config, prompts=prompts))


def damages(config: Config) -> Iterator[Trial]:
    """The first mask as it is, and damaged in every way."""
    yield Trial("undamaged", config)
    for name in DAMAGES:
        yield Trial(name, config, name)


def rounds(config: Config) -> Iterator[Trial]:
    """The click projected once, and all rounds; with some and all kinds of prompts."""
    for use in PromptUse:
        for number in (0, config.lift.max_rounds):
            lift = dataclasses.replace(config.lift, max_rounds=number, prompts=use)
            yield Trial(f"{use.value}, max_rounds={number}", dataclasses.replace(config, lift=lift))


def answered(lift: Lifter, scene: Scene) -> tuple[Prompts, ...] | None:
    """The prompts of a lift and a click where it asks for one, answered from the truth; None: it does not ask."""
    view, place = lift.doubt.view, lift.doubt.place
    if view is None or place is None or lift.doubt.confidence >= lift.config.lift.sure:
        return None
    assert scene.masks is not None
    x, y = place.astype(int)
    click = Prompts(view, place[None], np.array([int(scene.masks[view, y, x])]))
    return with_click(list(lift.prompts.values()), click)


def run_trials(
    config: Config, scene: Scene, trials: Sequence[Trial], out: Path, seed: int, second: bool
) -> list[tuple[object, ...]]:
    """Rows of HEADER, printed as they come.

    Args:
        second: whether doubtful results are tried again with the click that they ask for.
    """
    assert scene.masks is not None
    device = build_device(config)
    fitted = None
    rows: list[tuple[object, ...]] = []
    exposures = find_exposures(config, scene)

    def again(lift: Lifter, fitted: SceneFit, folder: Path) -> str:
        """The mean IoU with the click that a lift asks for; empty where it asks for none."""
        prompts = answered(lift, scene)
        if prompts is None or scene.masks is None:
            return ""
        notes = LiftNotes(folder / "second", scene, {some.view: some for some in prompts}, False, Recording(), "")
        more = Lifter(lift.config, scene, device, Target("", prompts), notes, exposures, lift)
        masks = more.masks(fitted, more.first_masks())
        return f"{mean_truth_iou(masks, scene.masks, scene.train):.3f}"

    for number, trial in enumerate(trials):
        folder = out / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        where = trial.config.scene
        prompts = read_prompts(trial.config.prompts, Path(where.path), scene, where.downscale)
        notes = LiftNotes(folder, scene, {some.view: some for some in prompts}, False, Recording(), "")
        lift = Lifter(trial.config, scene, device, Target("", prompts), notes, exposures)
        fitted = fitted or fit_scene(trial.config, scene, device, notes, exposures)
        begun = time.perf_counter()
        first = lift.first_masks()
        if trial.damage is not None:
            rng = np.random.default_rng(seed)
            for view, mask in first.items():
                keep = lift.prompts[view].points[lift.prompts[view].labels == 1].mean(axis=0)
                pixels = DAMAGES[trial.damage](mask.pixels, scene.images[view], keep, rng)
                first[view] = Mask(view, pixels, mask.score)
        clicked = float(np.mean([iou(mask.pixels, scene.masks[view]) for view, mask in first.items()]))
        masks = lift.masks(fitted, first)
        each = [iou(masks[view].pixels, scene.masks[view]) for view in scene.train]
        row = (
            trial.name,
            *(f"{value:.3f}" for value in (clicked, notes.rows[0][2], notes.rows[-1][2], np.mean(each), np.min(each))),
            len(notes.rows) - 1,
            f"{time.perf_counter() - begun:.0f}",
            f"{lift.doubt.confidence:.3f}",
            again(lift, fitted, folder) if second else "",
        )
        rows.append(row)
        print("  ".join(str(value) for value in row), flush=True)
    return rows


def run_objects(config: Config, options: Options, out: Path) -> list[tuple[object, ...]]:
    """Rows of HEADER for a click on the target of each scene of each recipe, and the recipes' means, printed."""
    rows: list[tuple[object, ...]] = []
    for recipe in options.recipes:
        found = []
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
            found += run_trials(here, scene, trials, out / folder.name, number, options.second)
        means = [float(str(row[4])) for row in found]
        print(f"{recipe}: mean {np.mean(means):.3f}, worst {np.min(means):.3f}", flush=True)
        rows += found
    return rows


@dataclass
class Options:
    """What the script itself takes."""

    trials: str = MISSING
    recipes: list[str] = dataclasses.field(default_factory=lambda: list(RECIPES))
    count: int = 10
    seed: int = 0
    second: bool = False
    out: str | None = None


def run_scene(config: Config, options: Options, out: Path) -> list[tuple[object, ...]]:
    """Rows of HEADER for all trials of one kind on the scene of the configuration."""
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
    return run_trials(config, scene, trials, out, options.seed, options.second)


def print_doubt(rows: Sequence[tuple[object, ...]], sure: float) -> None:
    """Print how well doubt tells bad results from good ones, and what second clicks bring."""
    table = [(float(str(row[4])), float(str(row[8])) < sure, str(row[9])) for row in rows]
    for name, some in (("under", [t for t in table if t[0] < BAD]), ("from", [t for t in table if t[0] >= BAD])):
        print(f"in doubt, of those {name} {BAD:g}: {sum(doubtful for _, doubtful, _ in some)} of {len(some)}")
    both = [(before, float(after)) for before, _, after in table if after]
    if both:
        before, after = np.mean(both, axis=0)
        print(f"with the second click that they ask for: {before:.3f} before, {after:.3f} after ({len(both)} trials)")


def main(argv: Sequence[str]) -> None:
    """Run the trials that the command line names."""
    names = {field.name for field in dataclasses.fields(Options)}
    own = [argument for argument in argv if argument.partition("=")[0] in names]
    options = parse_options(Options, own)
    if options.count < 1 or options.seed < 0:
        raise InputError(f"count, seed: expected at least 1 and 0, got {options.count} and {options.seed}")
    unknown = [recipe for recipe in options.recipes if recipe not in PLANS]
    if unknown or not options.recipes:
        raise InputError(f"recipes: expected some of {', '.join(PLANS)}, got {options.recipes}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        rest = [argument for argument in argv if argument not in own]
        config = compose_config([f"output={folder}", "logger=none", *rest])
        print("  ".join(HEADER), flush=True)
        if options.trials == "objects":
            rows = run_objects(config, options, folder)
        else:
            rows = run_scene(config, options, folder)
        means = [float(str(row[4])) for row in rows]
        print(f"mean of the means {np.mean(means):.3f}, worst {np.min(means):.3f}")
        print_doubt(rows, config.lift.sure)
        if options.out is not None:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
            write_atomic(folder / "trials.csv", text.getvalue())


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
