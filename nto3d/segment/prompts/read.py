"""Prompts, in NTO3D's file format or from the command line: read, checked and mapped to the scene's pixels.

A file (`segment.prompts.file`) may point at several objects; what has no name is one object. Coordinates are pixels
(x, y) of the picture file as it lies on disk, whatever the scene's reduction; integers are pixel centres.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nto3d.config.bundled import INSTALLED
from nto3d.config.schema import PromptsConfig
from nto3d.errors import InputError
from nto3d.parsers.pictures import open_picture
from nto3d.segment.prompts.file import FILE_NAME, Frame, read_frames
from nto3d.segment.prompts.values import Keys, make_prompts, pixels_of, short
from nto3d.types import FloatArray, Prompts, Scene

IMAGE_FOLDERS = ("image", "images")  # where a scene's picture files lie


ObjectPrompts = dict[str | None, tuple[Prompts, ...]]  # by name; None: the only object, without one


def read_prompts(config: PromptsConfig, scene_path: Path, scene: Scene, downscale: int) -> tuple[Prompts, ...]:
    """`read_objects` where there may be one object only.

    Raises:
        InputError: as `read_objects`, or there are several.
    """
    objects = read_objects(config, scene_path, scene, downscale)
    if len(objects) > 1:
        names = ", ".join(str(name) for name in objects)
        raise InputError(f"{_path(config, scene_path)}: expected one object, got {names}")
    return next(iter(objects.values()))


def read_objects(config: PromptsConfig, scene_path: Path, scene: Scene, downscale: int) -> ObjectPrompts:
    """What points at the targets, from the command line or from a file.

    Args:
        config: `view` with `points`, `labels`, `box`; or `file`; or nothing, for `prompts.json` in the scene's folder,
            which is not looked at where there is a `text`.
        scene_path: the scene's folder. scene: as read from it.
        downscale: whole factor by which its pictures were reduced.

    Returns:
        Of each object one a view, ascending, in pixels of `scene.images`; none where there is a `text` alone.

    Raises:
        InputError: there are none, the file is malformed, or a prompt is impossible (outside the picture, a view that
            does not exist, nothing that points at the target, ...).
    """
    objects = read_unreduced(config, scene_path, scene, downscale)
    size = scene.cameras.size
    return {name: tuple(to_scene_pixels(some, size, downscale) for some in frames) for name, frames in objects.items()}


def read_unreduced(config: PromptsConfig, scene_path: Path, scene: Scene, downscale: int) -> ObjectPrompts:
    """As `read_objects`, but in pixels of the picture files."""
    frames = _from_command_line(config)
    if frames is None and config.file is None and config.text is not None:
        return {None: ()}
    if frames is None:
        path = _path(config, scene_path)
        if config.file is None and not path.exists():
            click = "prompts.view=0 'prompts.points=[[x,y]]'"
            script = f"python scripts/annotate.py {shlex.quote(f'scene={scene_path}')} view=0 'points=[[x,y]]'"
            written = "" if INSTALLED else f", or write it: {script}"  # an installation is without scripts/
            raise InputError(
                f"{path}: no such file, nothing points at the target: pass {click}{written}; "
                "segmenter=precomputed takes the masks of the folder instead"
            )
        frames = read_frames(path)
    size = file_size(scene_path, scene, downscale)
    objects: ObjectPrompts = {}
    for frame in frames:
        check_inside(frame.prompts, len(scene.cameras), size, frame.keys)
        objects[frame.name] = (*objects.get(frame.name, ()), frame.prompts)
    check_apart(objects, "prompts" if config.view is not None else str(_path(config, scene_path)))
    return objects


def was_read(config: PromptsConfig, scene_path: Path) -> Path | None:
    """The file that prompts come from; None where they come from the command line, or there is a noun."""
    from_file = config.view is None and (config.file is not None or config.text is None)
    return _path(config, scene_path) if from_file else None


def check_apart(objects: Mapping[str | None, Sequence[Prompts]] | Mapping[str, Sequence[Prompts]], where: str) -> None:
    """Whether no two objects have a positive click on the same pixel.

    Args:
        where: the prompts come from.

    Raises:
        InputError: two have.
    """
    taken: dict[tuple[int, ...], str | None] = {}
    for name, frames in objects.items():
        for prompts in frames:
            for x, y in pixels_of(prompts.points[prompts.labels == 1]).astype(int):
                other = taken.setdefault((prompts.view, int(x), int(y)), name)
                if other != name:
                    raise InputError(
                        f"{where}: expected positive clicks of {other} and {name} on different pixels, "
                        f"both have [{x}, {y}] in view {prompts.view}"
                    )


def with_click(frames: Sequence[Prompts], click: Prompts) -> tuple[Prompts, ...]:
    """An object's prompts and one more click [1, 2], which replaces one on the same pixel; a box grows to hold it."""
    joined = click
    for prompts in frames:
        if prompts.view != click.view:
            continue
        other = (pixels_of(prompts.points) != pixels_of(click.points)).any(axis=1)
        box = prompts.box
        if box is not None and click.labels[0] == 1:
            box = np.concatenate([np.minimum(box[:2], click.points[0]), np.maximum(box[2:], click.points[0])])
        points = np.concatenate([prompts.points[other], click.points])
        labels = np.concatenate([prompts.labels[other], click.labels])
        joined = dataclasses.replace(prompts, points=points, labels=labels, box=box)
    found = [*(prompts for prompts in frames if prompts.view != click.view), joined]
    return tuple(sorted(found, key=lambda prompts: prompts.view))


def _path(config: PromptsConfig, scene_path: Path) -> Path:
    return Path(config.file) if config.file is not None else scene_path / FILE_NAME


def beside(objects: Mapping[str, Sequence[Prompts]], name: str) -> tuple[Prompts, ...]:
    """Positive clicks of all other objects as negative ones: what they lie on is not the object `name`."""
    others = (prompts for other, frames in objects.items() if other != name for prompts in frames)
    positive = ((prompts.view, prompts.points[prompts.labels == 1]) for prompts in others)
    return tuple(Prompts(view, points, np.zeros(len(points), np.int64)) for view, points in positive if len(points))


def refusing(prompts: Prompts, others: Sequence[Prompts]) -> Prompts:
    """An object's prompts in which clicks on others in the same view are negative ones.

    A click on a pixel that both have, or on a pixel that is a negative click already, says nothing new.
    """
    taken = pixels_of(prompts.points)
    for other in others:
        if other.view != prompts.view:
            continue
        pixels = pixels_of(other.points)
        fresh = other.points[~(pixels[:, None] == taken[None]).all(axis=2).any(axis=1)]
        points = np.concatenate([prompts.points, fresh])
        labels = np.concatenate([prompts.labels, np.zeros(len(fresh), np.int64)])
        prompts = dataclasses.replace(prompts, points=points, labels=labels)
    return prompts


def check_inside(prompts: Prompts, views: int, size: tuple[int, int], keys: Keys) -> None:
    """Checks prompts, in pixels of the picture file, against the scene.

    Args:
        views: how many there are. size: (H, W) of the picture files. keys: what the user calls the values.

    Raises:
        InputError: there is no such view, or a point or the box leaves the picture.
    """
    if not 0 <= prompts.view < views:
        raise InputError(f"{keys.view}: expected a view from 0 to {views - 1}, got {prompts.view}")
    end = np.array([size[1], size[0]], dtype=np.float64)
    picture = f"the picture of {size[1]} x {size[0]} pixels"
    for index, point in enumerate(prompts.points):
        if ((point < -0.5) | (point > end - 0.5)).any():
            raise InputError(f"{keys.points}[{index}]: expected [x, y] inside {picture}, got {short(point)}")
    # A box may end at W and H: its far edges are often written so
    if prompts.box is not None and ((prompts.box[:2] < -0.5).any() or (prompts.box[2:] > end).any()):
        raise InputError(f"{keys.box}: expected [x0, y0, x1, y1] inside {picture}, got {short(prompts.box)}")


def to_scene_pixels(prompts: Prompts, size: tuple[int, int], factor: int) -> Prompts:
    """Prompts in pixels of a picture file, mapped to the picture reduced by a whole factor.

    The corner (-0.5, -0.5) stays where it is (see `geometry.cameras.scale_intrinsics`). A reduction crops what fills no
    block at the right and lower border: what points there moves to the last pixel.

    Args:
        size: (H, W) of the reduced picture.
    """
    last = np.array([size[1], size[0]]) - 1.0

    def mapped(xy: FloatArray) -> FloatArray:
        moved = (xy + 0.5) / factor - 0.5
        return np.where(moved > last + 0.5, last, moved)

    box = None
    if prompts.box is not None:
        corners = (prompts.box.reshape(2, 2) + 0.5) / factor - 0.5
        box = np.minimum(corners, last + 0.5).reshape(4)
    return dataclasses.replace(prompts, points=mapped(prompts.points), box=box)


def to_file_pixels(xy: FloatArray, factor: int) -> FloatArray:
    """Coordinates [..., 2] in a picture reduced by a whole factor, in pixels of its file; see `to_scene_pixels`."""
    return (xy + 0.5) * factor - 0.5


def file_size(scene_path: Path, scene: Scene, downscale: int) -> tuple[int, int]:
    """(H, W) of the picture files; of the part of them that the scene uses where they are not found."""
    height, width = scene.cameras.size
    for folder in IMAGE_FOLDERS:
        path = scene_path / folder / scene.names[0]
        if path.is_file():
            with open_picture(path) as picture:  # reads the header only
                if (picture.height // downscale, picture.width // downscale) == (height, width):
                    return picture.height, picture.width
    return height * downscale, width * downscale


def _from_command_line(config: PromptsConfig) -> list[Frame] | None:
    given = [key for key in ("view", "points", "labels", "box") if getattr(config, key) is not None]
    if not given:
        return None
    if config.file is not None:
        raise InputError(f"prompts.{given[0]}: cannot be given together with prompts.file={config.file}")
    if config.view is None:
        raise InputError(f"prompts.view is missing: expected the view that prompts.{given[0]} belongs to")
    if config.points is None and config.box is None:
        raise InputError(f"prompts.points is missing: expected [[x,y]] on the target in view {config.view}, or a box")
    keys = Keys()
    return [Frame(keys, None, make_prompts(config.view, config.points, config.labels, config.box, keys))]
