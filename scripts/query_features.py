"""Ask a run's feature field: where is the object like this point?

    python scripts/query_features.py run=RUN view=I 'point=[x,y]'
    python scripts/query_features.py run=RUN vertex=N          a vertex of RUN/mesh.ply

The run was trained with field=neus_feature. The point is in pixels (x, y) of the picture file as it lies on disk,
whatever the run's scene.downscale, as in prompts; integers are pixel centres. What is asked for is the feature that the
field renders there; the answer is its cosine with the features of every vertex, and of every pixel of some views.

Writes into `out=FOLDER` (default RUN/query): similarity.ply, the mesh with vertices coloured by similarity;
similarity.npz (similarity float32 [M], feature [C], and view and point, or vertex); view_%03d.png, the pictures with a
heat map on the target; query.png, all of it on one sheet, pictures `size=N` pixels wide (default 360). `views=[...]`
chooses the pictures: by default the asked view and five others, spread evenly over all. Other keys: scene.path, device,
threads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from torch import Tensor  # noqa: E402

from nto3d.build.device import build_device  # noqa: E402
from nto3d.cli import guarded  # noqa: E402
from nto3d.config.io import parse_options  # noqa: E402
from nto3d.config.schema import Config, MaskUse  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.export.mesh_io import read_mesh, write_mesh  # noqa: E402
from nto3d.files import write_arrays  # noqa: E402
from nto3d.report.pictures import write_png  # noqa: E402
from nto3d.report.shade import Shading, guess_up, turntable  # noqa: E402
from nto3d.report.sheet import COLUMNS, captioned, sheet  # noqa: E402
from nto3d.runs.folder import MASKS_NAME, load_run_config  # noqa: E402
from nto3d.runs.lift.files import read_masks  # noqa: E402
from nto3d.runs.stored import open_run  # noqa: E402
from nto3d.segment.prompts.read import file_size, to_scene_pixels  # noqa: E402
from nto3d.stages.features.query import (  # noqa: E402
    PALETTE,
    check_views,
    colored_mesh,
    feature_at_pixel,
    feature_at_vertex,
    heat_picture,
    looking_at,
    marked,
    masked_near,
    shown_views,
    similarity_range,
    vertex_similarity,
    view_similarity,
)
from nto3d.stages.features.term import SOLID  # noqa: E402
from nto3d.stages.model import SurfaceModel  # noqa: E402
from nto3d.types import BoolArray, ByteArray, FloatArray, Mesh, Prompts, Scene  # noqa: E402

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
class Asked:
    """What was asked for.

    Attributes:
        title: in words. feature: [C]. view, xy: where it is marked, in pixels of the scene; None: seen nowhere.
    """

    title: str
    feature: Tensor
    view: int | None
    xy: tuple[float, float] | None


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
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
    return options


def scene_pixel(options: Options, config: Config, scene: Scene) -> tuple[float, float] | None:
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


def target_masks(run_dir: Path, scene: Scene) -> BoolArray | None:
    """Where the target is seen, [V, H, W]: as the run found from a click, else by the scene's masks, if it has any."""
    found = run_dir / MASKS_NAME
    return read_masks(found, scene) if found.is_dir() else scene.masks


def ask(
    options: Options,
    config: Config,
    model: SurfaceModel,
    scene: Scene,
    mesh: Mesh,
    masks: BoolArray | None,
    xy: tuple[float, float] | None,
) -> Asked:
    """The asked feature.

    Args:
        mesh: normalized frame. masks: [V, H, W] of the target, or None.
        xy: the asked pixel of the scene's picture, if one is asked for.

    Raises:
        InputError: the surface is not seen at the point, or there is no such vertex.
    """
    if xy is not None:
        assert options.view is not None
        assert options.point is not None
        place = "[{:g},{:g}]".format(*options.point)
        feature, opacity = feature_at_pixel(model, scene, options.view, xy, config.trainer.step_size)
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
    feature = feature_at_vertex(model, mesh.vertices[options.vertex])
    view, seen_at = looking_at(mesh, scene, masks, options.vertex) or (None, None)
    where = "seen by no view" if view is None else f"in view {view}"
    return Asked(f"vertex {options.vertex}, {where}", feature, view, seen_at)


def write_numbers(path: Path, options: Options, similarity: FloatArray, feature: Tensor) -> None:
    """Write similarity.npz, atomically."""
    numbers = {"similarity": similarity, "feature": feature.cpu().numpy()}
    for key in ("view", "point", "vertex"):
        if getattr(options, key) is not None:
            numbers[key] = np.asarray(getattr(options, key))
    write_arrays(path, numbers)
    print(path)


def config_and_mesh(options: Options, overrides: Sequence[str]) -> tuple[Config, Mesh]:
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


def _write(path: Path, picture: ByteArray) -> None:
    """Write a picture, and say where."""
    write_png(path, picture)
    print(path)


def main(argv: Sequence[str]) -> int:
    """Ask, write the answer, and say where it is."""
    overrides = [argument for argument in argv if argument.split("=")[0] in RUN_KEYS]
    options = read_options([argument for argument in argv if argument not in overrides])
    config, mesh = config_and_mesh(options, overrides)
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    check_views(options.views or [], len(scene.cameras), "views")
    xy = scene_pixel(options, config, scene)
    masks = None if config.scene.masks is MaskUse.none else target_masks(Path(options.run), scene)
    stored = open_run(Path(options.run), config, device)
    model, world_from_normalized = stored.model, stored.world_from_normalized
    if model.features is None:
        raise InputError(f"run: expected a checkpoint with a feature field, {options.run} has none")
    dt = config.trainer.step_size
    normalized = mesh.transformed(np.linalg.inv(world_from_normalized))
    asked = ask(options, config, model, scene, normalized, masks, xy)
    similarity = vertex_similarity(model, normalized.vertices, asked.feature)
    scale = similarity_range(similarity)

    out = Path(options.out) if options.out is not None else Path(options.run) / "query"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: cannot make the folder {out}: {error.strerror}") from error
    for earlier in out.glob("view_[0-9]*.png"):  # of another question
        earlier.unlink()
    colored = colored_mesh(mesh, similarity, scale)
    write_mesh(colored, out / "similarity.ply")
    print(out / "similarity.ply")
    write_numbers(out / "similarity.npz", options, similarity, asked.feature)
    tiles = []
    if asked.view is not None and asked.xy is not None:
        picture = marked(scene.images[asked.view], asked.xy)
        tiles.append(captioned(picture, f"asked: {asked.title}", options.size))
    for view in options.views or shown_views(len(scene.cameras), asked.view):
        seen = view_similarity(model, scene, view, asked.feature, dt)
        picture = heat_picture(scene.images[view], seen, scale, None if masks is None else masks[view])
        if view == asked.view and asked.xy is not None:
            picture = marked(picture, asked.xy)
        _write(out / f"view_{view:03d}.png", picture)
        tiles.append(captioned(picture, f"view {view}", options.size))
    up = world_from_normalized[:3, :3] @ guess_up(scene.cameras.cam_to_world) / scene.scale
    turns = turntable(colored, COLUMNS, (options.size, options.size), up, Shading.color)
    title = f"{scene.name}: similarity to {asked.title} (cosine of features)"
    _write(out / "query.png", sheet(tiles, turns, scale, PALETTE, title))
    print(f"similarity {float(similarity.min()):.3f} to {float(similarity.max()):.3f}", end=", ")
    print(f"shown from {scale[0]:.3f} to {scale[1]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
