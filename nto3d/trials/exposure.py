"""A scene whose pictures are exposed otherwise, to try what finds exposures.

Each picture gets a gain and an offset: value * gain + offset * 255, rounded and clipped to 0..255.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from nto3d.data.files.views import IMAGE_FOLDERS, picture_files
from nto3d.data.images import read_image

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
        picture = read_image(path)[..., ::-1]  # OpenCV writes blue first
        altered = np.rint(picture * gain + offset * 255.0).clip(0, 255).astype(np.uint8)
        if not cv2.imwrite(str(path), altered):
            raise OSError(f"{path}: cannot be written")
        exposures[path.name] = {"gain": gain, "offset": offset}
    (out / NAME).write_text(json.dumps(exposures, indent=2) + "\n", encoding="utf-8")
