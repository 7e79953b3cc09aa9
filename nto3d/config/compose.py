"""Composing a configuration from the YAML files under `configs/`, as `train.py` does; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra

from nto3d.config.bundled import CONFIGS, FOLDER, config_folder
from nto3d.config.io import register, to_config
from nto3d.config.schema import Config

CONFIG_FOLDER = FOLDER / CONFIGS


def compose_config(overrides: Sequence[str]) -> Config:
    """What `train.py` would run with these overrides.

    Raises:
        InputError: a value is missing or impossible; Hydra's own errors are for `cli.guarded`.
    """
    register()
    outer = GlobalHydra.instance().hydra  # of an application that calls this one
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            return to_config(hydra.compose("config", list(overrides)))
    finally:
        GlobalHydra.instance().hydra = outer
