"""What a lift leaves in the run's folder, and how it is read again.

Files: masks/%03d.png, rounds.csv, and pictures of some views in every round, lift/round_%d/%03d.png.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nto3d.config.schema import Config, MaskUse, SegmenterName
from nto3d.data.images import read_mask
from nto3d.errors import InputError
from nto3d.evaluate.masks import mean_iou
from nto3d.files import write_atomic
from nto3d.parsers.contents import Real, Record, Whole, check_contents
from nto3d.parsers.guard import parsing
from nto3d.parsers.pictures import open_picture
from nto3d.parsers.text import read_csv
from nto3d.report.lift import LiftRound, prompt_picture, shown_views
from nto3d.runs.folder import LIFT_NAME, MASKS_NAME, OBJECTS_NAME, ROUND_NAMES, ROUNDS_NAME, TENSORBOARD_NAME
from nto3d.runs.lift.confidence import confidence_file, read_confidence
from nto3d.segment.precomputed import given_masks
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.views.projection import enlarged
from nto3d.training.log import open_tensorboard
from nto3d.types import BoolArray, ByteArray, Prompts, Scene

HEADER = ("round", "agreement", "iou", "least_iou", "trust", "seconds")
_KNOWN = Real(0.0, besides=(), finite=False)
_ROUND = Record({**dict.fromkeys(HEADER[1:-1], _KNOWN), "round": Whole(0, 1 << 20), "seconds": Real(0.0)})
SHOWN, PICTURE_TAG = ("agreement", "iou", "trust"), "prompts_mask_projection"  # in TensorBoard
TITLE, CLICKED = "Title", ", clicked"  # of a picture: its key in the file, and what ends that of a clicked view


class RoundPictures:
    """Writes pictures of some views in every round, and the round to TensorBoard.

    Args:
        run_dir: where files go. scene: its masks, where it has any, show what is wrong.
        clicks: by view. tensorboard: whether to write there, too.
    """

    def __init__(self, run_dir: Path, scene: Scene, clicks: Mapping[int, Prompts], tensorboard: bool) -> None:
        self._run_dir, self._scene, self._clicks, self._tensorboard = run_dir, scene, clicks, tensorboard
        self._views = shown_views(scene.train, sorted(clicks))

    def note(self, row: Sequence[float], masks: Mapping[int, ViewMask]) -> None:
        """Show a round: its row, the columns of HEADER, and its masks.

        Raises:
            InputError: a file cannot be written.
        """
        number, values = int(row[0]), dict(zip(HEADER[1:], row[1:], strict=True))
        pictures = {view: self._picture(view, masks[view]) for view in self._views if view in masks}
        folder = _round_folder(self._run_dir, number)
        folder.mkdir(parents=True, exist_ok=True)
        for view, picture in pictures.items():
            _write_titled(folder / f"{view:03d}.png", picture, f"view {view}{CLICKED if view in self._clicks else ''}")
        if not self._tensorboard:
            return
        # A folder of their own: these steps are rounds, and are not to be purged with the training's
        with open_tensorboard(self._run_dir / TENSORBOARD_NAME / "rounds", number) as writer:
            for name in SHOWN:
                if not np.isnan(values[name]):
                    writer.add_scalar(name, values[name], number)
            for view, picture in pictures.items():
                writer.add_image(f"{PICTURE_TAG}/view_{view:03d}", picture, number, dataformats="HWC")

    def _picture(self, view: int, mask: ViewMask) -> ByteArray:
        truth = None if self._scene.masks is None else self._scene.masks[view]
        image, clicks = self._scene.images[view], self._clicks.get(view)
        prior = enlarged(mask.prior, mask.pixels.shape)
        return prompt_picture(image, mask.prompts, mask.pixels, prior, truth, mask.hidden, clicks)


def read_rounds(run_dir: Path) -> list[LiftRound]:
    """The rounds of an earlier lift for the report; a picture that is gone is left out.

    Raises:
        InputError: rounds.csv is missing or broken.
    """
    rows = _read_rows(run_dir)
    return [LiftRound(number, row, _read_pictures(_round_folder(run_dir, number))) for number, row in rows.items()]


def count_rounds(run_dir: Path) -> int:
    """How many rounds an earlier lift noted, the click's among them.

    Raises:
        InputError: rounds.csv is missing or broken.
    """
    return len(_read_rows(run_dir))


def _round_folder(run_dir: Path, number: int) -> Path:
    return run_dir / LIFT_NAME / ROUND_NAMES.replace("*", str(number))


def _write_titled(path: Path, picture: ByteArray, title: str) -> None:
    """A PNG that holds its title: the report is written from these files, by a resumed run, too."""
    text, data = PngInfo(), io.BytesIO()
    text.add_text(TITLE, title)
    Image.fromarray(picture).save(data, format="PNG", pnginfo=text)
    write_atomic(path, data.getvalue())


def _read_pictures(folder: Path) -> dict[str, ByteArray]:
    """Pictures uint8 [h, w, 3] by title, clicked views first; a file that cannot be read is left out."""
    pictures = {}
    for path in sorted(folder.glob("*.png")):
        with contextlib.suppress(InputError), open_picture(path) as file:
            pixels = np.asarray(file.convert("RGB"))
            pictures[file.info.get(TITLE, path.stem)] = pixels
    return dict(sorted(pictures.items(), key=lambda item: not item[0].endswith(CLICKED)))


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
        mask = read_mask(path)
        if mask.shape != scene.cameras.size:
            raise InputError(
                f"{path}: expected the mask of view {view}, {scene.cameras.size[1]}x{scene.cameras.size[0]}"
            )
        masks[view] = mask
    return masks


def lift_folders(run_dir: Path, names: Sequence[str]) -> dict[str, Path]:
    """Where the lift of each named object left its files; without names the run's own folder, under the name ""."""
    return {name: run_dir / OBJECTS_NAME / name for name in names} or {"": run_dir}


def lift_metrics(folders: Iterable[Path], scene: Scene, masks: BoolArray) -> dict[str, float]:
    """What to say of the masks [V, H, W] that lifts left; the most rounds and seconds of them, the least confidence.

    Raises:
        InputError: a rounds.csv or a confidence.json is missing or broken.
    """
    folders = list(folders)
    each = [_read_rows(folder) for folder in folders]
    metrics = {
        "lift_rounds": float(max(len(rows) for rows in each) - 1),
        "lift_seconds": max(rows[max(rows)]["seconds"] for rows in each),
    }
    if all(confidence_file(folder).exists() for folder in folders):  # older versions wrote none
        metrics["lift_confidence"] = min(read_confidence(folder).confidence for folder in folders)
    if scene.masks is not None:
        metrics["lift_mask_iou"] = mean_iou(masks, scene.masks, scene.train)
    return metrics


def _read_rows(run_dir: Path) -> dict[int, dict[str, float]]:
    """rounds.csv: by the number of the round the other columns of HEADER, NaN where empty."""
    path = run_dir / ROUNDS_NAME
    expected = f"the columns {','.join(HEADER)}, as a lift writes them"
    header, *rows = read_csv(path, expected) or [[]]
    with parsing(path, expected):
        named = [dict(zip(header, row, strict=True)) for row in rows]
        found = [(int(row["round"]), {name: float(row[name] or "nan") for name in HEADER[1:]}) for row in named]
    if not found:
        raise InputError(f"{path}: expected a row for each round of the lift, got none")
    for number, (counted, row) in enumerate(found):
        key = f"line {number + 2}"
        check_contents(Record({key: _ROUND}), {key: {**row, "round": counted}}, path)
        if counted != number:
            raise InputError(f"{path}: {key}: expected round {number}, got {counted}")
    return dict(found)


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
