"""What is known and said of named objects: their true masks and surfaces, and metrics of each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nto3d.config.schema import Config, Unseen
from nto3d.data.truth import Truth, read_truths
from nto3d.evaluate.geometry import mesh_metrics, volume
from nto3d.evaluate.masks import mean_iou
from nto3d.evaluate.overlap import share_in_common
from nto3d.runs.folder import MASKS_NAME, OBJECTS_NAME
from nto3d.runs.lift.files import read_masks
from nto3d.stages.objects.meshes import joined
from nto3d.types import Mesh, Scene


def with_truth(config: Config, scene: Scene, names: Sequence[str]) -> tuple[Scene, dict[str, Truth]]:
    """A scene whose true masks and surface are those of all named objects together, and the truth of each.

    What is not known of one of them is not known of all.

    Raises:
        InputError: a file with the truth is damaged.
    """
    truths = read_truths(config.scene, scene, names)
    masks = [truth.masks for truth in truths.values() if truth.masks is not None]
    meshes = [truth.mesh for truth in truths.values() if truth.mesh is not None]
    together = dataclasses.replace(
        scene,
        masks=np.any(masks, axis=0) if len(masks) == len(truths) else None,
        gt_mesh=joined(meshes) if len(meshes) == len(truths) else None,
    )
    return together, truths


def object_metrics(
    config: Config, scene: Scene, run_dir: Path, meshes: Mapping[str, Mesh], truths: Mapping[str, Truth]
) -> dict[str, float]:
    """What to say of each named object, as NAME.vertices, NAME.faces, NAME.volume, ...

    The volume is in cubic world units. Where the truth is known, the keys of `mesh_metrics` and lift_mask_iou follow.
    `volume_in_common` is the largest of two closed objects, as a share of the smaller one's.

    Args:
        meshes: world units.

    Raises:
        InputError: the masks of an object are missing.
    """
    metrics: dict[str, float] = {}
    for name, mesh in meshes.items():
        found: dict[str, float] = {"vertices": len(mesh.vertices), "faces": len(mesh.faces), "volume": volume(mesh)}
        true, samples, share = truths[name], config.evaluate.chamfer_samples, config.evaluate.fscore_threshold
        if config.evaluate.enabled and true.mesh is not None:
            found |= mesh_metrics(mesh, true.mesh, samples=samples, threshold_share=share, seed=config.seed)
        if true.masks is not None:
            masks = read_masks(run_dir / OBJECTS_NAME / name / MASKS_NAME, scene)
            found["lift_mask_iou"] = mean_iou(masks, true.masks, scene.train)
        metrics |= {f"{name}.{key}": value for key, value in found.items()}
    if len(meshes) > 1 and config.export.unseen is not Unseen.trim:
        metrics["volume_in_common"] = max(share_in_common(*pair) for pair in itertools.combinations(meshes.values(), 2))
    return metrics
