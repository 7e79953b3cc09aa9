"""Which SAM checkpoints are published, and where they are looked for; imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nto3d.config.bundled import FOLDER, INSTALLED
from nto3d.errors import InputError

WEIGHTS_FOLDER = Path("weights") if INSTALLED else FOLDER / "weights"  # in a checkout beside train.py
MIRROR = "https://dl.fbaipublicfiles.com/segment_anything"
# name: first digits of the file's SHA-256, which Meta puts into the name
PUBLISHED = {
    "sam_vit_h_4b8939": "4b8939",
    "sam_vit_l_0b3195": "0b3195",
    "sam_vit_b_01ec64": "01ec64",
}
SMALLEST = "sam_vit_b_01ec64"


def published_name(name: str) -> str | None:
    """The published checkpoint that `name` means, or None: its name, its file, or vit_h, vit_l, vit_b."""
    stem = name.removesuffix(".pth")
    short = {full.rpartition("_")[0]: full for full in PUBLISHED}
    return stem if stem in PUBLISHED else short.get(stem) or short.get(f"sam_{stem}")


def fetch_command(published: str) -> str:
    """What brings a published checkpoint to where it is looked for."""
    if INSTALLED:  # without scripts/
        return f"curl --create-dirs -o {WEIGHTS_FOLDER / published}.pth {MIRROR}/{published}.pth"
    return f"python scripts/fetch_weights.py {published}"


def find_checkpoint(name: str | None) -> Path:
    """The file of a checkpoint.

    Args:
        name: a path; or a name only, of a file in the current folder or in `WEIGHTS_FOLDER`; or what
            `published_name` knows.

    Raises:
        InputError: no name is given, or there is no such file.
    """
    if not name:
        raise InputError(
            f"segmenter.checkpoint is missing: SAM needs weights, for example "
            f"segmenter.checkpoint={SMALLEST}.pth, which is fetched by: {fetch_command(SMALLEST)}"
        )
    published = published_name(name)
    given = Path(name).expanduser()
    only_name = given.name == name
    files = [given, WEIGHTS_FOLDER / given] if only_name else [given]
    if only_name and published is not None:
        files += [Path(f"{published}.pth"), WEIGHTS_FOLDER / f"{published}.pth"]
    for file in files:
        if file.is_file():
            return file
    looked = f"is neither in the current folder nor in {WEIGHTS_FOLDER}" if only_name else "is no file"
    fetch = f"; fetch it with: {fetch_command(published)}" if published is not None else ""
    raise InputError(f"segmenter.checkpoint: expected weights of SAM, {name} {looked}{fetch}")


def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
