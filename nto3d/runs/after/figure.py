"""A run in one picture: of one view the picture, the mask, the render, its normals, and the shaded mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nto3d.build.device import build_device
from nto3d.config.schema import Config
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.export.mesh_io import read_mesh
from nto3d.report.pictures import normal_picture
from nto3d.report.shade import shade_mesh
from nto3d.runs.folder import MASKS_NAME, load_run_config
from nto3d.runs.lift.files import read_masks, true_masks
from nto3d.runs.stored import open_run
from nto3d.stages.views.render import render_view
from nto3d.types import ByteArray, FloatArray

GAP = 4  # white pixels between pictures


def run_figure(run_dir: Path, overrides: Sequence[str], view: int | None) -> ByteArray:
    """The pictures of one view side by side, uint8 [H, W, 3] RGB.

    Args:
        overrides: for the run's configuration. view: None: a held-out one.

    Raises:
        InputError: the run is not complete, or there is no such view.
    """
    parts = _panels(run_dir, load_run_config(run_dir, overrides), view)
    gap = np.full((len(parts[0]), GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1], axis=1)


def _panels(run_dir: Path, config: Config, view: int | None) -> list[ByteArray]:
    """The pictures of one view, uint8 [H, W, 3] RGB each.

    Raises:
        InputError: the run is not complete, or there is no such view.
    """
    mesh = read_mesh(run_dir / "mesh.ply")
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    # From a click, what the run found, though the scene may have masks, too
    found = (run_dir / MASKS_NAME).is_dir()
    masks = read_masks(run_dir / MASKS_NAME, scene) if found else true_masks(config, scene, run_dir)
    number = (scene.test or scene.train)[0] if view is None else view
    if not 0 <= number < len(scene.cameras):
        raise InputError(f"view: expected 0..{len(scene.cameras) - 1}, got {number}")
    stored = open_run(run_dir, config, device)
    model, world_from_normalized = stored.model, stored.world_from_normalized
    rendered = render_view(model, scene, number, config.trainer.step_size)
    normals = normal_picture(rendered.normal * rendered.opacity[..., None])
    normalized = mesh.transformed(np.linalg.inv(world_from_normalized))
    cameras = scene.cameras
    pose: FloatArray = cameras.cam_to_world[number]
    shaded = shade_mesh(normalized, cameras.intrinsics[number], pose, cameras.size)
    mask = [] if masks is None else [np.repeat(masks[number, ..., None], 3, axis=2).astype(np.uint8) * 255]
    return [scene.images[number], *mask, rendered.rgb, normals, shaded]
