"""A run on one picture: mask, depth, completion, mesh."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch

from nto3d.build.device import build_device
from nto3d.build.segmenter import build_finder, build_segmenter, check_weights
from nto3d.build.single import build_depth, build_mcc
from nto3d.config.schema import Config, Reader, SegmenterName
from nto3d.data.load import load_scene
from nto3d.depth.base import PointMap, seen_surface
from nto3d.errors import InputError
from nto3d.evaluate.geometry import point_metrics
from nto3d.export.mesh_io import write_points
from nto3d.mcc.model import Mcc
from nto3d.pipeline.single import complete_target, points_of_target
from nto3d.report.page.page import write_report
from nto3d.report.pictures import DEPTH_MAP, color_map, depth_range
from nto3d.report.recording import Recording, open_recording
from nto3d.report.shade import Shading, turntable
from nto3d.runs.folder import RECORDING_NAME, config_text, last_command, peak_memory_gb
from nto3d.segment.precomputed import given_masks
from nto3d.segment.prompts.read import read_prompts
from nto3d.stages.lift.text_prompt import TextPrompt
from nto3d.stages.mcc.complete import Completion
from nto3d.stages.reconstruct.assess import FRAMES, REPORT_NAME, TURNTABLE, report_metrics
from nto3d.stages.reconstruct.mesh import write_run_mesh
from nto3d.types import BoolArray, Prompts, Scene

log = logging.getLogger("nto3d")
UP = np.array([0.0, -1.0, 0.0])  # of a picture that is held upright: against the camera's y
CLOUD_NAME = "points.ply"


def run_single(config: Config) -> dict[str, float]:
    """From one picture with depth to a closed mesh in the camera's frame and the depth's unit.

    Raises:
        InputError: something the user can fix.
    """
    started = time.perf_counter()
    if config.resume is not None:
        raise InputError("resume: there is nothing to go on with in mode=single, it takes a minute: start it again")
    run_dir, view = Path(config.output), config.scene.view
    device = build_device(config)
    check_weights(config)
    model = build_mcc(config, device)
    scene = load_scene(config.scene, config.segmenter.name)
    if not 0 <= view < len(scene.cameras):
        raise InputError(f"scene.view: expected a view from 0 to {len(scene.cameras) - 1}, got {view}")
    if config.scene.reader is Reader.image:
        log.info("the camera is taken to see %g degrees along the picture's longer side", config.scene.fov_degrees)
    with open_recording(config.viewer.name, run_dir / RECORDING_NAME, f"nto3d {scene.name}") as recording:
        return _complete(config, scene, model, device, recording, started)


def _complete(
    config: Config, scene: Scene, model: Mcc, device: torch.device, recording: Recording, started: float
) -> dict[str, float]:
    run_dir, view = Path(config.output), config.scene.view
    camera = scene.cameras.intrinsics[view], np.eye(3, 4), scene.cameras.size
    recording.camera("camera", *camera)
    recording.picture("camera/picture", scene.images[view])
    mask, prompts = target_mask(config, scene)
    if prompts is not None:
        recording.prompt("camera/prompt", prompts)
    recording.at("pass", 0)
    recording.mask("camera/mask", mask)
    found = build_depth(config, scene, device).point_map(scene.images[view], scene.cameras.intrinsics[view])
    recording.depth("camera/depth", np.where(found.valid, found.points[..., 2], 0.0))
    found, mask = points_of_target(found, mask)
    result = complete_target(config, model, scene.images[view], found, mask, recording)
    points = found.points[mask & found.valid].astype(np.float64)
    recording.mesh("mesh", result.mesh)
    write_points(result.places, result.colors, run_dir / CLOUD_NAME)
    write_run_mesh(result.mesh, run_dir, config.export)
    size = float(np.linalg.norm(np.ptp(result.mesh.vertices, axis=0)))
    metrics = {"seen_points": float(len(points)), "places_asked": float(result.asked), "size": size}
    if config.evaluate.enabled:
        distances = point_metrics(points, result.mesh)
        metrics |= {f"seen_{name.removeprefix('points_')}": value for name, value in distances.items()}
    metrics["total_seconds"] = time.perf_counter() - started
    metrics["peak_memory_gb"] = peak_memory_gb()
    if config.evaluate.report:
        _report(config, run_dir, scene, mask, found, result, metrics)
    report_metrics(run_dir, metrics)
    log.info("mesh: %s", run_dir / "mesh.ply")
    return metrics


def target_mask(config: Config, scene: Scene) -> tuple[BoolArray, Prompts | None]:
    """The target in the view's picture, [H, W], given or from prompts; and these.

    Raises:
        InputError: there is neither, or the mask is empty.
    """
    view, prompts = config.scene.view, None
    if config.segmenter.name is SegmenterName.precomputed or config.scene.mask is not None:
        mask = given_masks(scene)[view]
    else:
        path = Path(config.scene.path)
        folder = path.parent if config.scene.reader is Reader.image else path
        asked = {one.view: one for one in read_prompts(config.prompts, folder, scene, config.scene.downscale)}
        finder = build_finder(config)
        if view not in asked and (asked or finder is None):
            raise InputError(f"prompts: expected one in view {view} (scene.view), got some in views {sorted(asked)}")
        prompts = asked.get(view)
        if prompts is not None and not prompts.targeted:
            raise InputError(f"prompts: expected a point of label 1 or a box in view {view} (scene.view), got neither")
        if finder is not None:
            clicks = [] if prompts is None else [prompts]
            mask = TextPrompt(finder, scene, str(config.prompts.text)).first(clicks, [view], 1)[view].pixels
        else:
            segmenter = build_segmenter(config)
            mask = segmenter.segment(segmenter.embed(scene.images[view]), asked[view]).pixels
    if not mask.any():
        raise InputError(f"the mask of view {view}: expected pixels of the target, it is empty")
    return mask, prompts


def _report(
    config: Config,
    run_dir: Path,
    scene: Scene,
    mask: BoolArray,
    found: PointMap,
    result: Completion,
    metrics: dict[str, float],
) -> None:
    picture = scene.images[config.scene.view]
    depth = np.where(found.valid, found.points[..., 2], 0.0)
    low, high = depth_range(np.where(mask, depth, 0.0))
    inputs = {
        "picture": picture,
        "target": np.where(mask[..., None], picture, picture // 4),
        "depth": color_map(depth, low, high, DEPTH_MAP, depth > 0),
    }
    turntables = {"Seen": turntable(seen_surface(found, mask, picture), FRAMES, TURNTABLE, UP, Shading.color)}
    shadings = {"Shape": Shading.clay, "Colour": Shading.color}
    write_report(
        run_dir / REPORT_NAME,
        title=f"{scene.name}: completed from one picture",
        command=last_command(run_dir),
        metrics=metrics,
        inputs=inputs,
        turntables=turntables
        | {name: turntable(result.mesh, FRAMES, TURNTABLE, UP, kind) for name, kind in shadings.items()},
        config_yaml=config_text(config),
    )
    log.info("report: %s", run_dir / REPORT_NAME)
