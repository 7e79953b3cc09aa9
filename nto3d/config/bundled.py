"""What comes with the package: configs/ and the sample, beside it in a checkout, inside it in an installation."""

from __future__ import annotations

import os
from pathlib import Path

from nto3d.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = (_PACKAGE / "bundled").is_dir()  # the wheel has that folder, the repository has not
FOLDER = _PACKAGE / "bundled" if INSTALLED else _PACKAGE.parent  # holds configs/ and datasets/sample/
CONFIGS, SAMPLE = Path("configs"), Path("datasets") / "sample"


def config_folder() -> Path:
    """The folder configs/.

    Raises:
        InputError: it is missing: the package was copied without it.
    """
    folder = FOLDER / CONFIGS
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"{folder / 'config.yaml'}: expected the configuration that comes with nto3d, found no such file; "
            "run it in a checkout, or install it with: pip install FOLDER_OF_THE_CHECKOUT"
        )
    return folder


def find_scene(path: str) -> str:
    """A scene's path: as it is, or the bundled sample's own place where there is no `path` below the current folder."""
    given = Path(path)
    if not given.is_relative_to(SAMPLE) or given.exists() or not (FOLDER / given).exists():
        return path
    return str(FOLDER / given)


def cache_folder(scene: Path) -> Path:
    """Where embeddings of a scene's pictures are kept: in its folder; not in an installation, but in the user's cache.

    Args:
        scene: its folder, or the file of its only picture.
    """
    if INSTALLED and scene.resolve().is_relative_to(FOLDER):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nto3d" / SAMPLE.name
    return (scene if scene.is_dir() else scene.parent) / ".cache"
