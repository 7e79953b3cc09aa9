"""What a run left in its checkpoint, opened again without its pictures: to export, to evaluate, to ask."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nto3d.build.model import restore_model
from nto3d.config.io import to_dict
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.export.visibility import Visibility
from nto3d.parsers.contents import MismatchError, contents_of
from nto3d.runs.folder import CHECKPOINT_NAME
from nto3d.stages.model import SurfaceModel
from nto3d.stages.objects.meshes import Objects
from nto3d.training.checkpoint import MODEL_KEYS, check_config, load_checkpoint
from nto3d.training.contents import BEFORE_TARGET, OPENED, RECONSTRUCT_STAGE
from nto3d.types import FloatArray

log = logging.getLogger("nto3d")


@dataclass(frozen=True)
class StoredRun:
    """A trained model with what its export needs.

    Attributes:
        model: on the device that was asked for. world_from_normalized: [4, 4], of the scene.
        visibility: what the training views show; None in old checkpoints. objects: that have names, or None.
    """

    model: SurfaceModel
    world_from_normalized: FloatArray
    visibility: Visibility | None
    objects: Objects | None


def open_run(run_dir: Path, config: Config, device: torch.device) -> StoredRun:
    """Opens the checkpoint of a run.

    Args:
        config: the run's own configuration, in which only what does not shape the model may have been changed.

    Raises:
        InputError: there is no checkpoint, it is damaged or of another configuration, or the backend is missing.
    """
    path = run_dir / CHECKPOINT_NAME
    state = load_checkpoint(path, device, (RECONSTRUCT_STAGE, *BEFORE_TARGET), OPENED)
    check_config(state["config"], to_dict(config), path, MODEL_KEYS)
    if state["stage"] in BEFORE_TARGET:
        raise InputError(
            f"{path}: there is no mesh yet, the run was stopped while it looked for masks: go on with resume"
        )
    if "world_from_normalized" not in state:
        raise InputError(f"{path}: expected a checkpoint with world_from_normalized, got one of an older version")
    world = state["world_from_normalized"].cpu().numpy()
    with contents_of(path):
        with np.errstate(over="ignore"):
            volume = abs(float(np.linalg.det(world)))
        if not 0.0 < volume < float("inf"):
            raise MismatchError("world_from_normalized: expected a matrix that has an inverse, got another")
        return StoredRun(
            restore_model(state, config, device),
            world,
            Visibility.from_state(state["sight"]) if "sight" in state else None,
            Objects.from_state(state["objects"]) if "objects" in state else None,
        )


def stored_objects(run_dir: Path) -> Objects | None:
    """The named objects of a run; None where it has none, or no checkpoint.

    Raises:
        InputError: the checkpoint is damaged.
    """
    path = run_dir / CHECKPOINT_NAME
    if not path.is_file():
        return None
    state = load_checkpoint(path, "cpu", (RECONSTRUCT_STAGE, *BEFORE_TARGET), OPENED)
    with contents_of(path):
        return Objects.from_state(state["objects"]) if "objects" in state else None
