"""Copy a scene with another exposure in every picture: python scripts/make_exposure.py --out datasets/sample_exposure.

Each picture gets a gain and an offset: value * gain + offset * 255, rounded and clipped to 0..255.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.data.dtu import IMAGE_FOLDERS, picture_files  # noqa: E402
from nto3d.errors import InputError  # noqa: E402

GAIN, OFFSET = (0.7, 1.4), 0.05  # least and most gain; largest offset, as a share of the full range
NAME = "exposure.json"


def copy_scene(scene: Path, out: Path, seed: int) -> None:
    """Copy a folder in the DTU/NeuS layout with altered pictures; exposure.json says how they were altered.

    Raises:
        OSError: a file cannot be read or written, or `out` is there already.
        InputError: there is no picture in the folder of the pictures.
    """
    if not scene.is_dir():
        raise OSError(f"{scene}: expected the folder of a scene, found none")
    if out.exists():
        raise OSError(f"{out}: expected a new folder, it is there already")
    pictures = picture_files(scene, IMAGE_FOLDERS)
    if pictures is None:
        raise OSError(f"{scene}: expected pictures (.png, .jpg) in a folder {' or '.join(IMAGE_FOLDERS)}, found none")
    shutil.copytree(scene, out)
    rng = np.random.default_rng(seed)
    exposures: dict[str, dict[str, float]] = {}
    for path in [out / picture.relative_to(scene) for picture in pictures]:
        gain, offset = rng.uniform(*GAIN), rng.uniform(-OFFSET, OFFSET)
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise OSError(f"{path}: expected a picture, it cannot be read")
        altered = np.rint(picture * gain + offset * 255.0).clip(0, 255).astype(np.uint8)
        if not cv2.imwrite(str(path), altered):
            raise OSError(f"{path}: cannot be written")
        exposures[path.name] = {"gain": gain, "offset": offset}
    (out / NAME).write_text(json.dumps(exposures, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the copy; 0 when it is written, 2 with one line on stderr when the input is bad."""
    parser = argparse.ArgumentParser(description="Copy a scene with a random gain and offset in every picture.")
    parser.add_argument(
        "--scene", type=Path, default=Path("datasets/sample"), help="folder to copy (default: datasets/sample)"
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other exposures (default: 0)")
    given = parser.parse_args(arguments)
    if given.seed < 0:
        parser.error(f"--seed: expected 0 or more, got {given.seed}")
    try:
        copy_scene(given.scene, given.out, given.seed)
    except (OSError, InputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
