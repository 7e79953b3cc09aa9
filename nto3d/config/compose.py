"""Composing a configuration from the YAML files under `configs/`, as `train.py` does; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra

from nto3d.config.bundled import CONFIGS, FOLDER, config_folder
from nto3d.config.io import CONFIG_ERRORS, explain, parse_overrides, register, to_config
from nto3d.config.paths import as_it_stands
from nto3d.config.schema import Config
from nto3d.errors import InputError

CONFIG_FOLDER = FOLDER / CONFIGS


def compose_config(overrides: Sequence[str]) -> Config:
    """What `train.py` would run with these overrides.

    Raises:
        InputError: an override is malformed or names something unknown, or a value is missing or impossible.
    """
    for override in parse_overrides(overrides):
        if override.is_hydra_override() or override.is_force_add():
            raise InputError(f"{override.input_line}: expected a key of nto3d's own, as key=value")
    register()
    outer = GlobalHydra.instance().hydra  # of an application that calls this one
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            return to_config(hydra.compose("config", [as_it_stands(given) for given in overrides]))
    except CONFIG_ERRORS as error:
        raise InputError(explain(error)) from error
    except InputError:
        raise
    except (ValueError, TypeError, OSError) as error:  # Hydra's, of a group that is chosen by a number or a long name
        raise InputError(f"{' '.join(overrides)}: Hydra cannot use it ({error})") from error
    finally:
        GlobalHydra.instance().hydra = outer
