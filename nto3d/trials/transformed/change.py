"""A change to a scene's folder, and what changes are made of: its cameras, pictures and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.files import write_arrays
from nto3d.parsers.archives import Archive
from nto3d.parsers.pictures import open_picture
from nto3d.parsers.text import read_json_object
from nto3d.types import FloatArray

CAMERAS, IMAGE, MASK, DEPTH, NOTES = "cameras_sphere.npz", "image", "mask", "depth", "scene.json"
Entries = dict[str, NDArray[Any]]  # of the file of cameras


class Expected(Enum):
    """What ought to come of a scene."""

    same = "same mesh"
    refused = "refused"
    either = "same mesh or refused"


@dataclass(frozen=True)
class Change:
    """One way in which a scene differs.

    Attributes:
        name: in words. make: changes the copy of the scene in a folder. expected: of a run on it.
        world: [4, 4], the new world's coordinates of a point from the old ones. folder: what the scene's is called.
    """

    name: str
    make: Callable[[Path], object]
    expected: Expected = Expected.same
    world: FloatArray = field(default_factory=lambda: np.eye(4))
    folder: str = "scene"


def read_entries(scene: Path) -> Entries:
    """What the file of cameras holds."""
    archive = Archive(scene / CAMERAS, "an npz archive of cameras", 1 << 12)
    return dict(zip(archive.names, archive.read(archive.names), strict=True))


def edit(change: Callable[[Entries], Entries | None]) -> Callable[[Path], None]:
    """A change of the cameras: of the entries in place, or to those that are given back."""

    def make(scene: Path) -> None:
        entries = read_entries(scene)
        changed = change(entries)
        write_arrays(scene / CAMERAS, entries if changed is None else changed)

    return make


def edit_world_mats(change: Callable[[int, FloatArray], FloatArray]) -> Callable[[Path], None]:
    """A change of every world_mat: a function of the view and the matrix [4, 4]."""

    def each(entries: Entries) -> None:
        for key in entries:
            if key.startswith("world_mat_"):
                entries[key] = change(int(key.rpartition("_")[2]), entries[key])

    return edit(each)


def rename(names: Mapping[str, Callable[[int, Path], str]]) -> Callable[[Path], None]:
    """Other names for the files of folders: by folder, a function of the place in the order and the old path."""

    def make(scene: Path) -> None:
        for folder, name in names.items():
            files = sorted((scene / folder).iterdir())
            moved = [file.rename(file.with_name(f"moving_{number}")) for number, file in enumerate(files)]
            for number, (file, old) in enumerate(zip(moved, files, strict=True)):
                file.rename(file.with_name(name(number, old)))

    return make


def in_turn(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Several changes, one after another."""

    def make(scene: Path) -> None:
        for change in changes:
            change(scene)

    return make


def read_notes(scene: Path) -> dict[str, Any]:
    """What `scene.json` holds."""
    return read_json_object(scene / NOTES, "notes of a procedural scene")


def read_pixels(file: Path, mode: str | None = None) -> NDArray[Any]:
    """The pixels of a picture, in a mode of Pillow (None: as they are stored)."""
    with open_picture(file) as picture:
        return np.asarray(picture if mode is None else picture.convert(mode))
