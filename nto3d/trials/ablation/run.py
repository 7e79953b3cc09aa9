"""An ablation as a whole: what is not trained yet is, and results.json and the table are brought up to date."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from nto3d.files import write_atomic
from nto3d.trials.ablation.plan import Options, plan, scenes
from nto3d.trials.ablation.table import Result, Training, scene_table
from nto3d.trials.ablation.train import is_finished, read_result, run_training

RESULTS_NAME = "results.json"
RULE = (
    "Mean ± sample standard deviation over the seeds. A difference of the means counts as better or worse if it is "
    "larger than the larger of the two deviations. Each training is a process of its own, the fields in turn for each "
    "seed."
)


def write_results(
    command: str, options: Options, trainings: Mapping[str, Sequence[Training]], results: Mapping[Path, Result]
) -> str:
    """Bring OUT/results.json and the table up to date; returns the table.

    Args:
        command: how it was started. trainings: by scene. results: of those that are finished, by their folder.

    Raises:
        InputError: one of them cannot be written.
    """
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


def ablate(options: Options, overrides: Sequence[str], command: str, say: Callable[[str], None]) -> None:
    """Train what is not trained yet, and say the table.

    Args:
        overrides: for `train.py`. command: how it was started. say: is told of every training, and the table.

    Raises:
        InputError: there is no scene, a folder holds a run of other settings, a training failed, or a file cannot be
            written. KeyboardInterrupt: a training, or this process, was interrupted.
    """
    trainings = plan(options, scenes(overrides, options.sample))
    everything = [training for planned in trainings.values() for training in planned]
    # Looked at before anything starts: a folder of other settings is refused now
    results = {training.folder: read_result(training) for training in everything if is_finished(training)}
    say(f"{len(everything)} trainings, {len(results)} of them finished already")
    Path(options.out).mkdir(parents=True, exist_ok=True)
    for training in everything:
        if training.folder not in results:
            run_training(training)
            result = results[training.folder] = read_result(training)
            said = [f"{key} {result.metrics[key]:.4g}" for key in ("psnr", "total_seconds") if key in result.metrics]
            say(f"{training.config.scene.name} {training.field} seed {training.seed}: {', '.join(said)}")
            write_results(command, options, trainings, results)
    say(f"\n{write_results(command, options, trainings, results)}".removesuffix("\n"))
