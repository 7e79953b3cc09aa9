"""How good the surface is and what each part of it costs: scenes trained with and without it.

A scene is `sample`, `concave`, `tabletop:SEED`, or a folder in the DTU layout, measured against the check_points*.npz
in it (key xyz) where there is one. Masks are the folder's own, so that the figures are of the surface alone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nto3d.errors import InputError
from nto3d.runs.folder import read_metrics
from nto3d.trials.bench.table import Row
from nto3d.trials.places import DATASETS, ROOT, SAMPLE, TRAIN

SCENES = ("sample", "concave", "tabletop:3", "tabletop:7")
# What is left out, and how
VARIANTS: dict[str, tuple[str, ...]] = {
    "everything": (),
    "no patches": ("trainer.loss.patch_weight=0",),
    "no stereo pull": ("trainer.loss.stereo_weight=0",),
    "no exposure": ("field.exposure=off",),
    "no smoothing": ("trainer.loss.curvature_weight=0",),
    "unseen as it is": ("export.unseen=mark",),
}
SHOWN = ("points_mean", "points_median", "normal_error", "chamfer_relative", "psnr_mask", "mask_iou", "train_seconds")


def scene_arguments(scene: str) -> list[str]:
    """What train.py is told of a scene.

    Raises:
        InputError: it is neither a known name nor a folder.
    """
    if scene == "sample":
        return ["scene=sample", f"scene.path={SAMPLE}"]
    if scene == "concave":
        return ["scene=concave", f"scene.path={DATASETS / 'concave'}"]
    if scene.startswith("tabletop:") and scene.partition(":")[2].isdigit():
        seed = scene.partition(":")[2]
        return ["scene=synthetic", f"scene.seed={seed}", f"scene.path={DATASETS / f'tabletop{seed}'}"]
    folder = Path(scene)
    if not folder.is_dir():
        raise InputError(f"scenes: expected sample, concave, tabletop:SEED or a folder, got {scene!r}")
    points = sorted(folder.glob("check_points*.npz"))
    measured = [f"evaluate.points={points[0].resolve()}"] if points else []
    return ["scene=dtu", f"scene.path={folder.resolve()}", *measured]


def bench_surface(
    scenes: Sequence[str], variants: Sequence[str], extra: Sequence[str], out: Path, note: Callable[[str], None]
) -> list[Row]:
    """Train every scene in every variant, each in a process of its own; the metrics of each.

    Args:
        scenes: see `scene_arguments`. variants: keys of `VARIANTS`. extra: further arguments of train.py.
        out: folder for the runs. note: is told of every training that is done.

    Raises:
        InputError: a scene is unknown, or a training failed.
    """
    rows: list[Row] = []
    arguments = {scene: scene_arguments(scene) for scene in scenes}
    for scene, given in arguments.items():
        for variant in variants:
            run = out / f"{Path(scene).name.replace(':', '')}_{variant.replace(' ', '_')}"
            fixed = ["segmenter=precomputed", "evaluate.report=false", "logger=none", f"output={run}"]
            command = [sys.executable, str(TRAIN), *given, *fixed, *VARIANTS[variant], *extra]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode != 0:
                raise InputError(
                    f"{scene}, {variant}: training failed: {(done.stderr.strip() or '?').splitlines()[-1]}"
                )
            metrics = read_metrics(run)
            shown = {name: metrics[name] for name in SHOWN if name in metrics}
            row = {"part": "surface", "device": "any", "size": Path(scene).name[:10], "what": variant, **shown}
            rows.append({**row, "ms": 1e3 * metrics["train_seconds"], "peak_gb": metrics["peak_memory_gb"]})
            note(f"measured surface {scene} {variant}")
    return rows
