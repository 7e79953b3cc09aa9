"""A run: what the mode of the configuration asks for."""

from __future__ import annotations

from nto3d.config.schema import Config, Mode
from nto3d.runs.multiview import run_multiview
from nto3d.runs.single import run_single
from nto3d.runs.train_mcc import run_train_mcc


def run(config: Config) -> dict[str, float]:
    """Do what the configuration says, in the run's folder, and return the metrics.

    Raises:
        InputError: something the user can fix. Interrupted: stopped with a checkpoint saved.
    """
    match config.mode:
        case Mode.single:
            return run_single(config)
        case Mode.train_mcc:
            return run_train_mcc(config)
        case Mode.multiview:
            return run_multiview(config)
