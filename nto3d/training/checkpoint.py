"""Checkpoints: written whole or not at all, read without running code, refused where they do not fit."""

from __future__ import annotations

import fnmatch
import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nto3d.config.io import flatten, to_dict
from nto3d.config.renamed import with_present_names
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.parsers.contents import MismatchError, Record, mismatch
from nto3d.parsers.guard import parsing
from nto3d.parsers.tensors import read_torch
from nto3d.parsers.text import parse_json
from nto3d.training.contents import RESUMED, check_state

FORMAT = 1
REQUIRED = ("stage", "step", "model", "optimizer", "random", "config")
# What shapes the model: differing values mean weights that do not fit (tcnn lays its tables out otherwise)
MODEL_KEYS = ("mode", "scene.masks", "encoding.*", "field.*")
# What shapes the result: resuming with a differing value would not go on with the same run
TRAINING_KEYS = (*MODEL_KEYS, "seed", "segmenter.*", "prompts.*", "lift.*", "scene.*", "trainer.*")
# Of no effect without a feature field
_FEATURE_KEYS = ("field.feature_*", "trainer.feature_*", "trainer.loss.feature_weight")
_FREE_KEYS = (
    *("scene.path", "prompts.file", "trainer.checkpoint_every", "trainer.log_every", "trainer.image_every"),
    *("train_mcc.cache", "train_mcc.checkpoint_every", "train_mcc.log_every"),
)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint; the older one at `path` stays until the new one is on the disk.

    Args:
        path: the file.
        state: the keys of `REQUIRED` and any others, of plain numbers, strings, lists, dicts and tensors.

    Raises:
        InputError: it cannot be written (no space, no permission).
        KeyError: a required key is missing.
    """
    for key in REQUIRED:
        state[key]
    # Serialised in memory first: torch reports a full disk as a RuntimeError of its zip writer, a plain write does not
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write_atomic(path, buffer.getbuffer())


def load_checkpoint(
    path: Path,
    device: torch.device | str = "cpu",
    stages: tuple[str, ...] | None = None,
    kinds: Mapping[str, Record] = RESUMED,
) -> dict[str, Any]:
    """Reads a checkpoint (`weights_only`: nothing in the file is executed) with its tensors on `device`.

    Args:
        stages: that will do; None: any, and no more is looked at than that it is a checkpoint.
        kinds: of `training.contents`, what it has to hold.

    Raises:
        InputError: there is none, it is truncated or no checkpoint, another version wrote it, it is of another stage,
            or something in it is not what it should be.
    """
    state = read_torch(path, "a checkpoint", device)
    if not isinstance(state, dict) or "format" not in state:
        raise InputError(f"{path}: expected a checkpoint of nto3d, got another file of torch")
    if state["format"] != FORMAT:
        raise InputError(
            f"{path}: expected checkpoint format {FORMAT}, got {state['format']} (another version of nto3d)"
        )
    for key in REQUIRED:
        if key not in state:
            raise InputError(f"{path}: expected a checkpoint with {', '.join(REQUIRED)}; {key} is missing")
    if stages is not None:
        check_state(state, path, kinds, stages)
    return state


def check_config(
    stored: Mapping[str, Any], current: Mapping[str, Any], path: Path, keys: tuple[str, ...] = TRAINING_KEYS
) -> None:
    """Compares the configuration in a checkpoint with the current one, both as of `config.io.to_dict`.

    Args:
        stored: the checkpoint's `config`; keys that it lacks, being older than they are, have their defaults.
        current: what the checkpoint is to be used with.
        path: the checkpoint's file, for the message.
        keys: patterns of the dotted keys that must agree: `TRAINING_KEYS` to go on, `MODEL_KEYS` to use the model.

    Raises:
        InputError: the first key that differs, with both values.
    """
    old, new = flatten(to_dict(Config())) | flatten(with_present_names(stored)), flatten(current)
    free = _FREE_KEYS if new.get("field.feature") or old.get("field.feature") else (*_FREE_KEYS, *_FEATURE_KEYS)
    for key in [*new, *(key for key in old if key not in new)]:
        if _matches(key, free) or not _matches(key, keys):
            continue
        if old.get(key) != new.get(key):
            raise InputError(
                f"{path}: checkpoint of another config: {key} was {old.get(key)}, now it is {new.get(key)}"
            )


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def random_state(generators: Mapping[str, torch.Generator | np.random.Generator] | None = None) -> dict[str, Any]:
    """The states of torch's global generators and of the named ones, fit for a checkpoint."""
    named: dict[str, torch.Tensor | str] = {}
    for name, generator in (generators or {}).items():
        if isinstance(generator, torch.Generator):
            named[name] = generator.get_state()
        else:  # as JSON: PCG64 holds integers of 128 bits
            named[name] = json.dumps(generator.bit_generator.state)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda, "named": named}


def restore_random_state(
    state: Mapping[str, Any], generators: Mapping[str, torch.Generator | np.random.Generator] | None = None
) -> None:
    """Sets the generators to the states that `random_state` returned (tensors may lie on any device).

    Raises:
        InputError: a named generator has no state in the checkpoint, or a state is none.
    """
    _set("random.torch", state["torch"], torch.set_rng_state)
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        for number, value in enumerate(state["cuda"]):
            _set(f"random.cuda[{number}]", value, partial(torch.cuda.set_rng_state, device=number))
    for name, generator in (generators or {}).items():
        if name not in state["named"]:
            raise InputError(f"checkpoint: expected the state of the random generator {name!r}, found none")
        value = state["named"][name]
        if isinstance(generator, torch.Generator):
            _set(f"random.named.{name}", value, generator.set_state)
        elif isinstance(value, str):
            parsed = parse_json(value, Path("checkpoint"), f"the state of the generator {name!r}")
            with parsing(Path("checkpoint"), f"the state of the generator {name!r}"):
                generator.bit_generator.state = parsed
        else:
            raise mismatch(f"random.named.{name}", "a string", value)


def _set(key: str, value: object, setter: Callable[[torch.Tensor], object]) -> None:
    """Set a generator of torch."""
    if not isinstance(value, torch.Tensor) or value.dtype != torch.uint8:
        raise mismatch(key, "uint8", value)
    try:
        setter(value.cpu())
    except (RuntimeError, TypeError) as error:  # of another length, or no state at all
        raise MismatchError(f"{key}: expected the state of a random generator, got another ({error})") from error
