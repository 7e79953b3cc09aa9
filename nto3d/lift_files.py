"""What a lift leaves in the run's folder: masks/%03d.png and rounds.csv, and how they are read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from nto3d.config import Config, MaskUse, SegmenterName
from nto3d.errors import InputError
from nto3d.evaluate.masks import iou
from nto3d.files import write_atomic
from nto3d.run_folder import MASKS_NAME, ROUNDS_NAME
from nto3d.segment.precomputed import given_masks
from nto3d.types import BoolArray, Scene

HEADER = ("round", "agreement", "iou", "least_iou", "trust", "seconds")


def write_rounds(run_dir: Path, rows: Sequence[Sequence[float]]) -> None:
    """RUN/rounds.csv: a row a round, the columns of HEADER; what is not known (NaN) is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([int(row[0]), *("" if np.isnan(value) else f"{value:.4f}" for value in row[1:])] for row in rows)
    write_atomic(run_dir / ROUNDS_NAME, text.getvalue())


def write_masks(folder: Path, masks: Mapping[int, BoolArray]) -> None:
    """A folder of %03d.png from masks [H, W] of views."""
    folder.mkdir(parents=True, exist_ok=True)
    for view, mask in masks.items():
        _, data = cv2.imencode(".png", mask.astype(np.uint8) * 255)
        write_atomic(folder / f"{view:03d}.png", data.tobytes())


def read_masks(folder: Path, scene: Scene) -> BoolArray:
    """The masks [V, H, W] that an earlier lift left in a folder.

    Raises:
        InputError: one is missing, unreadable or of another size.
    """
    masks = np.zeros((len(scene.cameras), *scene.cameras.size), dtype=bool)
    for view in range(len(masks)):
        path = folder / f"{view:03d}.png"
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if pixels is None or pixels.shape != scene.cameras.size:
            raise InputError(
                f"{path}: expected the mask of view {view}, {scene.cameras.size[1]}x{scene.cameras.size[0]}"
            )
        masks[view] = pixels > 127
    return masks


def lift_metrics(run_dir: Path, scene: Scene, masks: BoolArray) -> dict[str, float]:
    """What to say of the masks [V, H, W] that a lift left in a run's folder."""
    with (run_dir / ROUNDS_NAME).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = {"lift_rounds": float(len(rows) - 1), "lift_seconds": float(rows[-1]["seconds"])}
    if scene.masks is not None:
        metrics["lift_mask_iou"] = float(np.mean([iou(masks[view], scene.masks[view]) for view in scene.train]))
    return metrics


def true_masks(config: Config, scene: Scene, run_dir: Path) -> BoolArray | None:
    """What the results of a run are compared with: the scene's masks [V, H, W], else those that the run found.

    Raises:
        InputError: the run's masks are missing.
    """
    if config.scene.masks is MaskUse.none:
        return None
    if config.segmenter.name is SegmenterName.precomputed:
        return given_masks(scene)
    return scene.masks if scene.masks is not None else read_masks(run_dir / MASKS_NAME, scene)
