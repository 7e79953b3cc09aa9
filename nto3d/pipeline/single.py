"""One picture with depth: from the points of the target to its whole surface."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nto3d.build.single import margin_of
from nto3d.config.schema import Config
from nto3d.depth.base import PointMap
from nto3d.depth.outliers import without_outliers
from nto3d.errors import memory_of
from nto3d.mcc.inputs import SeenView, seen_view
from nto3d.mcc.model import Mcc
from nto3d.report.recording import Recording
from nto3d.stages.mcc.complete import Completion, complete
from nto3d.types import BoolArray, ByteArray

log = logging.getLogger("nto3d")


def points_of_target(found: PointMap, mask: BoolArray) -> tuple[PointMap, BoolArray]:
    """Points and mask [H, W] without what is in the mask and none of the target's, which is counted in the log."""
    kept = without_outliers(found, mask)
    other = found.valid & ~kept.valid
    if other.any():
        own, away = found.points[mask & kept.valid][:, 2], found.points[other][:, 2]
        log.info(
            "depth: %d of the %d points in the mask are left out, at depths of %.4g to %.4g beside %.4g to %.4g",
            *(len(away), len(own) + len(away), away.min(), away.max(), own.min(), own.max()),
        )
    return kept, mask & ~other


def complete_target(
    config: Config,
    model: Mcc,
    image: ByteArray,
    found: PointMap,
    mask: BoolArray,
    recording: Recording | None = None,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Completion:
    """The whole surface of a picture's target, in the camera's frame (OpenCV axes) and the depth's unit.

    Points and mask are taken as they are, see `points_of_target`.

    Args:
        image: uint8 [H, W, 3]. found: the picture's points. mask: bool [H, W], the target. recording: is told what is
            seen, and what every pass finds. told: see `stages.mcc.complete.complete`.

    Raises:
        InputError: the target has next to no points, or nothing is occupied at the threshold.
    """
    seen: SeenView = seen_view(image, found.points, mask & found.valid, model.sizes, margin_of(config, mask))
    if recording is not None:
        shown = mask & found.valid
        recording.points("seen", found.points[shown], image[shown], 0.25 * config.single.granularity * seen.scale)
    single = config.single
    asked = f"single.granularity={single.granularity}, places between -{single.extent:g} and {single.extent:g}"
    with memory_of(asked, f"raise it, or lower single.extent or single.batch={single.batch}"):
        return complete(model, seen, single, recording, told)
