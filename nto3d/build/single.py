"""What mode=single needs, from the configuration: the depth of a picture, and MCC."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from nto3d.config.schema import Config, Reader
from nto3d.config.single import DepthSource
from nto3d.data.images import picture_size, reduce_depth
from nto3d.depth.base import Depth
from nto3d.depth.file import FileDepth
from nto3d.depth.mono import MonoDepth
from nto3d.depth.scene import SceneDepth
from nto3d.errors import InputError
from nto3d.mcc.inputs import MARGIN, relative_margin
from nto3d.mcc.model import Mcc
from nto3d.mcc.weights import BUNDLED, is_own, load_mcc
from nto3d.segment.prompts.read import file_size
from nto3d.types import BoolArray, Scene


def build_depth(config: Config, scene: Scene, device: torch.device) -> Depth:
    """The source of depth.

    Raises:
        InputError: it lacks a file, a model, or the scene has none.
    """
    depth = config.depth
    match depth.source:
        case DepthSource.scene:
            return SceneDepth(scene.depths, config.scene.view, scene.scale)
        case DepthSource.file:
            if depth.path is None:
                raise InputError("depth.path is missing: give the file as depth.path=FILE")
            factor = config.scene.downscale
            full = _size_on_disk(config, scene) if factor > 1 else None
            return FileDepth(Path(depth.path), depth.scale, full, partial(reduce_depth, factor=factor))
        case DepthSource.model:
            if depth.model is None:
                raise InputError("depth.model is missing: give a folder or a name of the hub as depth.model=NAME")
            return MonoDepth(depth.model, device)


def _size_on_disk(config: Config, scene: Scene) -> tuple[int, int]:
    path = Path(config.scene.path)
    one = config.scene.reader is Reader.image
    return picture_size(path) if one else file_size(path, scene, config.scene.downscale)


def build_mcc(config: Config, device: torch.device) -> Mcc:
    """The network, with its weights: the bundled ones unless others are named.

    Raises:
        InputError: they are missing or damaged, or another network's.
    """
    return load_mcc(weights_path(config), device)


def weights_path(config: Config) -> Path:
    """Where the network's weights are."""
    return BUNDLED if config.single.checkpoint is None else Path(config.single.checkpoint)


def margin_of(config: Config, mask: BoolArray) -> int:
    """Pixels around a mask that the network gets to see: as many as in its training, unless the configuration says."""
    if config.single.margin is not None:
        return config.single.margin
    return relative_margin(mask) if is_own(weights_path(config)) else MARGIN
