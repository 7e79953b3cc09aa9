"""The only place that turns configuration into objects."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor, nn

from nto3d.build.exposure import build_exposure, stored_exposures
from nto3d.config.check import get_value
from nto3d.config.schema import Config, MaskUse, SegmenterName
from nto3d.config.single import Precision
from nto3d.errors import InputError, memory_of
from nto3d.fields.background import BackgroundField
from nto3d.fields.color import ColorField
from nto3d.fields.exposure import Exposure
from nto3d.fields.feature import FeatureField
from nto3d.fields.occupancy import OccupancyField
from nto3d.fields.sdf import SdfField
from nto3d.geometry.exposure import Exposures
from nto3d.geometry.hull import visual_hull
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.training.loop import Schedule
from nto3d.training.restore import load_module
from nto3d.types import BoolArray, Scene

log = logging.getLogger("nto3d")
SOFT = 20.0  # initial sharpness of a sphere
TARGET_LEVELS, TARGET_FINEST = 8, 128  # of the target field's hash grid: an object's outline, not its texture
DISSENT = 0.05  # share of the views whose found masks may lack a part of the target
SHARE_OF_INSCRIBED = 0.675  # of the largest sphere that fits into the hull
PRECISIONS = {
    Precision.float32: torch.float32,
    Precision.bfloat16: torch.bfloat16,
    Precision.float16: torch.float16,
}


def build_target(config: Config) -> OccupancyField:
    """A fresh target field."""
    spec = HashGridSpec(TARGET_LEVELS, 2, config.lift.log2_entries, 8, TARGET_FINEST)
    return OccupancyField(HashGrid(spec, config.encoding.backend.value))


def _encoding(config: Config, key: str) -> HashGrid:
    """A hash grid of as many entries as a key says."""
    encoding = config.encoding
    spec = HashGridSpec(
        levels=encoding.levels,
        features=encoding.features,
        log2_entries=get_value(config, key),
        base_resolution=encoding.base_resolution,
        max_resolution=encoding.max_resolution,
    )
    asked = f"{key}={spec.log2_entries}, hash tables of encoding.levels={spec.levels}"
    with memory_of(asked, "lower one of them"):
        return HashGrid(spec, encoding.backend.value)


def build_model(
    config: Config,
    scene: Scene,
    masks: BoolArray | None,
    unknown: BoolArray | None,
    device: torch.device,
    features: Tensor | None = None,
    exposures: Exposures | None = None,
) -> SurfaceModel:
    """The fields of a scene, with an occupancy grid that starts as the hull of masks or cameras.

    Args:
        masks: [V, H, W] to train with, or None. unknown: [V, H, W], pixels whose masks say nothing, or None.
        features: [S, C], some of the target's, for a feature field; None: without one.
        exposures: of the pictures, or None where they are all alike.

    Raises:
        InputError: the hull is empty (the masks contradict each other), or the backend is missing.
    """
    # Masks that were found in single views are wrong here and there, and a hull takes away what any of them lacks
    dissent = 0.0 if config.segmenter.name is SegmenterName.precomputed else DISSENT
    cells = config.trainer.grid_resolution
    asked = f"trainer.grid_resolution={cells}, cells along an axis of the occupancy grid"
    with memory_of(asked, "lower it"):
        hull = visual_hull(scene.cameras, scene.train, cells, masks, unknown, dissent=dissent)
    if not hull.any():
        raise InputError(
            f"{config.scene.path}: the masks of the training views have no common volume in the unit sphere"
        )
    viewpoints = torch.from_numpy(scene.cameras.centers[list(scene.train)])
    grid = torch.from_numpy(hull)
    channels = 0 if features is None else features.shape[1]
    exposure = build_exposure(exposures, scene.train)
    with memory_of(asked, "lower it"):
        model = _assemble(config, grid, viewpoints, device, channels, exposure, _radius(config, grid))
    if features is not None:
        assert model.features is not None
        model.features.start_at(features.to(device))
    return model


def restore_model(state: Mapping[str, Any], config: Config, device: torch.device) -> SurfaceModel:
    """The model of a checkpoint of the reconstruction; the pictures are not needed.

    Args:
        state: the checkpoint. config: what it was made with; only what does not shape the model may be another.

    Raises:
        InputError: its tensors are those of another model.
    """
    channels = len(state["model"].get("features.out.bias", ()))
    exposure = build_exposure(stored_exposures(state["model"]), ())  # the views trained with come with the state
    model = _assemble(config, state["model"]["grid.hull"], state["model"]["viewpoints"], device, channels, exposure)
    load_module(model, state["model"])
    return model


def _assemble(
    config: Config,
    hull: Tensor,
    viewpoints: Tensor,
    device: torch.device,
    channels: int,
    exposure: Exposure | None,
    radius: float = 0.5,
) -> SurfaceModel:
    """The fields with an occupancy grid of a hull [G, G, G], for cameras at `viewpoints` [V, 3].

    Args:
        channels: of the feature field; 0: none. It comes last, so that the others start alike with and without it.
    """
    field = config.field
    with_masks = config.scene.masks is MaskUse.given
    sdf = SdfField(
        _encoding(config, "encoding.log2_entries"),
        hidden=field.hidden,
        layers=field.layers,
        geometry_features=field.geometry_features,
        radius=radius,
    )
    color = ColorField(field.geometry_features, field.color_hidden, field.color_layers)
    background = BackgroundField(_encoding(config, "field.background_log2_entries")) if not with_masks else None
    features = None
    if channels:
        features = FeatureField(field.geometry_features, field.color_hidden, field.feature_hidden, channels)
    model = SurfaceModel(
        sdf,
        color,
        OccupancyGrid(hull, search_hull=with_masks),
        viewpoints,
        background,
        features=features,
        exposure=exposure,
        init_inv_std=field.init_inv_std or SOFT,
        precision=PRECISIONS[config.trainer.precision],
    )
    return model.to(device)


def _radius(config: Config, hull: Tensor) -> float:
    """Radius of the initial sphere, by default well inside the hull [G, G, G].

    A surface that starts on the hull stays on it where masks alone would allow it; one that grows from inside meets the
    true surface of a concavity first. If it is too small, plain regions are reached late and stay dented.
    """
    if config.field.sphere_radius is not None:
        return config.field.sphere_radius
    inside = ndimage.distance_transform_edt(hull.cpu().numpy() > 0)
    return min(0.5, max(0.05, SHARE_OF_INSCRIBED * float(inside.max()) * 2.0 / len(hull)))


def build_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Adam with the groups of `parameter_groups`."""
    return torch.optim.Adam(parameter_groups(config, model), betas=(0.9, 0.99), fused=True)


def parameter_groups(config: Config, model: nn.Module) -> list[dict[str, Any]]:
    """A group each for hash tables, the sharpness, exposures and MLPs, without those that the model lacks.

    Table rows get tiny gradients, so that epsilon must not hold them back; for the MLPs it must, or weights that hardly
    matter yet (of levels that only fade in) would take steps of full size on noise.
    """
    trainer = config.trainer
    rates = {"variance": trainer.variance_lr, "mlp": trainer.mlp_lr, "exposure": trainer.exposure_lr}
    settings = {"table": (trainer.lr, 1e-15), **{kind: (rate, 1e-8) for kind, rate in rates.items()}}
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in settings}
    for name, parameter in model.named_parameters():
        kind = "exposure" if name.startswith("exposure.") else name.rpartition(".")[2]
        groups[kind if kind in groups else "mlp"].append(parameter)
    return [
        {"params": groups[kind], "lr": lr, "base_lr": lr, "eps": eps}
        for kind, (lr, eps) in settings.items()
        if groups[kind]
    ]


def memory_of_a_step(config: Config) -> tuple[str, str]:
    """What a step of training asks memory for, and what helps where that is not there; for `errors.memory_of`."""
    trainer, encoding = config.trainer, config.encoding
    tables = f"encoding.log2_entries={encoding.log2_entries} with gradients and moments"
    return (
        f"a training step of trainer.samples_per_step={trainer.samples_per_step}, and {tables}",
        "lower one of them, trainer.max_rays or trainer.patch_rays",
    )


def build_schedule(config: Config, objects: int = 1) -> Schedule:
    """When what happens in training.

    Args:
        objects: that are trained together; more than one take more steps.
    """
    trainer = config.trainer
    return Schedule(
        steps=round(trainer.steps * (1.0 + trainer.object_steps * (objects - 1))),
        warmup=trainer.warmup_steps,
        decay=trainer.decay,
        clip_norm=trainer.clip_norm,
        checkpoint_every=trainer.checkpoint_every,
        log_every=trainer.log_every,
        image_every=trainer.image_every if config.logger.tensorboard else 0,
    )
