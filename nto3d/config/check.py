"""Values that have the right type and cannot work all the same; imports no torch."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from nto3d.config.paths import NAME, PATH_KEYS
from nto3d.config.schema import Config, MaskUse, Mode, Reader, SegmenterName, ViewerName
from nto3d.config.single import FIRST_HELD_OUT, Precision, TrainMccConfig
from nto3d.errors import InputError

_BIG = 1e9
PER_CORE = 4  # threads, at most: more of them only wait for each other

# key: (least, most) value, both allowed; keys that may be null are skipped when they are
_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "scene.downscale": (1, 64),
    "scene.seed": (0, 2**32 - 1),
    "scene.view": (0, 1_000_000),
    "scene.fov_degrees": (1.1, 178.9),
    "depth.scale": (1e-12, _BIG),
    "single.granularity": (0.005, 1.0),
    "single.extent": (0.5, 10.0),
    "single.threshold": (0.001, 0.999),
    "single.batch": (1, 2**24),
    "single.margin": (0, 100_000),
    "single.half_width": (0.001, 1.0),
    "train_mcc.network.image": (1, 4096),
    "train_mcc.network.patch": (1, 4096),
    "train_mcc.network.points": (1, 4096),
    "train_mcc.network.window": (1, 4096),
    "train_mcc.network.width": (4, 65536),
    "train_mcc.network.depth": (1, 256),
    "train_mcc.network.heads": (1, 256),
    "train_mcc.network.decoder_width": (4, 65536),
    "train_mcc.network.decoder_depth": (1, 256),
    "train_mcc.network.decoder_heads": (1, 256),
    "train_mcc.network.frequencies": (0, 16),
    "train_mcc.objects": (0, FIRST_HELD_OUT),
    "train_mcc.first_object": (0, FIRST_HELD_OUT - 1),
    "train_mcc.views": (1, 1000),
    "train_mcc.side": (16, 4096),
    "train_mcc.surface_points": (100, 10_000_000),
    "train_mcc.downscale": (1, 64),
    "train_mcc.steps": (1, 10_000_000),
    "train_mcc.batch": (1, 65536),
    "train_mcc.queries": (1, 2**20),
    "train_mcc.near": (0.0, 1.0),
    "train_mcc.spread": (1e-6, 10.0),
    "train_mcc.distance": (1e-6, 10.0),
    "train_mcc.scale": (0.0, 0.99),
    "train_mcc.shift": (0.0, 100.0),
    "train_mcc.degrees": (0.0, 180.0),
    "train_mcc.flip": (0.0, 1.0),
    "train_mcc.color_weight": (0.0, _BIG),
    "train_mcc.lr": (1e-9, 10.0),
    "train_mcc.adam_lr": (1e-9, 10.0),
    "train_mcc.warmup_steps": (0, 10_000_000),
    "train_mcc.decay": (1e-9, 1.0),
    "train_mcc.weight_decay": (0.0, 10.0),
    "train_mcc.clip_norm": (1e-9, _BIG),
    "train_mcc.calibrate": (0, 100_000),
    "train_mcc.held_out": (0, 100_000),
    "train_mcc.check_every": (0, 10_000_000),
    "train_mcc.checkpoint_every": (1, 10_000_000),
    "train_mcc.log_every": (1, 10_000_000),
    "prompts.view": (0, 1_000_000),
    "encoding.levels": (1, 32),
    "encoding.features": (1, 8),
    "encoding.log2_entries": (4, 24),
    "encoding.base_resolution": (2, 4096),
    "encoding.max_resolution": (2, 65536),
    "field.hidden": (1, 4096),
    "field.layers": (1, 16),
    "field.geometry_features": (1, 1024),
    "field.color_hidden": (1, 4096),
    "field.color_layers": (1, 16),
    "field.sphere_radius": (0.01, 1.0),
    "field.init_inv_std": (0.1, 1e5),
    "field.background_log2_entries": (4, 24),
    "field.feature_hidden": (1, 4096),
    "trainer.steps": (1, 10_000_000),
    "trainer.object_steps": (0.0, 100.0),
    "trainer.samples_per_step": (1, 2**26),
    "trainer.max_rays": (1, 2**24),
    "trainer.lr": (1e-9, 10.0),
    "trainer.mlp_lr": (1e-9, 10.0),
    "trainer.variance_lr": (1e-9, 10.0),
    "trainer.exposure_lr": (1e-9, 10.0),
    "trainer.warmup_steps": (0, 10_000_000),
    "trainer.decay": (1e-9, 1.0),
    "trainer.clip_norm": (1e-9, _BIG),
    "trainer.grid_resolution": (8, 1024),
    "trainer.grid_start": (0, 10_000_000),
    "trainer.grid_every": (1, 10_000_000),
    "trainer.step_size": (1e-5, 1.0),
    "trainer.max_step_size": (1e-5, 1.0),
    "trainer.least_weight": (0.0, 1.0),
    "trainer.anneal_steps": (0, 10_000_000),
    "trainer.coarse_to_fine_steps": (0, 10_000_000),
    "trainer.start_steps": (0, 10_000_000),
    "trainer.start_levels": (1, 32),
    "trainer.feature_ramp": (0, 10_000_000),
    "trainer.feature_steps": (0, 10_000_000),
    "trainer.checkpoint_every": (1, 10_000_000),
    "trainer.log_every": (1, 10_000_000),
    "trainer.image_every": (0, 10_000_000),
    "trainer.loss.color_weight": (0.0, _BIG),
    "trainer.loss.mask_weight": (0.0, _BIG),
    "trainer.loss.empty_weight": (0.0, _BIG),
    "trainer.loss.eikonal_weight": (0.0, _BIG),
    "trainer.loss.curvature_weight": (0.0, _BIG),
    "trainer.loss.start_weight": (0.0, _BIG),
    "trainer.loss.feature_weight": (0.0, _BIG),
    "trainer.loss.stereo_weight": (0.0, _BIG),
    "trainer.stereo_steps": (0, 10_000_000),
    "trainer.loss.patch_weight": (0.0, _BIG),
    "trainer.patch_start": (0, 10_000_000),
    "trainer.patch_ramp": (0, 10_000_000),
    "trainer.patch_rays": (0, 2**24),
    "trainer.patch_fine": (0, 10_000_000),
    "trainer.patch_half": (1, 15),
    "trainer.patch_sources": (1, 64),
    "trainer.loss.exposure_weight": (0.0, _BIG),
    "lift.scene_steps": (1, 10_000_000),
    "lift.transfer_views": (0, 1000),
    "lift.round_steps": (1, 10_000_000),
    "lift.max_rounds": (0, 1000),
    "lift.sure": (0.0, 1.0),
    "lift.tol": (0.0, 1.0),
    "lift.accept": (0.0, 1.0),
    "lift.mask_weight": (0.0, _BIG),
    "lift.geometry_gradient": (0.0, 1.0),
    "lift.rate": (1e-9, 1.0),
    "lift.max_rays": (1, 2**24),
    "lift.log2_entries": (4, 24),
    "export.resolution": (8, 8192),
    "evaluate.max_views": (1, 1_000_000),
    "evaluate.chamfer_samples": (100, 100_000_000),
    "evaluate.fscore_threshold": (1e-9, 1.0),
}


def validate(config: Config) -> None:
    """Checks the values of a composed configuration.

    Raises:
        InputError: the first impossible value: its key, what was expected and what came.
    """
    for key, (least, most) in _RANGES.items():
        value = get_value(config, key)
        # written so that NaN, which compares false with everything, does not pass
        if value is not None and not least <= value <= most:
            raise InputError(f"{key}: expected a number from {least:g} to {most:g}, got {value}")
    if config.threads is not None and not 1 <= config.threads <= most_threads():
        raise InputError(
            f"threads: expected a number from 1 to {most_threads()}, {PER_CORE} for each of the {cores()} cores here, "
            f"got {config.threads}"
        )
    _check_names(config)
    _check_together(config)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def most_threads() -> int:
    """The most threads that a run may ask for on this machine."""
    return PER_CORE * cores()


def get_value(config: object, key: str) -> Any:
    """The value at a dotted key.

    Raises:
        AttributeError: there is no such key.
    """
    for part in key.split("."):
        config = getattr(config, part)
    return config


def _check_names(config: Config) -> None:
    for key in ("device", "segmenter.device"):
        device = get_value(config, key)
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
            raise InputError(f"{key}: expected auto, cpu, cuda or cuda:N, got {device!r}")
    if not re.fullmatch(NAME, config.scene.name) or set(config.scene.name) == {"."}:
        raise InputError(f"scene.name: expected letters, digits and . _ + -, got {config.scene.name!r}")
    for key in PATH_KEYS:
        value = get_value(config, key)
        if value is not None and (not value.strip() or re.search("[\0\ud800-\udfff]", value)):
            raise InputError(f"{key}: expected a path in UTF-8, got {value!r}")
    text = config.prompts.text
    if text is not None and not any(letter.isalnum() for letter in text):
        raise InputError(f"prompts.text: expected a noun, got {text!r}")


def _check_together(config: Config) -> None:
    encoding, views = config.encoding, config.scene.test_views
    if encoding.max_resolution < encoding.base_resolution:
        raise InputError(
            f"encoding.max_resolution: expected at least encoding.base_resolution = {encoding.base_resolution}, "
            f"got {encoding.max_resolution}"
        )
    if config.scene.reader is Reader.image and config.mode is not Mode.single:
        raise InputError(f"scene: expected many posed pictures for mode={config.mode.value}, got one: pass mode=single")
    if config.scene.mask is not None and config.scene.reader is not Reader.image:
        raise InputError(
            f"scene.mask: expected scene=image with it, got {config.scene.mask}: the masks of a scene lie in its folder"
        )
    if config.prompts.text is not None and config.segmenter.name is not SegmenterName.hf:
        raise InputError(
            f"prompts.text: segmenter={config.segmenter.name.value} cannot read text, expected segmenter=hf with SAM 3 "
            "(segmenter.model=FOLDER); or point with prompts.points"
        )
    if config.prompts.text is not None and config.scene.masks is MaskUse.none:
        raise InputError("prompts.text: scene.masks=none reconstructs everything and asks for no target: leave one out")
    _check_train_mcc(config.train_mcc)
    if config.single.granularity > config.single.extent:
        raise InputError(
            f"single.granularity: expected at most single.extent = {config.single.extent}, "
            f"got {config.single.granularity}"
        )
    if config.mode is Mode.train_mcc and config.viewer.name is not ViewerName.none:
        raise InputError("viewer: there is nothing to record in mode=train_mcc: leave viewer=none")
    if config.trainer.max_step_size < config.trainer.step_size:
        raise InputError(
            f"trainer.max_step_size: expected at least trainer.step_size = {config.trainer.step_size}, "
            f"got {config.trainer.max_step_size}"
        )
    # OmegaConf lets lists in lists pass
    if views is not None and not all(isinstance(view, int) for view in views):
        raise InputError(f"scene.test_views: expected numbers of views, got {views}")
    if not all(isinstance(path, str) and path.strip() for path in config.train_mcc.scenes):
        raise InputError(f"train_mcc.scenes: expected folders, got {config.train_mcc.scenes}")
    if views is not None and (min(views, default=0) < 0 or len(set(views)) != len(views)):
        raise InputError(f"scene.test_views: expected different view numbers from 0 on, got {views}")
    loss = config.trainer.loss
    if loss.color_weight == 0 and loss.mask_weight == 0:
        raise InputError("trainer.loss: expected a positive color_weight or mask_weight, got 0 for both")


def _check_train_mcc(train: TrainMccConfig) -> None:
    if train.first_object + train.objects > FIRST_HELD_OUT:
        raise InputError(
            f"train_mcc.first_object: expected objects below {FIRST_HELD_OUT}, which are for measuring, got "
            f"{train.first_object} and {train.objects} of them"
        )
    if train.precision is Precision.float16:
        raise InputError("train_mcc.precision: expected float32 or bfloat16, got float16")
