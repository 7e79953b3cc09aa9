"""What looks at pictures, from the configuration: segmenters, and the encoders whose features are lifted."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from nto3d.build.device import named_device
from nto3d.build.model import PRECISIONS
from nto3d.config.bundled import cache_folder
from nto3d.config.schema import Config, FeatureSource, MaskUse, SegmenterName
from nto3d.segment.base import Finder, Segmenter
from nto3d.segment.descriptors import classical_features
from nto3d.segment.grabcut.segmenter import GrabCutSegmenter
from nto3d.segment.hf.files import find_folder
from nto3d.segment.hf.segmenter import open_hf
from nto3d.segment.hf.text import check_reads_text, open_finder
from nto3d.segment.sam.loading import open_sam
from nto3d.segment.sam.published import find_checkpoint
from nto3d.segment.sam.segmenter import SamSegmenter, sam_features
from nto3d.types import BoolArray, Scene
from nto3d.types.feature_maps import FeatureMaps

log = logging.getLogger("nto3d")
SAM_CACHE, HF_CACHE = "sam", "hf"  # folders in the scene's cache


def build_segmenter(config: Config) -> Segmenter[Any]:
    """The segmenter that answers prompts.

    Raises:
        InputError: its weights are missing or wrong.
    """
    match config.segmenter.name:
        case SegmenterName.grabcut:
            return GrabCutSegmenter()
        case SegmenterName.sam:
            return _open_sam(config)
        case SegmenterName.hf:
            device, cache = named_device("segmenter.device", config.segmenter.device), _cache(config, HF_CACHE)
            return open_hf(config.segmenter.model, device, PRECISIONS[config.segmenter.precision], cache)
        case SegmenterName.precomputed:
            raise ValueError("expected a segmenter that answers prompts, got precomputed")


def _open_sam(config: Config) -> SamSegmenter:
    device, cache = named_device("segmenter.device", config.segmenter.device), _cache(config, SAM_CACHE)
    return open_sam(config.segmenter.checkpoint, device, PRECISIONS[config.segmenter.precision], cache)


def _cache(config: Config, name: str) -> Path | None:
    """Where embeddings are kept; None where they are not."""
    return cache_folder(Path(config.scene.path)) / name if config.segmenter.cache else None


def build_finder(config: Config) -> Finder | None:
    """What finds the noun in `prompts.text`; None where there is none.

    Raises:
        InputError: its weights are missing or wrong, or it cannot read text.
    """
    if config.prompts.text is None:
        return None
    return open_finder(config.segmenter.model, named_device("segmenter.device", config.segmenter.device))


def check_weights(config: Config) -> None:
    """Look for the weights that a run will need; what lacks them is said before anything is trained.

    Raises:
        InputError: they are missing.
    """
    clicked = config.scene.masks is MaskUse.given and config.segmenter.name is SegmenterName.sam
    if config.scene.masks is MaskUse.given and config.segmenter.name is SegmenterName.hf:
        folder = find_folder(config.segmenter.model)
        if config.prompts.text is not None:
            check_reads_text(folder)
    if clicked or (config.field.feature and _feature_source(config) is FeatureSource.sam):
        find_checkpoint(config.segmenter.checkpoint)


def _feature_source(config: Config) -> FeatureSource:
    """sam or classical."""
    if config.field.feature_source is not FeatureSource.auto:
        return config.field.feature_source
    return FeatureSource.sam if config.segmenter.name is SegmenterName.sam else FeatureSource.classical


def build_features(config: Config, scene: Scene, masks: BoolArray | None) -> FeatureMaps | None:
    """The features of all pictures that the feature field learns, on the CPU; None where it learns none.

    Args:
        masks: [V, H, W] of the target, or None.

    Raises:
        InputError: the encoder's weights are missing or wrong.
    """
    if not config.field.feature:
        return None
    source = _feature_source(config)
    log.info("features of the pictures: %s", source.value)
    if source is FeatureSource.sam:
        return sam_features(_open_sam(config), scene.images)
    return classical_features(scene.images, scene.train, masks, torch.get_num_threads())
