"""One picture with depth becomes the whole surface of the object: MCC, asked over a lattice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from nto3d.config.single import SingleConfig
from nto3d.mcc.hints import Hints
from nto3d.mcc.inputs import SeenView
from nto3d.mcc.model import Mcc
from nto3d.mcc.query import TEMPERATURE, Answer, sweep
from nto3d.mcc.surface import shell_surface
from nto3d.progress import progress_bar
from nto3d.report.recording import Recording
from nto3d.types import ByteArray, FloatArray, Mesh

log = logging.getLogger("nto3d")
SEEN, UNSEEN = 0.1, 0.25  # nearer to a seen point than this a vertex has its colour, farther the network's
NEAREST = 3  # seen points that a vertex takes its colour from
OWN_TEMPERATURE = 1.0  # of the colour classes of a small network, which is not sure of any


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
def complete(
    model: Mcc,
    seen: SeenView,
    config: SingleConfig,
    recording: Recording | None = None,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Completion:
    """Ask the network where the object is, and take its surface.

    Args:
        model: the network. seen: the view. config: of the sweep. recording: is told what every pass finds.
        told: is told how many places of how many were asked, in each pass anew.

    Raises:
        InputError: nothing is occupied at the threshold.
    """
    recording = recording or Recording()
    answer = asker(model, seen.image, seen.points, seen.valid, seen.hints if model.sizes.hints else None)

    def fresh(number: int, places: FloatArray, colors: ByteArray) -> None:
        recording.at("pass", number + 1)
        radius = 0.5 * config.granularity * seen.scale
        recording.points(f"completed/pass_{number + 1}", seen.to_camera(places), colors, radius)

    with progress_bar("sweep") as update:

        def progress(number: int, done: int, whole: int) -> None:
            update(done, whole)
            told(done, whole)
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
            temperature=OWN_TEMPERATURE if model.sizes.hints else TEMPERATURE,
        )
    mesh = shell_surface(found, config.half_width)
    mesh = seen_colors(mesh, seen.seen, seen.rgb)
    # Turning x and y is a rotation: faces keep their sides
    mesh = Mesh(seen.to_camera(mesh.vertices), mesh.faces, mesh.colors)
    return Completion(mesh, seen.to_camera(found.places), np.asarray(found.rgb, dtype=np.uint8), found.asked)


def asker(model: Mcc, image: Tensor, points: Tensor, valid: Tensor, hints: Hints | None) -> Answer:
    """What answers places about one view, whose tokens are computed now, once.

    Args:
        model: the network. image: float32 [3, S, S], colours in 0..1. points: [P, P, 3]. valid: [P, P]. hints: about
            places, for a network that takes them.
    """
    device = next(model.parameters()).device
    memory = model.remember(model.encode(image[None].to(device), points[None].to(device), valid[None].to(device)))

    def answer(places: Tensor) -> Tensor:
        told = None if hints is None else torch.from_numpy(hints.at(places.numpy()))[None].to(device)
        return model.answer(memory, places[None].to(device), told)[0]

    return answer


def seen_colors(mesh: Mesh, seen: FloatArray, rgb: ByteArray) -> Mesh:
    """The mesh with the colours of the picture where it was seen, the network's elsewhere.

    Args:
        mesh: with colours, vertices [M, 3]. seen: [S, 3] points of the picture, the same frame, with colours uint8
            [S, 3].
    """
    assert mesh.colors is not None
    distance, index = cKDTree(seen).query(mesh.vertices, k=min(NEAREST, len(seen)), distance_upper_bound=UNSEEN)
    distance, index = distance.reshape(len(mesh.vertices), -1), index.reshape(len(mesh.vertices), -1)
    weight = np.where(np.isfinite(distance), 1.0 / distance.clip(1e-3), 0.0)
    shown = np.concatenate([rgb, np.zeros((1, 3), dtype=np.uint8)])[index]  # none: the index past the end
    mixed = (weight[..., None] * shown).sum(axis=1) / weight.sum(axis=1, keepdims=True).clip(1e-12)
    share = ((UNSEEN - distance[:, :1]) / (UNSEEN - SEEN)).clip(0.0, 1.0)
    colors = share * mixed + (1.0 - share) * mesh.colors
    return Mesh(mesh.vertices, mesh.faces, np.rint(colors).astype(np.uint8))
