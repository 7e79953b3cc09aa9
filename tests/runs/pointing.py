"""Pointing as the command line does it, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nto3d.config.io import CONFIG_ERRORS, explain
from nto3d.data.images import read_image
from nto3d.errors import InputError
from nto3d.runs.annotate import annotate, read_options, suggest


def point(*arguments: str) -> str:
    """Does what `key=value` arguments say; the lines that are said."""
    said: list[str] = []
    options = read_options(arguments)
    (suggest if options.suggest else annotate)(options, said.append)
    return "\n".join(said)


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    """The line with which something is refused that the user can fix."""
    with pytest.raises((InputError, *CONFIG_ERRORS)) as caught:
        function(*arguments)
    line = explain(caught.value)
    assert "\n" not in line
    return line


def frames(path: Path) -> list[dict[str, Any]]:
    """The frames of a prompts file."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["frames"]
    return found


def tinted(overlay: Path, picture: Path) -> np.ndarray:
    """Where the overlay differs from the picture, at the picture's size."""
    image = read_image(picture)
    shown = cv2.resize(read_image(overlay), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    changed: np.ndarray = np.abs(shown.astype(int) - image).max(axis=2) > 25
    return changed
