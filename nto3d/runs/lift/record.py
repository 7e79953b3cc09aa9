"""What a run on many pictures tells its recording (see `report.recording`): views, and their masks round by round."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import PurePath

import numpy as np

from nto3d.export.coordinates import is_coarse, near_origin
from nto3d.report.recording import Recording
from nto3d.types import BoolArray, Scene

log = logging.getLogger("nto3d")


def view_entity(scene: Scene, view: int) -> str:
    """Where a view is kept: its number and the name of its picture."""
    name = re.sub(r"[^\w.-]", "_", PurePath(scene.names[view]).stem, flags=re.ASCII)  # others have a meaning in paths
    return f"views/{view:03d}_{name}"


def record_views(recording: Recording, scene: Scene) -> None:
    """Cameras, in the world's frame and unit, and pictures; all relative to a place where float32 is too coarse."""
    cameras, matrix = scene.cameras, scene.world_from_normalized
    sphere = matrix[:3, 3] + scene.scale * np.array([[-1.0], [1.0]])
    if is_coarse(sphere):
        place, _ = near_origin(sphere)
        where = ", ".join(f"{value:.12g}" for value in place)
        log.info("the recording is relative to (%s)", where)
        recording.about(place)
    for view in range(len(cameras)):
        pose = cameras.cam_to_world[view]
        rotation = matrix[:3, :3] / scene.scale @ pose[:, :3]
        center = matrix[:3, :3] @ pose[:, 3] + matrix[:3, 3]
        entity = view_entity(scene, view)
        recording.camera(entity, cameras.intrinsics[view], np.column_stack([rotation, center]), cameras.size)
        recording.picture(f"{entity}/picture", scene.images[view])


def record_masks(recording: Recording, scene: Scene, masks: Mapping[int, BoolArray], entity: str = "") -> None:
    """Masks [H, W] of views; those that have not changed are not kept again.

    Args:
        entity: what the names of the masks end in, `/NAME` for one of several objects.
    """
    for view, mask in masks.items():
        recording.mask(f"{view_entity(scene, view)}/mask{entity}", mask)
