"""Measure a finished reconstruction against held-out views and ground truth, and write the report."""

from __future__ import annotations

import colorsys
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nto3d.config.schema import EvaluateConfig
from nto3d.evaluate.geometry import load_points, mesh_metrics, point_metrics
from nto3d.evaluate.images import image_metrics, matched, psnr, ssim
from nto3d.evaluate.masks import iou
from nto3d.export.clean import clean_mesh
from nto3d.files import write_atomic
from nto3d.report.lift import LiftRound
from nto3d.report.page.features import FeaturePictures
from nto3d.report.page.figures import Color
from nto3d.report.page.page import write_report
from nto3d.report.pictures import ViewPictures
from nto3d.report.shade import Shading, guess_up, turntable
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.render import render_view
from nto3d.training.log import METRICS_NAME, History
from nto3d.types import BoolArray, FloatArray, Mesh, Scene

log = logging.getLogger("nto3d")
REPORT_VIEWS = 6
REPORT_SIDE = 480  # longest side of a picture in the report
FRAMES, TURNTABLE = 10, (300, 300)  # of a turntable in the report: pictures, and their size
# Of the turntable that shows what is seen: from above to below, where most of what is unseen lies
SWAY = tuple(np.radians((18, 18, 0, -20, -40, -55, -40, -20, 0, 18)))
SEEN_KEY = {"seen by a training view": (78, 143, 214), "seen by no training view": (237, 125, 49)}
REPORT_NAME = "report.html"


@dataclass
class Pictures:
    """What the report shows of a finished model.

    Attributes:
        views: held-out views. features: of the same views, and feature_mesh: the mesh (world units) coloured by its
            features, where there is a feature field.
        parts: the named objects' meshes, world units. lifts: rounds of each lift by the object's name, or "".
    """

    views: list[ViewPictures] = field(default_factory=list)
    features: list[FeaturePictures] = field(default_factory=list)
    feature_mesh: Mesh | None = None
    parts: Mapping[str, Mesh] = field(default_factory=dict)
    lifts: Mapping[str, Sequence[LiftRound]] = field(default_factory=dict)


def assess_views(
    model: SurfaceModel, scene: Scene, masks: BoolArray | None, config: EvaluateConfig, dt: float
) -> tuple[dict[str, float], list[ViewPictures]]:
    """Render the held-out views and compare them.

    Args:
        masks: [V, H, W] of the target where the model was trained with masks: renders are compared on black outside.
        dt: sample length, normalized units.

    A model with exposures is compared at the gain and offset that fit each picture best, see `evaluate.images.matched`.

    Returns:
        Means over the views of `psnr psnr_mask ssim ssim_mask mask_iou`, and pictures for the report.
    """
    views = scene.test[: config.max_views] if config.max_views is not None else scene.test
    rows: list[dict[str, float]] = []
    pictures: list[ViewPictures] = []
    for view in views:
        rendered = render_view(model, scene, view, dt)
        mask = None if masks is None else masks[view]
        truth = scene.images[view].astype(np.float32) / 255.0
        render = rendered.rgb.astype(np.float32) / 255.0
        if model.exposure is not None:
            opacity = rendered.opacity if model.background is None else np.ones_like(rendered.opacity)
            render = matched(render, truth, opacity, mask)
        row = image_metrics(render, truth, mask)
        if mask is not None:
            row["mask_iou"] = iou(rendered.mask, mask)
            truth = truth * mask[..., None]
        elif scene.masks is not None and scene.masks[view].any():
            inside = scene.masks[view]
            row |= {"psnr_mask": psnr(render, truth, inside), "ssim_mask": ssim(render, truth, inside)}
        rows.append(row)
        if len(pictures) < REPORT_VIEWS:
            step = max(1, -(-max(truth.shape[:2]) // REPORT_SIDE))
            small = (slice(None, None, step), slice(None, None, step))
            normal = rendered.normal * rendered.opacity[..., None]
            depth = np.where(rendered.mask, rendered.depth, 0.0)
            pictures.append(
                ViewPictures(scene.names[view], truth[small], render[small], normal[small], depth[small], row)
            )
    keys = {key for row in rows for key in row}
    means = {key: float(np.mean([row[key] for row in rows if key in row])) for key in sorted(keys)}
    return means, pictures


def assess_mesh(mesh: Mesh, scene: Scene, config: EvaluateConfig, whole: bool, seed: int) -> dict[str, float]:
    """Distances of a mesh (world units) from the scene's ground truth and from check points, where there are any.

    Args:
        whole: the mesh holds everything in the sphere, not the target alone: compare within the sphere.
    """
    metrics: dict[str, float] = {}
    if scene.gt_mesh is not None:
        samples, threshold = config.chamfer_samples, config.fscore_threshold
        compared = clean_mesh(mesh, largest_only=False, min_area_share=0.0) if whole else mesh
        metrics |= mesh_metrics(compared, scene.gt_mesh, samples=samples, threshold_share=threshold, seed=seed)
    if config.points is not None:
        metrics |= point_metrics(load_points(Path(config.points)), mesh)
    return metrics


def seen_colors(mesh: Mesh) -> Mesh:
    """A mesh with `seen` in two colours, those of SEEN_KEY."""
    assert mesh.seen is not None
    colors = np.array(list(SEEN_KEY.values()), dtype=np.uint8)
    return replace(mesh, colors=colors[(mesh.seen == 0).astype(np.int64)])


def object_key(names: Iterable[str]) -> dict[str, Color]:
    """A colour for each name: hues as far apart as they can be."""
    listed = list(names)
    hues = {name: colorsys.hsv_to_rgb(index / len(listed), 0.55, 0.9) for index, name in enumerate(listed)}
    return {name: (round(255 * r), round(255 * g), round(255 * b)) for name, (r, g, b) in hues.items()}


def part_colors(mesh: Mesh, parts: Mapping[str, Mesh], key: Mapping[str, Color]) -> Mesh:
    """A mesh that consists of named parts, one behind the other, in a colour for each."""
    colors = [np.full((len(part.vertices), 3), key[name], dtype=np.uint8) for name, part in parts.items()]
    return replace(mesh, colors=np.concatenate(colors))


def write_metrics(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """Write RUN/metrics.json, one flat object."""
    write_atomic(run_dir / METRICS_NAME, json.dumps(dict(metrics), indent=2) + "\n")


def report_metrics(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """The end of a run: RUN/metrics.json, and a line of the log for each."""
    write_metrics(run_dir, metrics)
    for name, value in metrics.items():
        log.info("%-18s %.4f", name, value)


def history_curves(history: History) -> dict[str, tuple[FloatArray, FloatArray]]:
    """What was logged, as the report draws it: name -> (steps [N], values [N])."""
    return {name: (np.asarray(steps), np.asarray(values)) for name, (steps, values) in history.items()}


def write_run_report(
    run_dir: Path,
    scene: Scene,
    mesh: Mesh,
    metrics: Mapping[str, float],
    pictures: Pictures,
    history: History,
    command: str,
    config_yaml: str,
) -> None:
    """Write RUN/report.html."""
    up = guess_up(scene.cameras.cam_to_world[list(scene.train)])
    up = scene.world_from_normalized[:3, :3] @ up / scene.scale
    shadings = {"Shape": Shading.clay} | ({"Colour": Shading.color} if mesh.colors is not None else {})
    turntables = {name: turntable(mesh, FRAMES, TURNTABLE, up, shading) for name, shading in shadings.items()}
    keys: dict[str, Mapping[str, Color]] = {"Seen": SEEN_KEY}
    if len(pictures.parts) > 1:
        keys["Objects"] = object_key(pictures.parts)
        told_apart = part_colors(mesh, pictures.parts, keys["Objects"])
        turntables["Objects"] = turntable(told_apart, FRAMES, TURNTABLE, up, Shading.color)
    if mesh.seen is not None:
        turntables["Seen"] = turntable(seen_colors(mesh), FRAMES, TURNTABLE, up, Shading.color, SWAY)
    if pictures.feature_mesh is not None:
        turntables["Features"] = turntable(pictures.feature_mesh, FRAMES, TURNTABLE, up, Shading.color)
    write_report(
        run_dir / REPORT_NAME,
        title=f"{scene.name}: reconstruction",
        command=command,
        metrics=metrics,
        views=pictures.views,
        curves=history_curves(history),
        turntables=turntables,
        config_yaml=config_yaml,
        lifts=pictures.lifts,
        features=pictures.features[:REPORT_VIEWS],
        keys=keys,
    )
