"""How far the masks of a lift are to be believed: kept as lift/confidence.json in the run's folder, and said.

    {"confidence": 0.77, "view": 21, "point": [210, 183]}

The point is (x, y) in pixels of the picture file; view and point are null where nothing is in doubt.
"""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nto3d.config.bundled import INSTALLED
from nto3d.config.schema import Config
from nto3d.files import write_atomic
from nto3d.parsers.contents import Items, Maybe, Real, Record, Whole, check_contents
from nto3d.parsers.text import read_json_object
from nto3d.runs.folder import CONFIDENCE_NAME
from nto3d.segment.prompts.read import to_file_pixels

if TYPE_CHECKING:  # it needs torch, and reading does not
    from nto3d.stages.lift.confidence import Confidence

log = logging.getLogger("nto3d")
_CONTENT = Record(
    {"confidence": Real(0.0, 1.0), "view": Maybe(Whole(0, 1 << 20)), "point": Maybe(Items(Real(-1e9, 1e9), 2, 2))}
)
EARLIER_NAME = "lift/doubt.json"  # of CONFIDENCE_NAME, in early versions


@dataclass(frozen=True)
class StoredConfidence:
    """What a run's folder says: see `stages.lift.confidence.Confidence`; the point is in pixels of the picture file."""

    confidence: float
    view: int | None
    point: tuple[float, float] | None


def write_confidence(folder: Path, found: Confidence, downscale: int) -> StoredConfidence:
    """Write FOLDER/lift/confidence.json.

    Args:
        folder: of the run, or of one of its objects. downscale: of the scene's pictures.

    Raises:
        InputError: it cannot be written.
    """
    point = None
    if found.place is not None:
        x, y = to_file_pixels(found.place, downscale).tolist()
        point = (x, y)
    stored = StoredConfidence(found.confidence, found.view, point)
    content = {"confidence": round(stored.confidence, 4), "view": stored.view, "point": point}
    write_atomic(folder / CONFIDENCE_NAME, json.dumps(content) + "\n")
    return stored


def confidence_file(folder: Path) -> Path:
    """Where the confidence of a lift is kept; the lift of an early version may have none."""
    earlier = folder / EARLIER_NAME
    return earlier if earlier.exists() else folder / CONFIDENCE_NAME


def read_confidence(folder: Path) -> StoredConfidence:
    """Counterpart of `write_confidence`.

    Raises:
        InputError: the file is missing or broken.
    """
    path = confidence_file(folder)
    content = read_json_object(path, "confidence, view and point, as a lift writes them")
    check_contents(_CONTENT, content, path)
    point = content["point"]
    place = None if point is None else (float(point[0]), float(point[1]))
    return StoredConfidence(float(content["confidence"]), content["view"], place)


def log_confidence(found: StoredConfidence, config: Config, name: str) -> None:
    """Warn of masks that are in doubt, in one line, with the place where a click would help most.

    Args:
        name: of the object, or "".
    """
    if found.confidence >= config.lift.sure:
        log.info("confidence in the masks: %.2f", found.confidence)
        return
    where = "more clicks help"
    if found.point is not None:
        shown = " ".join(shlex.quote(part) for part in (f"run={config.output}", *([f"object={name}"] if name else [])))
        where = f"one more click would help most in view {found.view} at [{found.point[0]:g}, {found.point[1]:g}]"
        if not INSTALLED:  # with scripts/
            where += f"; python scripts/annotate.py suggest=true {shown} shows it"
    log.warning("the masks are in doubt, confidence %.2f (lift.sure=%g): %s", found.confidence, config.lift.sure, where)
