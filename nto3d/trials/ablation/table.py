"""Two sets of measurements as rows of Markdown, with a verdict on each."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nto3d.config.schema import Config, MaskUse, SegmenterName

# In the order of the table; what is in neither is shown without a verdict
HIGHER = (
    *("psnr", "psnr_mask", "ssim", "ssim_mask", "mask_iou", "lift_mask_iou"),
    *("feature_cosine", "precision", "recall", "fscore"),
)
LOWER = (
    *("chamfer", "chamfer_relative", "accuracy", "completeness", "points_mean", "points_median"),
    *("lift_seconds", "train_seconds", "total_seconds", "peak_memory_gb"),
)
COSTS = ("lift_seconds", "train_seconds", "total_seconds", "peak_memory_gb")  # shown as a ratio, too


@dataclass(frozen=True)
class Training:
    """One training: where it goes, what `train.py` is told, and the configuration that comes of it."""

    field: str
    seed: int
    folder: Path
    overrides: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Result:
    """What a finished training left: its metrics, and the entry of its start in run.json."""

    training: Training
    metrics: dict[str, float]
    start: dict[str, Any]


def comparison(names: Sequence[str], runs: Sequence[Sequence[Mapping[str, float]]]) -> list[str]:
    """The lines of a table.

    Args:
        names: of the two sets. runs: of each set, the metrics of its runs.
    """
    metrics = {key for some in runs for values in some for key in values}
    ordered = [key for key in HIGHER + LOWER if key in metrics] + sorted(metrics - {*HIGHER, *LOWER})
    lines = [f"| | {names[0]} | {names[1]} | difference | {names[1]} is |", "|---|---|---|---|---|"]
    for key in ordered:
        first, second = ([values[key] for values in some if key in values] for some in runs)
        lines.append(table_row(key, first, second))
    return lines


def number(value: float, like: float) -> str:
    """A value with as many decimals as give `like` four digits."""
    if not math.isfinite(value):
        return str(value)
    size = math.floor(math.log10(abs(like))) if like and math.isfinite(like) else 0
    return f"{value:.{min(max(3 - size, 0), 8)}f}"


def verdict(metric: str, first: Sequence[float], second: Sequence[float]) -> str:
    """What the second field's values say against the first's: better, worse, or within the spread."""
    if metric not in HIGHER + LOWER or not first or not second or not all(map(math.isfinite, [*first, *second])):
        return ""
    if min(len(first), len(second)) < 2:
        return "one seed"
    difference = statistics.mean(second) - statistics.mean(first)
    if not abs(difference) > max(statistics.stdev(first), statistics.stdev(second)):
        return "within the spread"
    return "better" if (difference > 0) == (metric in HIGHER) else "worse"


def table_row(metric: str, first: Sequence[float], second: Sequence[float]) -> str:
    """One metric of both fields as a row of Markdown."""
    means = [math.fsum(values) / len(values) if values else math.nan for values in (first, second)]
    like = max((abs(mean) for mean in means if math.isfinite(mean)), default=0.0)
    cells = [metric + (" ↑" if metric in HIGHER else " ↓" if metric in LOWER else "")]
    for values, mean in zip((first, second), means, strict=True):
        several = len(values) > 1 and all(map(math.isfinite, values))
        spread = f" ± {number(statistics.stdev(values), like)}" if several else ""
        cells.append(number(mean, like) + spread if values else "")
    difference = means[1] - means[0]
    change = f"{'+' if difference > 0 else ''}{number(difference, like)}" if first and second else ""
    if metric in COSTS and first and second and means[0] > 0:
        change += f" ({means[1] / means[0]:.2f}x)"
    return f"| {' | '.join([*cells, change, verdict(metric, first, second)])} |"


def scene_table(scene: str, fields: Sequence[str], trainings: Sequence[Training], results: Sequence[Result]) -> str:
    """A scene's table in Markdown, and under which conditions it came to be."""
    both = [[result.metrics for result in results if result.training.field == field] for field in fields]
    lines = [f"## {scene}", "", *comparison(fields, both)]
    config = trainings[0].config
    masks = f"found from the click in each training (segmenter={config.segmenter.name.value})"
    if config.segmenter.name is SegmenterName.precomputed:
        masks = "the same for both, those in the scene's folder (segmenter=precomputed)"
    if config.scene.masks is MaskUse.none:
        masks = "none"
    done = [f"{field} {sum(r.training.field == field for r in results)}" for field in fields]
    dates = sorted(str(result.start.get("time", ""))[:16] for result in results)
    machines = sorted({str(result.start.get("machine", "")) for result in results})
    seeds = list(dict.fromkeys(training.seed for training in trainings))
    lines += [
        "",
        f"- seeds {', '.join(map(str, seeds))} ({len(seeds)} a field; finished: {', '.join(done)})",
        f"- masks: {masks}",
        f"- each training: `{shlex.join(['python', 'train.py', *trainings[0].overrides[:-3]])} field=... seed=...`",
        f"- machine: {'; '.join(machines)}; threads={config.threads or 'all'}, device={config.device}",
        f"- started between {dates[0]} and {dates[-1]}",
    ]
    return "\n".join(lines)
