"""A question to a run's feature field, where is the object like this point: its options, and the asked feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from nto3d.build.device import build_device
from nto3d.config.io import parse_options
from nto3d.config.schema import Config, MaskUse
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.export.mesh_io import read_mesh
from nto3d.runs.folder import MASKS_NAME, load_run_config
from nto3d.runs.lift.files import read_masks
from nto3d.runs.stored import open_run
from nto3d.segment.prompts.read import file_size, to_scene_pixels
from nto3d.stages.features.query import (
    check_views,
    feature_at_pixel,
    feature_at_vertex,
    looking_at,
    masked_near,
)
from nto3d.stages.features.term import SOLID
from nto3d.stages.model import SurfaceModel
from nto3d.types import BoolArray, FloatArray, Mesh, Prompts, Scene

RUN_KEYS = ("scene.path", "device", "threads")  # of the run's configuration, that may be changed


@dataclass
class Options:
    """What can be given as key=value."""

    run: str = ""
    view: int | None = None
    point: list[float] | None = None  # [x, y], pixels of the picture file
    vertex: int | None = None
    out: str | None = None
    views: list[int] | None = None
    size: int = 360  # pixels, the width of one picture on the sheet


@dataclass(frozen=True)
class AskedRun:
    """A run that is asked.

    Attributes:
        model: with a feature field. scene: its pictures. masks: [V, H, W] of the target, or None.
        mesh, normalized: in world units, and in the normalized frame. world_from_normalized: [4, 4].
        xy: the asked pixel of the scene's pictures; None where a vertex is asked for. dt: sample length, normalized.
    """

    model: SurfaceModel
    scene: Scene
    masks: BoolArray | None
    mesh: Mesh
    normalized: Mesh
    world_from_normalized: FloatArray
    xy: tuple[float, float] | None
    dt: float


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        title: in words. feature: [C]. view, xy: where it is marked, in pixels of the scene; None: seen nowhere.
    """

    title: str
    feature: Tensor
    view: int | None
    xy: tuple[float, float] | None


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """The options from `key=value` arguments, and overrides for the run's configuration.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    overrides = [argument for argument in argv if argument.split("=")[0] in RUN_KEYS]
    options = parse_options(Options, [argument for argument in argv if argument not in overrides])
    if not options.run:
        raise InputError("run is missing: give it as run=RUN")
    if (options.point is None) == (options.vertex is None):
        came = "neither" if options.point is None else "both"
        raise InputError(f"point: expected either view=I 'point=[x,y]' or vertex=N, got {came}")
    if options.point is not None and options.view is None:
        raise InputError("view is missing: give the view of the point as view=I")
    if options.vertex is not None and options.view is not None:
        raise InputError(f"view: expected together with point only (views=[...] chooses pictures), got {options.view}")
    if options.point is not None and len(options.point) != 2:
        raise InputError(f"point: expected [x,y] in pixels of the picture file, got {options.point}")
    if not 80 <= options.size <= 4000:
        raise InputError(f"size: expected 80 to 4000 pixels, got {options.size}")
    if options.views is not None and not options.views:
        raise InputError("views: expected at least one view, got []")
    return options, overrides


def open_asked(options: Options, overrides: Sequence[str]) -> AskedRun:
    """A run with what a question needs.

    Raises:
        InputError: it has no feature field, mesh, checkpoint or pictures, or there is no such view, pixel or vertex.
    """
    run_dir = Path(options.run)
    config, mesh = _config_and_mesh(options, overrides)
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    check_views(options.views or [], len(scene.cameras), "views")
    xy = _scene_pixel(options, config, scene)
    masks = None if config.scene.masks is MaskUse.none else _target_masks(run_dir, scene)
    stored = open_run(run_dir, config, device)
    if stored.model.features is None:
        raise InputError(f"run: expected a checkpoint with a feature field, {options.run} has none")
    world = stored.world_from_normalized
    normalized = mesh.transformed(np.linalg.inv(world))
    return AskedRun(stored.model, scene, masks, mesh, normalized, world, xy, config.trainer.step_size)


def ask(options: Options, run: AskedRun) -> Asked:
    """The asked feature.

    Raises:
        InputError: the surface is not seen at the point, or something stands in front of it.
    """
    model, scene, masks, xy = run.model, run.scene, run.masks, run.xy
    if xy is not None:
        assert options.view is not None
        assert options.point is not None
        place = "[{:g},{:g}]".format(*options.point)
        feature, opacity = feature_at_pixel(model, scene, options.view, xy, run.dt)
        if not opacity > SOLID:
            raise InputError(
                f"point: expected a pixel that shows the reconstructed surface (opacity above {SOLID}), got {place} "
                f"in view {options.view}, where it is {opacity:.2f}"
            )
        if masks is not None and not masked_near(masks[options.view], xy):
            raise InputError(
                f"point: expected a pixel that shows the target, got {place} in view {options.view}, where by its mask "
                "something else stands in front"
            )
        return Asked(f"view {options.view}, point {place}", feature, options.view, xy)
    assert options.vertex is not None
    feature = feature_at_vertex(model, run.normalized.vertices[options.vertex])
    view, seen_at = looking_at(run.normalized, scene, masks, options.vertex) or (None, None)
    where = "seen by no view" if view is None else f"in view {view}"
    return Asked(f"vertex {options.vertex}, {where}", feature, view, seen_at)


def _config_and_mesh(options: Options, overrides: Sequence[str]) -> tuple[Config, Mesh]:
    """The run's configuration and mesh (world units).

    Raises:
        InputError: it has no feature field or no mesh, or the mesh has no such vertex.
    """
    config = load_run_config(Path(options.run), overrides)
    if not config.field.feature:
        raise InputError(
            f"run: expected one with a feature field, {options.run} has none: train with field=neus_feature"
        )
    mesh = read_mesh(Path(options.run) / "mesh.ply")
    if options.vertex is not None and not 0 <= options.vertex < len(mesh.vertices):
        raise InputError(
            f"vertex: expected 0..{len(mesh.vertices) - 1} of {options.run}/mesh.ply, got {options.vertex}"
        )
    return config, mesh


def _scene_pixel(options: Options, config: Config, scene: Scene) -> tuple[float, float] | None:
    """The asked point in pixels of the scene's pictures; None where a vertex is asked for.

    Raises:
        InputError: there is no such view, or the point lies outside its picture.
    """
    if options.point is None or options.view is None:
        return None
    check_views([options.view], len(scene.cameras), "view")
    downscale = config.scene.downscale
    height, width = file_size(Path(config.scene.path), scene, downscale)
    x, y = options.point
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise InputError(
            f"point: expected [x,y] inside the picture file of {width} x {height} pixels, got [{x:g},{y:g}]"
        )
    prompts = Prompts(options.view, np.array([[x, y]]), np.ones(1, dtype=np.int64))
    moved = to_scene_pixels(prompts, scene.cameras.size, downscale).points[0]
    return float(moved[0]), float(moved[1])


def _target_masks(run_dir: Path, scene: Scene) -> BoolArray | None:
    """Where the target is seen, [V, H, W]: as the run found from a click, else by the scene's masks, if it has any."""
    found = run_dir / MASKS_NAME
    return read_masks(found, scene) if found.is_dir() else scene.masks
