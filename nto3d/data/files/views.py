"""What a scene's folder holds for each of its views."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nto3d.data.files.pairing import natural, pair_cameras, pair_files, say_alone
from nto3d.data.images import PICTURE_SUFFIXES
from nto3d.errors import InputError

log = logging.getLogger("nto3d")
IMAGE_FOLDERS = ("image", "images")
MASK_FOLDERS = ("mask", "masks")
DEPTH_FOLDER, DEPTH_SUFFIXES = "depth", (".npy", ".png")


@dataclass(frozen=True)
class Views:
    """The V views that are used, in the natural order of their pictures; this order numbers them.

    Attributes:
        pictures: V files. cameras: V numbers i of world_mat_i.
        masks: V files, or None where there are none or not of all views.
        depths: V files, None for a view without, or None where there is no folder.
    """

    pictures: list[Path]
    cameras: list[int]
    masks: list[Path] | None
    depths: list[Path | None] | None


def picture_files(path: Path, folders: Sequence[str]) -> list[Path] | None:
    """The pictures in the first of the folders that exists, in their natural order; None where none exists.

    Args:
        path: of the scene. folders: names in it.

    Raises:
        InputError: there is no picture in the folder.
    """
    folder = next((path / folder for folder in folders if (path / folder).is_dir()), None)
    if folder is None:
        return None
    candidates = (file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    # Names with a leading dot are left behind by some file systems and hold no picture.
    files = sorted((file for file in candidates if not file.name.startswith(".")), key=natural)
    if not files:
        raise InputError(f"{folder}: expected PNG or JPEG pictures, there are none")
    return files


def find_views(path: Path, pictures: list[Path], cameras: list[int], camera_file: Path, masked: bool) -> Views:
    """Finds the partners of each picture and says in the log what has none.

    Args:
        path: of the scene. pictures: in their natural order. cameras: numbers i of world_mat_i, ascending.
        camera_file: they come from. masked: whether only views with a mask can be used.

    Raises:
        InputError: it cannot be told which files or cameras belong to which pictures, or nothing has all partners.
    """
    numbers = pair_cameras(pictures, cameras, camera_file)
    masks = _masks(path, pictures, numbers, masked)
    depths = _depths(path, pictures, numbers)
    _say_cameras(pictures, cameras, numbers, camera_file)
    posed = [view for view, number in enumerate(numbers) if number is not None]
    if masks is not None:
        alone = [view for view in posed if masks[view] is None]
        _say_masks(path, pictures, alone, masked)
        if masked:
            posed = [view for view in posed if masks[view] is not None]
        elif alone:
            masks = None
    if not posed:
        raise InputError(f"{pictures[0].parent}: expected pictures with a camera and a mask, none of them has both")
    _say_numbers(pictures, len(cameras), numbers, posed)
    return Views(
        pictures=[pictures[view] for view in posed],
        cameras=[number for view in posed if (number := numbers[view]) is not None],
        masks=None if masks is None else [mask for view in posed if (mask := masks[view]) is not None],
        depths=None if depths is None else [depths[view] for view in posed],
    )


def _masks(path: Path, pictures: list[Path], cameras: list[int | None], masked: bool) -> list[Path | None] | None:
    files = picture_files(path, MASK_FOLDERS)
    if files is None:
        if masked:
            raise InputError(
                f"{path}: expected a folder {' or '.join(MASK_FOLDERS)}, there is none; "
                "pass scene.masks=none to reconstruct without masks, or segmenter=grabcut to start from a click"
            )
        return None
    return _paired(pictures, files, "mask", cameras)


def _depths(path: Path, pictures: list[Path], cameras: list[int | None]) -> list[Path | None] | None:
    folder = path / DEPTH_FOLDER
    if not folder.is_dir():
        return None
    candidates = (file for file in folder.iterdir() if file.suffix in DEPTH_SUFFIXES)
    files = sorted((file for file in candidates if not file.name.startswith(".")), key=natural)
    if not files:
        raise InputError(f"{folder}: expected depth maps ({' or '.join(DEPTH_SUFFIXES)}), there are none")
    found = _paired(pictures, files, "depth map", cameras)
    alone = [picture.name for picture, depth, camera in zip(pictures, found, cameras, strict=True) if not depth]
    say_alone(folder, alone, len(pictures), "picture", "depth map", ", where depth is unknown")
    return found


def _paired(pictures: list[Path], files: list[Path], what: str, cameras: list[int | None]) -> list[Path | None]:
    found = pair_files(pictures, files, what, cameras)
    alone = [file.name for file in files if file not in set(found)]
    say_alone(files[0].parent, alone, len(files), what, "picture")
    return found


def _say_cameras(pictures: list[Path], cameras: list[int], numbers: list[int | None], file: Path) -> None:
    alone = [picture.name for picture, number in zip(pictures, numbers, strict=True) if number is None]
    say_alone(pictures[0].parent, alone, len(pictures), "picture", "camera", ", left out")
    say_alone(file, sorted(set(cameras) - set(numbers)), len(cameras), "camera", "picture")


def _say_masks(path: Path, pictures: list[Path], alone: list[int], masked: bool) -> None:
    then = ", left out" if masked else "; the masks are not used to measure with"
    say_alone(pictures[0].parent, [pictures[view].name for view in alone], len(pictures), "picture", "mask", then)


def _say_numbers(pictures: list[Path], cameras: int, numbers: list[int | None], used: list[int]) -> None:
    """Which view is which picture, where something was left out."""
    if len(used) == len(pictures) == cameras:
        return
    shown = next((place for place, view in enumerate(used) if numbers[view] != place), len(used) - 1)
    picture, last = pictures[used[shown]], len(used) - 1
    line = "%s: the views are numbered 0 to %d in the order of their pictures; view %d is %s"
    log.info(line, picture.parent, last, shown, picture.name)
