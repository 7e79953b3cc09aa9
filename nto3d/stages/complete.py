"""One picture with depth becomes the whole surface of the object: MCC, asked over a lattice."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from nto3d.config import SingleConfig
from nto3d.mcc.inputs import SeenView
from nto3d.mcc.model import Mcc
from nto3d.mcc.query import sweep
from nto3d.mcc.surface import shell_surface
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
def complete(model: Mcc, seen: SeenView, config: SingleConfig) -> Completion:
    """Ask the network where the object is, and take its surface.

    Raises:
        InputError: nothing is occupied at the threshold.
    """
    device = next(model.parameters()).device
    view = (seen.image[None].to(device), seen.points[None].to(device), seen.valid[None].to(device))
    memory = model.remember(model.encode(*view))

    def answer(places: torch.Tensor) -> torch.Tensor:
        return model.answer(memory, places[None].to(device))[0]

    def progress(number: int, done: int, whole: int) -> None:
        if done == whole:
            log.info("pass %d: %d places asked", number + 1, whole)

    found = sweep(answer, config.granularity, config.threshold, config.batch, progress)
    mesh = shell_surface(found, config.half_width)
    # Turning x and y is a rotation: faces keep their sides
    mesh = Mesh(seen.to_camera(mesh.vertices), mesh.faces, mesh.colors)
    return Completion(mesh, seen.to_camera(found.places), np.asarray(found.rgb, dtype=np.uint8), found.asked)
