"""Paths and folders' names as people have them, in a configuration: with blanks, =, brackets, quotes, any letters."""

from __future__ import annotations

import re
import shlex
import unicodedata
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

PATH_KEYS = (
    *("output", "scene.path", "resume", "export.output", "evaluate.points", "scene.mask", "depth.path", "depth.model"),
    *("single.checkpoint", "train_mcc.cache", "prompts.file", "segmenter.checkpoint", "segmenter.model"),
)
NAME = r"[\w.+-]+"  # of a scene, which names the run's folder


def folder_name(path: str) -> str:
    """A scene's name from its path: the last part, with _ for what a name cannot hold."""
    name = unicodedata.normalize("NFC", Path(path).resolve().name)  # macOS takes accents apart
    if not re.fullmatch(NAME, name):
        name = re.sub(r"[^\w.+-]+", "_", name).strip("_")
    return name if name.strip(".") else "scene"


def as_it_stands(override: str) -> str:
    """An override `key=value` for Hydra: a path that its grammar would not take as it stands is quoted.

    That is one that cannot be parsed, or that means something else (several values, a number) while it names a file.
    """
    key, equals, raw = override.partition("=")
    if key not in PATH_KEYS or not equals or not raw:
        return override
    try:
        parsed = OverridesParser.create().parse_override(override)
        understood = not parsed.is_sweep_override() and parsed.value() == raw
    except HydraException:
        return f"{key}={_quoted(raw)}"
    return override if understood or not _exists(raw) else f"{key}={_quoted(raw)}"


def to_type(override: str) -> str:
    """`key=value` in quotes for Hydra and for the shell, to be typed as it stands."""
    key, _, raw = override.partition("=")
    return shlex.quote(f"{key}={_quoted(raw)}")


def _quoted(raw: str) -> str:
    """Text as a quoted string of Hydra's grammar, in which a backslash counts before a quote only."""
    inner = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', raw)
    ending = len(inner) - len(inner.rstrip("\\"))
    return f'"{inner}{chr(92) * ending}"'


def _exists(raw: str) -> bool:
    try:
        return Path(raw).exists()
    except (OSError, ValueError):  # longer than a path can be, or with a NUL
        return False
