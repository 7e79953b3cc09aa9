"""Evaluate a run again, or any mesh.

    python scripts/evaluate.py run=RUN [evaluate.points=FILE.npz] [evaluate.max_views=N] [scene.path=FOLDER]
    python scripts/evaluate.py run=RUN mesh=FILE            another mesh of the same scene
    python scripts/evaluate.py mesh=FILE truth=FILE         two meshes in one frame
    python scripts/evaluate.py mesh=FILE evaluate.points=FILE.npz

`run=RUN` renders the held-out views from the checkpoint, measures RUN/mesh.ply and brings RUN/metrics.json up to date
(what cannot be measured again, such as the time of training, stays). The other forms print, and write `out=FILE`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from omegaconf import OmegaConf  # noqa: E402

from nto3d.build.device import build_device  # noqa: E402
from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.config.check import validate  # noqa: E402
from nto3d.config.io import parse_overrides  # noqa: E402
from nto3d.config.schema import Config, EvaluateConfig  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.evaluate.geometry import load_points, mesh_metrics, point_metrics  # noqa: E402
from nto3d.export.mesh_io import read_mesh  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.runs.folder import load_run_config  # noqa: E402
from nto3d.runs.lift.files import true_masks  # noqa: E402
from nto3d.runs.objects import object_metrics, with_truth  # noqa: E402
from nto3d.runs.stored import open_run, stored_objects  # noqa: E402
from nto3d.stages.reconstruct.assess import METRICS_NAME, assess_mesh, assess_views, write_metrics  # noqa: E402

KEYS = ("evaluate.", "scene.path", "device", "threads")


def evaluate_run(run_dir: Path, mesh_path: Path | None, overrides: Sequence[str]) -> dict[str, float]:
    """Metrics of a run's model and mesh, or of another mesh of its scene."""
    for override in parse_overrides(overrides):
        if not override.key_or_group.startswith(KEYS):
            raise InputError(f"{override.key_or_group}: cannot be changed, expected {', '.join(KEYS)} (evaluate.*)")
    config = load_run_config(run_dir, overrides)
    mesh = read_mesh(mesh_path or run_dir / "mesh.ply")
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    metrics: dict[str, float] = {}
    objects = stored_objects(run_dir)
    if objects is not None:
        scene, truths = with_truth(config, scene, objects.names)
        if mesh_path is None:
            parts = {name: read_mesh(run_dir / f"mesh_{name}.ply") for name in objects.names}
            metrics |= object_metrics(config, scene, run_dir, parts, truths)
    masks = true_masks(config, scene, run_dir)
    if mesh_path is None:
        model = open_run(run_dir, config, device).model
        found, _ = assess_views(model, scene, masks, config.evaluate, config.trainer.step_size)
        metrics |= found
    return metrics | assess_mesh(mesh, scene, config.evaluate, masks is None, config.seed)


def evaluate_mesh(mesh_path: Path, truth_path: Path | None, overrides: Sequence[str]) -> dict[str, float]:
    """Metrics of a mesh against another mesh and check points, all in one frame."""
    config = OmegaConf.structured(Config)
    for override in parse_overrides(overrides):
        if not override.key_or_group.startswith("evaluate."):
            raise InputError(f"{override.key_or_group}: expected evaluate.* where no run is given")
        OmegaConf.update(config, override.key_or_group, override.value())
    values = OmegaConf.to_object(config.evaluate)
    assert isinstance(values, EvaluateConfig)
    validate(Config(output="unused", evaluate=values))
    if truth_path is None and values.points is None:
        raise InputError("nothing to compare with: give truth=FILE, evaluate.points=FILE.npz or run=RUN")
    mesh = read_mesh(mesh_path)
    metrics: dict[str, float] = {}
    if truth_path is not None:
        samples, share = values.chamfer_samples, values.fscore_threshold
        metrics |= mesh_metrics(mesh, read_mesh(truth_path), samples=samples, threshold_share=share, seed=0)
    if values.points is not None:
        metrics |= point_metrics(load_points(Path(values.points)), mesh)
    return metrics


def update_metrics(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """Bring RUN/metrics.json up to date; keys that were not measured stay."""
    path = run_dir / METRICS_NAME
    try:
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"{path}: expected the JSON that train.py writes, got {error}") from error
    write_metrics(run_dir, {**earlier, **metrics})


def main(argv: Sequence[str]) -> int:
    """Evaluate, print, and write."""
    paths: dict[str, Path | None] = dict.fromkeys(("run", "mesh", "truth", "out"))
    rest = list(argv)
    for key in paths:
        if any(argument.startswith(f"{key}=") for argument in rest):
            value, rest = pop_argument(rest, key)
            paths[key] = Path(value)
    run_dir, mesh_path = paths["run"], paths["mesh"]
    if run_dir is not None:
        if paths["truth"] is not None:
            raise InputError("truth: cannot be used together with run, which knows its scene's ground truth")
        metrics = evaluate_run(run_dir, mesh_path, rest)
        if mesh_path is None:
            update_metrics(run_dir, metrics)
    elif mesh_path is not None:
        metrics = evaluate_mesh(mesh_path, paths["truth"], rest)
    else:
        raise InputError("expected run=RUN or mesh=FILE")
    for name, number in metrics.items():
        print(f"{name:<18} {number:.4f}")
    if paths["out"] is not None:
        write_atomic(paths["out"], json.dumps(metrics, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
