"""Files of prompts, in NTO3D's format with names for several objects: read, checked and written.

    {"frames": [{"index": view, "object": name, "point": [[x, y], ...], "label": [1, ...], "box": [x0, y0, x1, y1]}]}

A frame has `point`, `box` or both; without `label` all points lie on the target. At least one frame of each object
points at it; others may say no more than what is no part of it (`label` 0). Frames without `object` are one
object, which is called `object` where others have names. A view may occur once for each object.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.parsers.text import read_json
from nto3d.segment.prompts.values import Keys, check_positive, make_prompts, short
from nto3d.types import Prompts

FILE_NAME = "prompts.json"  # in the scene's folder
FRAME_KEYS = ("index", "point", "label", "box")
NAME_KEY = "object"
UNNAMED = "object"  # what frames without a name are called beside frames with one
LONGEST_NAME, LONGEST_BYTES = 64, 192  # of a name: characters, and bytes in a file's name


@dataclass(frozen=True)
class Frame:
    """A frame of a file.

    Attributes:
        keys: where its values stand. name: of the object; None where no frame of the file has one.
        prompts: in pixels of the picture files.
    """

    keys: Keys
    name: str | None
    prompts: Prompts


def check_name(name: object, key: str) -> str:
    """A name of an object, such that files can be called by it.

    Args:
        key: what the user calls it.

    Raises:
        InputError: it is none.
    """
    text = unicodedata.normalize("NFC", name) if isinstance(name, str) else ""
    if not re.fullmatch(r"[\w-]+", text) or len(text) > LONGEST_NAME or len(text.encode()) > LONGEST_BYTES:
        allowed = f"letters, digits, - and _, at most {LONGEST_NAME} characters"
        raise InputError(f"{key}: expected a name of {allowed}, got {short(name)}")
    return text


def read_frames(path: Path) -> list[Frame]:
    """The frames of a file, object by object as they first occur in it, and ascending by view.

    Raises:
        InputError: it cannot be read, is malformed, or prompts or names are impossible.
    """
    found: dict[str | None, dict[int, Frame]] = {}
    places: dict[str | None, str] = {}  # of each name's first frame
    for number, entry in enumerate(_entries(path)):
        where = f"{path}: frames[{number}]"
        keys = Keys(*(f"{where}.{key}" for key in FRAME_KEYS))
        _check_keys(entry, where)
        name = check_name(entry[NAME_KEY], f"{where}.{NAME_KEY}") if NAME_KEY in entry else None
        view, points, labels, box = (entry.get(key) for key in FRAME_KEYS)
        prompts = make_prompts(view, points, labels, box, keys, alone=False)
        views = found.setdefault(name, {})
        places.setdefault(name, f"{where}.{NAME_KEY}")
        if prompts.view in views:
            of = "" if name is None else f" of {name}"
            raise InputError(f"{keys.view}: expected each view once{of}, got {prompts.view} again")
        views[prompts.view] = Frame(keys, name, prompts)
    for views in found.values():
        if not any(frame.prompts.targeted for frame in views.values()):
            first = next(iter(views.values()))
            check_positive(first.prompts.labels, first.keys)
    unnamed = None if list(found) == [None] else UNNAMED
    check_distinct(places)
    return [
        replace(views[view], name=name if name is not None else unnamed)
        for name, views in found.items()
        for view in sorted(views)
    ]


def check_distinct(places: Mapping[str | None, str]) -> None:
    """Refuse names that some file systems take for one.

    Args:
        places: where each name stands first.
    """
    earlier: dict[str, str | None] = {}
    for name, place in places.items():
        other = earlier.setdefault((name or UNNAMED).casefold(), name)
        if other == name:
            continue
        if name is None or other is None:
            taken = name or other
            raise InputError(
                f"{places[taken]}: expected another name than {taken} beside frames without one, which are called "
                f"{UNNAMED}"
            )
        raise InputError(f"{place}: expected names that differ in more than their case, got {name} beside {other}")


def write_prompts(path: Path, objects: Mapping[str | None, Sequence[Prompts]]) -> None:
    """Write prompts in NTO3D's format, atomically.

    Args:
        objects: by name (None: without one), in pixels of the picture files; priors are not written.

    Raises:
        InputError: it cannot be written; an older file stays.
    """
    listed = []
    for name, frames in objects.items():
        for prompts in frames:
            frame: dict[str, object] = {"index": int(prompts.view)}
            if name is not None:
                frame[NAME_KEY] = name
            if len(prompts.points):
                frame["point"] = [[_plain(x), _plain(y)] for x, y in prompts.points]
                frame["label"] = [int(label) for label in prompts.labels]
            if prompts.box is not None:
                frame["box"] = [_plain(value) for value in prompts.box]
            listed.append(frame)
    write_atomic(path, json.dumps({"frames": listed}, ensure_ascii=False) + "\n")


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _entries(path: Path) -> list[Any]:
    content = read_json(path, "prompts as JSON")
    if not isinstance(content, dict) or set(content) != {"frames"}:
        came = sorted(content) if isinstance(content, dict) else content
        raise InputError(f'{path}: expected {{"frames": [...]}} and no other key, got {short(came)}')
    frames = content["frames"]
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: frames: expected a list with at least one frame, got {short(frames)}")
    return frames


def _check_keys(frame: object, where: str) -> None:
    if not isinstance(frame, dict):
        raise InputError(f"{where}: expected an object with {', '.join((*FRAME_KEYS, NAME_KEY))}, got {short(frame)}")
    unknown = sorted(set(frame) - {*FRAME_KEYS, NAME_KEY})
    if unknown:
        raise InputError(f"{where}.{unknown[0]}: unknown key, expected {', '.join((*FRAME_KEYS, NAME_KEY))}")
    if "index" not in frame:
        raise InputError(f"{where}.index is missing: expected the number of a view")
    if "point" not in frame and "box" not in frame:
        raise InputError(f"{where}.point is missing: expected [[x, y], ...] in pixels of the picture file")
    for key, value in frame.items():
        if value is None:
            raise InputError(f"{where}.{key}: expected a value, got null")
