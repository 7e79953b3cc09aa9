"""One picture with depth becomes the whole surface of the object: MCC, asked over a lattice."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from nto3d.config_single import SingleConfig
from nto3d.mcc.inputs import SeenView
from nto3d.mcc.model import Mcc
from nto3d.mcc.query import sweep
from nto3d.mcc.surface import shell_surface
from nto3d.progress import progress_bar
from nto3d.report.recording import Recording
from nto3d.types import ByteArray, FloatArray, Mesh

log = logging.getLogger("nto3d")


@dataclass(frozen=True)
class Completion:
    """What was found, in the camera's frame (OpenCV axes) and the depth's unit.

    Attributes:
        mesh: closed, coloured. places: [K, 3] occupied places. colors: uint8 [K, 3]. asked: how many were asked.
    """

    mesh: Mesh
    places: FloatArray
    colors: ByteArray
    asked: int


@torch.no_grad()
def complete(model: Mcc, seen: SeenView, config: SingleConfig, recording: Recording | None = None) -> Completion:
    """Ask the network where the object is, and take its surface.

    Args:
        model: the network. seen: the view. config: of the sweep. recording: is told what every pass finds.

    Raises:
        InputError: nothing is occupied at the threshold.
    """
    recording = recording or Recording()
    device = next(model.parameters()).device
    view = (seen.image[None].to(device), seen.points[None].to(device), seen.valid[None].to(device))
    memory = model.remember(model.encode(*view))

    hints = seen.hints if model.sizes.hints else None

    def answer(places: torch.Tensor) -> torch.Tensor:
        told = None if hints is None else torch.from_numpy(hints.at(places.numpy()))[None].to(device)
        return model.answer(memory, places[None].to(device), told)[0]

    def fresh(number: int, places: FloatArray, colors: ByteArray) -> None:
        recording.at("pass", number + 1)
        radius = 0.5 * config.granularity * seen.scale
        recording.points(f"completed/pass_{number + 1}", seen.to_camera(places), colors, radius)

    with progress_bar("sweep") as update:

        def progress(number: int, done: int, whole: int) -> None:
            update(done, whole)
            if done == whole:
                log.info("pass %d: %d places asked", number + 1, whole)

        found = sweep(
            answer,
            config.granularity,
            config.threshold,
            config.batch,
            progress,
            extent=config.extent,
            found=fresh,
        )
    mesh = shell_surface(found, config.half_width)
    # Turning x and y is a rotation: faces keep their sides
    mesh = Mesh(seen.to_camera(mesh.vertices), mesh.faces, mesh.colors)
    return Completion(mesh, seen.to_camera(found.places), np.asarray(found.rgb, dtype=np.uint8), found.asked)
