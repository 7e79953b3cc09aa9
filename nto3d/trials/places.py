"""Where the project's own files lie; imports no torch."""

from __future__ import annotations

from nto3d.config.compose import CONFIG_FOLDER

ROOT = CONFIG_FOLDER.parent
TRAIN = ROOT / "train.py"
DATASETS = ROOT / "datasets"
SAMPLE = DATASETS / "sample"  # the bundled scene
