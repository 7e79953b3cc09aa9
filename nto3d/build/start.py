"""What the pictures say of each other: where training begins, and the patches that it compares."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from nto3d.config.schema import Config, Start
from nto3d.geometry.carving import DepthMaps, photo_hull, signed_distance
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.photometric import PhotometricTerm
from nto3d.stages.reconstruct.start import fit_to_distance, refined_distance
from nto3d.stages.reconstruct.stereo_points import MOST, StereoTerm, SurfacePoints
from nto3d.stereo.maps import PIXELS, StereoMaps, stereo_maps
from nto3d.types import BoolArray, Scene

log = logging.getLogger("nto3d")
SHARP = 80.0  # initial sharpness of a start that lies near the surface
LEAST_SOLID = 1e-4  # share of the cells that the photo hull must have


@dataclass(frozen=True)
class Initialization:
    """Where training begins.

    Attributes:
        distance: [G, G, G] signed distance that the model was fitted to, see `geometry.carving.signed_distance`.
        pull: the surface that stereo is sure of.
    """

    distance: Tensor
    pull: StereoTerm


def build_start(
    config: Config, scene: Scene, model: SurfaceModel, masks: BoolArray | None, unknown: BoolArray | None = None
) -> Initialization | None:
    """Let a fresh model begin as what multi-view stereo sees.

    Args:
        masks, unknown: as in `build_model`.

    Returns:
        None where the model stays a sphere, which is also so where the pictures show no surface.
    """
    if config.field.start is not Start.stereo:
        return None
    log.info("comparing neighbouring pictures for a start")
    device, alone = model.variance.device, masks is None
    maps = stereo_maps(
        scene.images,
        scene.cameras,
        scene.train,
        masks=masks,
        unknown=unknown,
        beyond=alone,
        pixels=PIXELS // 2 if alone else PIXELS,
        seed=config.seed,
        device=device,
    )
    solid = photo_hull(model.grid.hull.cpu().numpy() > 0, DepthMaps(maps.cameras, maps.depths), backed=alone)
    if solid.sum() < LEAST_SOLID * solid.size:
        log.warning("neighbouring pictures agree on no surface: training starts from a sphere")
        return None
    if config.field.init_inv_std is None:
        model.sharpen(SHARP)
    start = torch.from_numpy(signed_distance(solid)).to(device)
    points = _surface_points(maps, config.seed).to(device)
    fit_to_distance(model.sdf, start, config.seed, points)
    loss = config.trainer.loss
    pull = StereoTerm(points, loss.stereo_weight, config.trainer.stereo_steps, config.seed)
    return Initialization(refined_distance(model.sdf, start), pull)


def build_photometric(
    config: Config, scene: Scene, masks: BoolArray | None, device: torch.device
) -> PhotometricTerm | None:
    """What compares patches of the pictures over the surface, or None where that has no weight."""
    trainer = config.trainer
    if trainer.loss.patch_weight == 0.0:
        return None
    half, sources = trainer.patch_half, trainer.patch_sources
    return PhotometricTerm(scene, scene.train, masks, device, half=half, sources=sources)


def _surface_points(maps: StereoMaps, seed: int) -> SurfacePoints:
    """The points of stereo in the unit sphere, thinned."""
    positions, normals, towards, confidence = (torch.from_numpy(values) for values in maps.points())
    inside = torch.nonzero((positions.norm(dim=1) < 1.0) & (confidence > 0.0))[:, 0]
    return SurfacePoints(positions, normals, towards, confidence).chosen(inside).thinned(MOST, seed)
