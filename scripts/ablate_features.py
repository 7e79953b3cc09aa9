"""Does the feature field help? The same trainings with and without it, several seeds, as a table.

    python scripts/ablate_features.py                                                       the bundled sample
    python scripts/ablate_features.py scene=dtu scene.path=FOLDER scene.downscale=2 evaluate.points=FILE.npz
                                                                  the sample, then that scene (sample=false: it alone)
    python scripts/ablate_features.py seeds=[0,1,2] fields=[neus,neus_feature] out=FOLDER table=FILE.md [OVERRIDES]

OVERRIDES go to train.py as they are, for both fields; `scene=`, `scene.*`, `prompts.*` and `evaluate.points=` are the
given scene's and do not reach the sample beside it. `logger=none`, `evaluate.report=false` and `segmenter=precomputed`
unless they are given: so both fields train on the same masks, those in the scene's folder. OUT is runs/ablation.

Every training is a process of its own, one at a time, the fields in turn for each seed, in OUT/SCENE/FIELD/seed_N. What
is finished there with the same settings is not run again: the same command goes on after an interruption. A training
that was interrupted begins anew, so that its seconds and memory are those of a whole one. After each training
OUT/results.json (every number) and the table (default OUT/table.md) are brought up to date. Mean ± sample standard
deviation over the seeds; a difference counts if it is larger than the larger of the two deviations.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from ablate_table import Result, Training, scene_table  # noqa: E402

# Nothing that imports torch: what this process holds counts as peak memory of the processes that it starts (ru_maxrss)
from nto3d.cli import guarded  # noqa: E402
from nto3d.config.compose import CONFIG_FOLDER, compose_config  # noqa: E402
from nto3d.config.io import flatten, parse_options, parse_overrides, to_dict  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.runs.folder import CHECKPOINT_NAME, CONFIG_NAME, load_run_config, read_run_info, unclaim  # noqa: E402

METRICS_NAME, RESULTS_NAME = "metrics.json", "results.json"
SAMPLE = ROOT / "datasets" / "sample"
OWN_KEYS = {
    "output": "the script makes the folders: out=FOLDER",
    "seed": "the script sets it: seeds=[0,1,2]",
    "field": "the script sets it: fields=[neus,neus_feature]",
    "field.feature": "the script sets it: fields=[neus,neus_feature]",
    "resume": "the script goes on by itself: give the same command again",
}
DEFAULTS = {"logger": "none", "evaluate.report": "false", "segmenter": "precomputed"}
RULE = (
    "Mean ± sample standard deviation over the seeds. A difference of the means counts as better or worse if it is "
    "larger than the larger of the two deviations. Each training is a process of its own, the fields in turn for each "
    "seed."
)


@dataclass
class Options:
    """What the script itself takes."""

    seeds: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])
    fields: list[str] = dataclasses.field(default_factory=lambda: ["neus", "neus_feature"])
    out: str = "runs/ablation"
    table: str | None = None
    sample: bool = True


def quoted(path: Path) -> str:
    """A path as a value of Hydra's grammar, whatever characters it holds."""
    if re.fullmatch(r"[\w./+-]+", str(path)):
        return str(path)
    return "'" + str(path).replace("'", r"\'") + "'"


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """The script's options, and the overrides for `train.py`.

    Raises:
        InputError: an option is impossible, or an override is one that the script makes itself.
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


def _of_one_scene(key: str) -> bool:
    """Whether a value that fits one scene says nothing of another."""
    return key.partition(".")[0] in ("scene", "prompts") or key == "evaluate.points"


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


def is_finished(training: Training) -> bool:
    """Whether its metrics are there already.

    Raises:
        InputError: its folder holds a run of other settings.
    """
    folder = training.folder
    if not (folder / CONFIG_NAME).exists():
        return False
    stored = flatten(to_dict(load_run_config(folder)))
    for key, value in flatten(to_dict(training.config)).items():
        if key not in ("output", "resume") and stored[key] != value:
            raise InputError(f"{folder}: holds a run with {key}={stored[key]}, not {value}; choose another out=FOLDER")
    return (folder / METRICS_NAME).is_file()


def train(overrides: Sequence[str]) -> None:
    """Run `train.py` in a process of its own.

    Raises:
        InputError: it failed; the last line of its error. KeyboardInterrupt: it, or this process, was interrupted.
    """
    with tempfile.TemporaryFile() as errors:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        command = [sys.executable, str(ROOT / "train.py"), *overrides]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            code = child.wait()
        finally:
            _stop(child)
            signal.signal(signal.SIGTERM, before)
        errors.seek(0)
        lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    if code in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if code:
        said = [line for line in lines if line.startswith("error: ")] or lines or ["it said nothing"]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise InputError(f"train.py failed ({how}): {said[-1].removeprefix('error: ')}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a training that still runs."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=20)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def run_training(training: Training) -> None:
    """Train, in place of what an interrupted training left.

    Raises:
        InputError: the training failed.
    """
    for file in (CHECKPOINT_NAME, METRICS_NAME):
        (training.folder / file).unlink(missing_ok=True)
    unclaim(training.folder)
    try:
        train(training.overrides)
    except InputError as error:
        raise InputError(f"{training.config.scene.name} {training.field} seed {training.seed}: {error}") from error


def read_result(training: Training) -> Result:
    """What a finished training left.

    Raises:
        InputError: it is missing or broken.
    """
    path = training.folder / METRICS_NAME
    try:
        metrics = {str(key): float(value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected the JSON that train.py writes, got {error}") from error
    start = read_run_info(training.folder)[:1]
    return Result(training, metrics, start[0] if start else {})


def write_results(
    argv: Sequence[str], options: Options, trainings: Mapping[str, Sequence[Training]], results: Mapping[Path, Result]
) -> str:
    """Bring OUT/results.json and the table up to date; returns the table.

    Raises:
        InputError: one of them cannot be written.
    """
    command = shlex.join(["python", "scripts/ablate_features.py", *argv])
    runs: list[dict[str, Any]] = []
    parts = [f"# {options.fields[1]} against {options.fields[0]}", f"    {command}", RULE]
    for scene, planned in trainings.items():
        own = [results[training.folder] for training in planned if training.folder in results]
        for result in own:
            one = result.training
            about = {"scene": scene, "field": one.field, "seed": one.seed, "folder": str(one.folder)}
            runs.append({**about, "metrics": result.metrics, "start": result.start})
        if own:
            parts.append(scene_table(scene, options.fields, planned, own))
    now = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}"
    raw = {"command": command, "written": now, "options": dataclasses.asdict(options), "runs": runs}
    write_atomic(Path(options.out) / RESULTS_NAME, json.dumps(raw, indent=2) + "\n")
    text = "\n\n".join(parts) + "\n"
    write_atomic(Path(options.table or Path(options.out) / "table.md"), text)
    return text


def main(argv: Sequence[str]) -> int:
    """Train what is not trained yet, and print the table."""
    options, rest = read_options(argv)
    trainings = plan(options, scenes(rest, options.sample))
    everything = [training for planned in trainings.values() for training in planned]
    # Looked at before anything starts: a folder of other settings is refused now
    results = {training.folder: read_result(training) for training in everything if is_finished(training)}
    print(f"{len(everything)} trainings, {len(results)} of them finished already", flush=True)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    for training in everything:
        if training.folder not in results:
            run_training(training)
            result = results[training.folder] = read_result(training)
            said = [f"{key} {result.metrics[key]:.4g}" for key in ("psnr", "total_seconds") if key in result.metrics]
            print(f"{training.config.scene.name} {training.field} seed {training.seed}:", ", ".join(said), flush=True)
            write_results(argv, options, trainings, results)
    print(f"\n{write_results(argv, options, trainings, results)}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
