"""How well an MCC completes procedural objects that it has not seen: figures, and a picture of some of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nto3d.config.io import parse_options
from nto3d.config.single import FIRST_HELD_OUT, TrainMccConfig
from nto3d.data.object_views import ObjectViews
from nto3d.data.synthetic.endless import object_mesh, random_object
from nto3d.data.synthetic.pool import PoolSpec, one_object
from nto3d.errors import InputError
from nto3d.mcc.model import Mcc
from nto3d.mcc.query import logit_of
from nto3d.mcc.surface import shell_surface
from nto3d.mcc.weights import load_mcc, save_mcc
from nto3d.progress import progress_bar
from nto3d.report.pictures import write_png
from nto3d.report.shade import shade_mesh
from nto3d.report.sheet import captioned
from nto3d.stages.mcc.assess import Completed, HeldOut, calibrate, complete_view, mean_scores
from nto3d.types import ByteArray, Mesh

TILE, AROUND = 128, 2  # pixels of a picture; objects in a row of the sheet
BATCH = 8192


@dataclass
class Options:
    """What can be given as key=value."""

    weights: str = ""
    objects: int = 50
    first: int = FIRST_HELD_OUT
    granularity: float = 0.05
    thresholds: list[float] = dataclasses.field(default_factory=lambda: [0.3])
    extent: float = 3.0
    cache: str | None = None
    calibrated: str | None = None
    picture: str | None = None
    pictured: int = 10


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if not options.weights:
        raise InputError("weights is missing: give the network as weights=FILE")
    if not options.thresholds or not all(0 < value < 1 for value in options.thresholds):
        raise InputError(f"thresholds: expected numbers between 0 and 1, got {options.thresholds}")
    if not 0.005 <= options.granularity <= options.extent <= 10.0:
        raise InputError(f"expected 0.005 <= granularity <= extent <= 10, got {options.granularity}, {options.extent}")
    if min(options.objects, options.pictured) < 1 or options.first < 0:
        raise InputError("expected objects and pictured of at least 1, and first of at least 0")
    for path in (options.picture, options.calibrated):
        if path is not None and not Path(path).parent.is_dir():
            raise InputError(f"cannot write {path}: there is no folder {Path(path).parent}")
    return options


def evaluate_mcc(options: Options, say: Callable[[str], None]) -> None:
    """Measure a network and draw where asked, or write it with its answers shifted.

    Args:
        say: is told the means over the objects, a line a threshold.

    Raises:
        InputError: the weights cannot be used, or a file cannot be written.
    """
    model = load_mcc(Path(options.weights))
    spec = PoolSpec(
        side=TILE,
        points=TrainMccConfig.surface_points,
        cache=None if options.cache is None else Path(options.cache),
    )
    if options.calibrated is not None:
        views = [HeldOut.of(one_object(options.first + k, spec), 0, model.sizes) for k in range(options.objects)]
        best = calibrate(model, views, options.granularity, options.thresholds[0], BATCH)
        save_mcc(model, Path(options.calibrated))
        say(f"the best threshold was {best:.2f}, now it is {options.thresholds[0]:g}: {options.calibrated}")
        return
    completed, rows, seconds = _complete(model, spec, options)
    asked = float(np.mean([one.found.asked / one.found.logit.size for one in completed]))
    say(f"{len(completed)} objects, {seconds / len(completed):.1f} s and {100 * asked:.1f} % of the places each")
    for threshold in sorted(options.thresholds):
        scores = mean_scores(completed, threshold)
        say(f"threshold {threshold:g}: " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if options.picture is not None:
        write_png(Path(options.picture), _in_columns(rows))


def _complete(model: Mcc, spec: PoolSpec, options: Options) -> tuple[list[Completed], list[ByteArray], float]:
    """The objects completed, pictures of the first of them where asked, and the seconds that completing took."""
    completed: list[Completed] = []
    rows: list[ByteArray] = []
    lowest, seconds = min(options.thresholds), 0.0
    with progress_bar("objects") as update:
        for number, seed in enumerate(range(options.first, options.first + options.objects)):
            item = one_object(seed, spec)
            view = HeldOut.of(item, 0, model.sizes)
            begun = time.perf_counter()
            one = complete_view(model, view, options.granularity, lowest, BATCH, options.extent)
            seconds += time.perf_counter() - begun
            completed.append(one)
            if options.picture is not None and number < options.pictured:
                rows.append(_row(item, seed, view, one, options.thresholds[0]))
            update(number + 1, options.objects)
    return completed, rows, seconds


def _row(item: ObjectViews, seed: int, view: HeldOut, one: Completed, threshold: float) -> ByteArray:
    """What was seen, then the found and the true surface from the camera, then both from behind."""
    level = logit_of(threshold)
    kept = one.found.logit[one.found.occupied] > level
    mesh = shell_surface(dataclasses.replace(one.found, level=level, rgb=one.found.rgb[kept]))
    place = view.subject.place
    found = Mesh(
        ((mesh.vertices - place[:, 3]) @ np.linalg.inv(place[:, :3]).T).astype(np.float32), mesh.faces, mesh.colors
    )
    truth = object_mesh(random_object(seed))
    front = item.cameras.cam_to_world[0]
    around = np.diag([-1.0, -1.0, 1.0])  # half a turn about the object's upright axis
    back = around @ front
    intrinsics = item.cameras.intrinsics[0]
    pictures = [np.where(item.masks[0][..., None], item.images[0], item.images[0] // 3)]
    pictures += [
        shade_mesh(shown, intrinsics, pose, (TILE, TILE)) for pose in (front, back) for shown in (found, truth)
    ]
    names = [item.name, "found", "true", "found, behind", "true, behind"]
    tiles = [captioned(picture, name, TILE) for picture, name in zip(pictures, names, strict=True)]
    return np.concatenate(tiles, axis=1)


def _in_columns(rows: Sequence[ByteArray]) -> ByteArray:
    """Pictures of objects, uint8 [h, w, 3] of one size, in AROUND columns."""
    columns = [np.concatenate(rows[start::AROUND]) for start in range(min(AROUND, len(rows)))]
    height = max(len(column) for column in columns)
    padded = [np.pad(column, ((0, height - len(column)), (0, 8), (0, 0)), constant_values=255) for column in columns]
    return np.concatenate(padded, axis=1)
