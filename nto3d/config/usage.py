"""How a run is started, and what `--help` says; imports no torch."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import OmegaConf, open_dict

from nto3d.config.bundled import INSTALLED, config_folder


def program() -> str:
    """What was typed to start this process, or what would start a run: nto3d, python -m nto3d, python train.py."""
    started = Path(sys.argv[0])
    if started.stem == "nto3d":  # the console command; nto3d.exe on Windows
        return "nto3d"
    if started.parts[-2:] == ("nto3d", "__main__.py"):
        return "python -m nto3d"
    return "nto3d" if INSTALLED else "python train.py"


def help_text(overrides: Sequence[str]) -> str:
    """What Hydra says for `--help`, in a quarter of the time: it copies every configuration for each of the options."""
    folder = config_folder()
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        composed = hydra.compose("config", list(overrides), return_hydra_config=True)
    template = string.Template(composed.hydra.help.template)
    with open_dict(composed):
        del composed["hydra"]
    options: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*/*.yaml")):
        options.setdefault(file.parent.name, []).append(file.stem)
    groups = "".join(f"{group}: {', '.join(names)}\n" for group, names in options.items())
    return template.substitute(APP_CONFIG_GROUPS=groups, CONFIG=OmegaConf.to_yaml(composed))
