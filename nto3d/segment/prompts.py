"""Prompts, in NTO3D's file format or from the command line: read, checked and mapped to the scene's pixels.

    {"frames": [{"index": view, "point": [[x, y], ...], "label": [1, ...], "box": [x0, y0, x1, y1]}, ...]}

A frame has `point`, `box` or both; without `label` all points lie on the target. Coordinates are pixels (x, y) of the
picture file as it lies on disk, whatever the scene's reduction; integers are pixel centres.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nto3d.config import PromptsConfig
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.types import FloatArray, IntArray, Prompts, Scene

FILE_NAME = "prompts.json"  # in the scene's folder
FRAME_KEYS = ("index", "point", "label", "box")
IMAGE_FOLDERS = ("image", "images")  # where a scene's picture files lie
FAR = 1e9  # pixels; no picture is that large


@dataclass(frozen=True)
class Keys:
    """What the user calls the values of one view's prompts: the start of an error's line."""

    view: str = "prompts.view"
    points: str = "prompts.points"
    labels: str = "prompts.labels"
    box: str = "prompts.box"


def read_prompts(config: PromptsConfig, scene_path: Path, scene: Scene, downscale: int) -> tuple[Prompts, ...]:
    """What points at the target, from the command line or from a file.

    Args:
        config: `view` with `points`, `labels`, `box`; or `file`; or nothing, for `prompts.json` in the scene's folder,
            which is not looked at where there is a `text`.
        scene_path: the scene's folder. scene: as read from it.
        downscale: whole factor by which its pictures were reduced.

    Returns:
        One a view, ascending, in pixels of `scene.images`; none where there is a `text` alone.

    Raises:
        InputError: there are none, the file is malformed, or a prompt is impossible (outside the picture, a view that
            does not exist, nothing that points at the target, ...).
    """
    frames = read_unreduced(config, scene_path, scene, downscale)
    return tuple(to_scene_pixels(prompts, scene.cameras.size, downscale) for prompts in frames)


def read_unreduced(config: PromptsConfig, scene_path: Path, scene: Scene, downscale: int) -> tuple[Prompts, ...]:
    """As `read_prompts`, but in pixels of the picture files."""
    frames = _from_command_line(config)
    if frames is None and config.file is None and config.text is not None:
        return ()
    if frames is None:
        path = Path(config.file) if config.file is not None else scene_path / FILE_NAME
        if config.file is None and not path.exists():
            click = "prompts.view=0 'prompts.points=[[x,y]]'"
            script = f"python scripts/annotate.py {shlex.quote(f'scene={scene_path}')} view=0 'points=[[x,y]]'"
            raise InputError(
                f"{path}: no such file, nothing points at the target: pass {click}, or write it: {script}; "
                "segmenter=precomputed takes the masks of the folder instead"
            )
        frames = _from_file(path)
    size = file_size(scene_path, scene, downscale)
    for keys, prompts in frames:
        check_inside(prompts, len(scene.cameras), size, keys)
    return tuple(prompts for _, prompts in frames)


def make_prompts(view: object, points: object, labels: object, box: object, keys: Keys) -> Prompts:
    """Prompts from values as a user gives them: a number, [[x, y], ...] or None, [0 or 1, ...] or None, [4] or None.

    Args:
        keys: what the user calls them.

    Raises:
        InputError: one of them has the wrong type or shape, they contradict each other, or nothing is positive.
    """
    if isinstance(view, bool) or not isinstance(view, int):
        raise InputError(f"{keys.view}: expected the number of a view, got {_short(view)}")
    xy = np.zeros((0, 2)) if points is None else _points(points, keys.points)
    signs = np.ones(len(xy), dtype=np.int64) if labels is None else _labels(labels, len(xy), keys.labels)
    corners = None if box is None else _box(box, keys.box)
    if corners is None and not (signs == 1).any():
        raise InputError(f"{keys.labels}: expected at least one 1 (a point on the target), got {_short(signs)}")
    positive = xy[signs == 1]
    for index, (point, label) in enumerate(zip(xy, signs, strict=True)):
        if label == 0 and (np.floor(positive + 0.5) == np.floor(point + 0.5)).all(axis=1).any():
            raise InputError(
                f"{keys.points}[{index}]: expected points of label 0 beside those of 1, got {_short(point)}"
            )
        if label == 1 and corners is not None and ((point < corners[:2]) | (point > corners[2:])).any():
            raise InputError(f"{keys.points}[{index}]: expected points of label 1 in the box, got {_short(point)}")
    return Prompts(view=view, points=xy, labels=signs, box=corners)


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
            raise InputError(f"{keys.points}[{index}]: expected [x, y] inside {picture}, got {_short(point)}")
    # A box may end at W and H: its far edges are often written so
    if prompts.box is not None and ((prompts.box[:2] < -0.5).any() or (prompts.box[2:] > end).any()):
        raise InputError(f"{keys.box}: expected [x0, y0, x1, y1] inside {picture}, got {_short(prompts.box)}")


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


def write_prompts(path: Path, frames: Sequence[Prompts]) -> None:
    """Write prompts in NTO3D's format, atomically.

    Args:
        frames: in pixels of the picture files; their priors are not written.

    Raises:
        InputError: it cannot be written; an older file stays.
    """
    listed = []
    for prompts in frames:
        frame: dict[str, object] = {"index": int(prompts.view)}
        if len(prompts.points):
            frame["point"] = [[_plain(x), _plain(y)] for x, y in prompts.points]
            frame["label"] = [int(label) for label in prompts.labels]
        if prompts.box is not None:
            frame["box"] = [_plain(value) for value in prompts.box]
        listed.append(frame)
    write_atomic(path, json.dumps({"frames": listed}) + "\n")


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def file_size(scene_path: Path, scene: Scene, downscale: int) -> tuple[int, int]:
    """(H, W) of the picture files; of the part of them that the scene uses where they are not found."""
    height, width = scene.cameras.size
    for folder in IMAGE_FOLDERS:
        path = scene_path / folder / scene.names[0]
        if path.is_file():
            with Image.open(path) as picture:  # reads the header only
                if (picture.height // downscale, picture.width // downscale) == (height, width):
                    return picture.height, picture.width
    return height * downscale, width * downscale


def _from_command_line(config: PromptsConfig) -> list[tuple[Keys, Prompts]] | None:
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
    return [(keys, make_prompts(config.view, config.points, config.labels, config.box, keys))]


def _from_file(path: Path) -> list[tuple[Keys, Prompts]]:
    """The frames of a file, ascending by view."""
    found: dict[int, tuple[Keys, Prompts]] = {}
    for number, frame in enumerate(_frames(path)):
        where = f"{path}: frames[{number}]"
        keys = Keys(*(f"{where}.{key}" for key in FRAME_KEYS))
        _check_keys(frame, where)
        view, points, labels, box = (frame.get(key) for key in FRAME_KEYS)
        prompts = make_prompts(view, points, labels, box, keys)
        if prompts.view in found:
            raise InputError(f"{keys.view}: expected each view once, got {prompts.view} again")
        found[prompts.view] = keys, prompts
    return [found[view] for view in sorted(found)]


def _frames(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: expected a prompts file, it cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected prompts as JSON, it is malformed ({error})") from error
    if not isinstance(content, dict) or set(content) != {"frames"}:
        came = sorted(content) if isinstance(content, dict) else content
        raise InputError(f'{path}: expected {{"frames": [...]}} and no other key, got {_short(came)}')
    frames = content["frames"]
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: frames: expected a list with at least one frame, got {_short(frames)}")
    return frames


def _check_keys(frame: object, where: str) -> None:
    if not isinstance(frame, dict):
        raise InputError(f"{where}: expected an object with {', '.join(FRAME_KEYS)}, got {_short(frame)}")
    unknown = sorted(set(frame) - set(FRAME_KEYS))
    if unknown:
        raise InputError(f"{where}.{unknown[0]}: unknown key, expected {', '.join(FRAME_KEYS)}")
    if "index" not in frame:
        raise InputError(f"{where}.index is missing: expected the number of a view")
    if "point" not in frame and "box" not in frame:
        raise InputError(f"{where}.point is missing: expected [[x, y], ...] in pixels of the picture file")
    for key, value in frame.items():
        if value is None:
            raise InputError(f"{where}.{key}: expected a value, got null")


def _points(points: object, key: str) -> FloatArray:
    if not isinstance(points, list | tuple) or not points:
        raise InputError(f"{key}: expected points [[x, y], ...], got {_short(points)}")
    for index, point in enumerate(points):
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise InputError(f"{key}[{index}]: expected [x, y], got {_short(point)}")
    return np.array([[_number(value, f"{key}[{index}]") for value in point] for index, point in enumerate(points)])


def _labels(labels: object, count: int, key: str) -> IntArray:
    if not isinstance(labels, list | tuple):
        raise InputError(f"{key}: expected [1, ...], 1 on the target and 0 beside it, got {_short(labels)}")
    if len(labels) != count:
        raise InputError(f"{key}: expected a label for each of the {count} points, got {len(labels)}")
    for index, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int) or label not in (0, 1):
            raise InputError(f"{key}[{index}]: expected 1 (on the target) or 0 (beside it), got {_short(label)}")
    return np.array(labels, dtype=np.int64)


def _box(box: object, key: str) -> FloatArray:
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise InputError(f"{key}: expected [x0, y0, x1, y1], got {_short(box)}")
    corners = np.array([_number(value, f"{key}[{index}]") for index, value in enumerate(box)])
    if (corners[2:] - corners[:2] < 1).any():
        raise InputError(f"{key}: expected [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {_short(box)}")
    return corners


def _number(value: object, key: str) -> float:
    # Written so that NaN, which compares false with everything, does not pass
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FAR:
        raise InputError(f"{key}: expected numbers of pixels, got {_short(value)}")
    return float(value)


def _short(value: object) -> str:
    """A value as a user would write it, cut where it is long."""
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
