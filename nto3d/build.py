"""The only place that turns configuration into objects."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import nn

from nto3d.config import Backend, Config, MaskUse, Precision, SegmenterName
from nto3d.errors import InputError
from nto3d.fields.background import BackgroundField
from nto3d.fields.color import ColorField
from nto3d.fields.sdf import SdfField
from nto3d.geometry.hull import visual_hull
from nto3d.kernels.hashgrid import HashGrid, HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.segment.base import Segmenter
from nto3d.segment.precomputed import PrecomputedSegmenter
from nto3d.stages.model import SurfaceModel
from nto3d.training.loop import Schedule
from nto3d.types import BoolArray, Scene

PRECISIONS = {
    Precision.float32: torch.float32,
    Precision.bfloat16: torch.bfloat16,
    Precision.float16: torch.float16,
}


def build_device(config: Config) -> torch.device:
    """The device of a run; also sets the number of CPU threads and seeds torch.

    Raises:
        InputError: the device does not exist, or the backend cannot run on it.
    """
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    torch.manual_seed(config.seed)
    np.random.seed(config.seed % 2**32)  # noqa: NPY002, for libraries that draw from the global state
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: expected a device of this machine, got {name}, but torch finds no CUDA")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: expected one of {torch.cuda.device_count()} CUDA devices, got {name}")
    if config.encoding.backend is Backend.tcnn and device.type != "cuda":
        raise InputError("encoding.backend: tcnn needs a CUDA device; use encoding=warp on the CPU")
    return device


def build_segmenter(config: Config) -> Segmenter:
    """The segmenter."""
    match config.segmenter.name:
        case SegmenterName.precomputed:
            return PrecomputedSegmenter()


def build_masks(config: Config, scene: Scene) -> BoolArray | None:
    """Masks [V, H, W] to train with, or None where none are to be used."""
    return build_segmenter(config).segment(scene) if config.scene.masks is MaskUse.given else None


def _encoding(config: Config, log2_entries: int) -> HashGrid:
    encoding = config.encoding
    spec = HashGridSpec(
        levels=encoding.levels,
        features=encoding.features,
        log2_entries=log2_entries,
        base_resolution=encoding.base_resolution,
        max_resolution=encoding.max_resolution,
    )
    return HashGrid(spec, encoding.backend.value)


def build_model(config: Config, scene: Scene, masks: BoolArray | None, device: torch.device) -> SurfaceModel:
    """The fields of a scene, with an occupancy grid that starts as the hull of masks or cameras.

    Raises:
        InputError: the hull is empty (the masks contradict each other), or the backend is missing.
    """
    field = config.field
    hull = visual_hull(scene.cameras, scene.train, config.trainer.grid_resolution, masks)
    if not hull.any():
        raise InputError(f"{config.scene.path}: the masks of the training views have no common volume in the unit sphere")
    sdf = SdfField(
        _encoding(config, config.encoding.log2_entries),
        hidden=field.hidden,
        layers=field.layers,
        geometry_features=field.geometry_features,
        radius=field.sphere_radius,
    )
    color = ColorField(field.geometry_features, field.color_hidden, field.color_layers)
    background = BackgroundField(_encoding(config, field.background_log2_entries)) if masks is None else None
    model = SurfaceModel(
        sdf,
        color,
        OccupancyGrid(torch.from_numpy(hull), search_hull=masks is not None),
        background,
        init_inv_std=field.init_inv_std,
        precision=PRECISIONS[config.trainer.precision],
    )
    return model.to(device)


def build_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Adam with a learning rate each for hash tables, MLPs and the sharpness.

    Table rows get tiny gradients, so that epsilon must not hold them back; for the MLPs it must, or weights that hardly
    matter yet (of levels that only fade in) would take steps of full size on noise.
    """
    trainer = config.trainer
    settings = {"table": (trainer.lr, 1e-15), "variance": (trainer.variance_lr, 1e-8), "mlp": (trainer.mlp_lr, 1e-8)}
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in settings}
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        groups[last if last in groups else "mlp"].append(parameter)
    return torch.optim.Adam(
        [{"params": groups[kind], "lr": lr, "base_lr": lr, "eps": eps} for kind, (lr, eps) in settings.items()],
        betas=(0.9, 0.99),
        fused=True,
    )


def build_schedule(config: Config) -> Schedule:
    """When what happens in training."""
    trainer = config.trainer
    return Schedule(
        steps=trainer.steps,
        warmup=trainer.warmup_steps,
        decay=trainer.decay,
        clip_norm=trainer.clip_norm,
        checkpoint_every=trainer.checkpoint_every,
        log_every=trainer.log_every,
        image_every=trainer.image_every if config.logger.tensorboard else 0,
    )
