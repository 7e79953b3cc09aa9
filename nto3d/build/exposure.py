"""Whether the pictures of a scene differ in exposure, and how."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nto3d.config.schema import Config, ExposureUse
from nto3d.fields.exposure import Exposure
from nto3d.geometry.carving import DepthMaps
from nto3d.geometry.exposure import Exposures, reduced_pictures, shared_colors, solve_exposures
from nto3d.parsers.contents import MismatchError
from nto3d.stereo.maps import stereo_maps
from nto3d.types import ByteArray, Cameras, Scene

log = logging.getLogger("nto3d")


def find_exposures(config: Config, scene: Scene, state: Mapping[str, Any] | None = None) -> Exposures | None:
    """What `field.exposure` asks for, estimated from the pictures; None: all pictures have the same exposure.

    Args:
        state: of the checkpoint of the run that goes on, which knows the answer, or None.

    Raises:
        MismatchError: the checkpoint is of other views.
    """
    use = config.field.exposure
    if use is ExposureUse.off:
        return None
    if state is not None:
        kept = stored_exposures(state["model"])
        if kept is not None and len(kept.gain) != len(scene.cameras):
            views = f"expected {len(scene.cameras)} views as in {scene.name}, got {len(kept.gain)}"
            raise MismatchError(f"model.exposure.start_gain: {views}")
        return kept
    found = estimate_exposures(scene.images, scene.cameras, scene.train)
    if use is ExposureUse.auto and not found.differ:
        log.info("pictures have the same exposure: neighbours differ by %.1f %%", 100.0 * found.difference)
        return None
    gains = found.gain[list(scene.train)].mean(axis=1)
    log.info(
        "pictures differ in exposure: gains %.2f to %.2f; learning one gain and offset a view", gains.min(), gains.max()
    )
    return found


def estimate_exposures(images: ByteArray, cameras: Cameras, train: Sequence[int]) -> Exposures:
    """The exposures of all views, from what small copies of the pictures show of the same places.

    Args:
        images: uint8 [V, H, W, 3]. cameras: their cameras. train: views whose mean is identity.
    """
    small, reduced = reduced_pictures(images, cameras)
    maps = stereo_maps(small, reduced, range(len(small)))
    return solve_exposures(shared_colors(small, reduced, DepthMaps(maps.cameras, maps.depths)), len(small), train)


def stored_exposures(model: Mapping[str, Any]) -> Exposures | None:
    """The estimate that a model in a checkpoint began with, or None."""
    if "exposure.start_gain" not in model:
        return None
    gain, offset = (model[f"exposure.{name}"].cpu().double().numpy() for name in ("start_gain", "start_offset"))
    return Exposures(gain, offset)


def build_exposure(exposures: Exposures | None, train: Sequence[int]) -> Exposure | None:
    """A fresh module that begins with the estimate."""
    if exposures is None:
        return None
    trained = np.isin(np.arange(len(exposures.gain)), list(train))
    return Exposure(*(torch.from_numpy(values) for values in (exposures.gain, exposures.offset, trained)))
