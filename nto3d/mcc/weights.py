"""Weights of an MCC: the published checkpoint, and our own files, which say what they hold."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nto3d.errors import InputError, some_of
from nto3d.files import write_atomic
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.parsers.guard import parsing
from nto3d.parsers.tensors import is_state, pack_safetensors, read_safetensors, read_torch
from nto3d.parsers.text import parse_json

BUNDLED = Path(__file__).with_name("bundled.safetensors")  # docs/mcc.md says how it was made
SIZES_KEY = "mcc_sizes"  # of the metadata in our own files
HEAD, DECODER_HEAD = 64, 32  # channels of a head in the published model, which its weights do not tell
LONGEST = 80  # characters in an error


def load_mcc(path: Path, device: torch.device | str = "cpu") -> Mcc:
    """The network in a file, ready to answer (eval, no gradients, float32).

    Args:
        path: a .safetensors file of `save_mcc`, or a checkpoint of torch: the published `{"model": ...}` (beside it may
            lie an `argparse.Namespace`, the only class that is let in), or a bare state dict.

    Raises:
        InputError: there is no such file, it is damaged, or a tensor is missing, too many or of another shape.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected weights of MCC, found no such file")
    state, sizes = _read_own(path) if is_own(path) else _read_published(path)
    try:
        with torch.device("meta"):  # no memory and no random numbers for weights that are about to be replaced
            model = Mcc(sizes)
    except ValueError as error:
        raise InputError(f"{path}: expected weights of an MCC of possible sizes: {error}") from error
    _check(path, state, model.state_dict())
    model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    return model.requires_grad_(False).eval().to(device)


def is_own(path: Path) -> bool:
    """Whether a file is one of `save_mcc`, by its name."""
    return path.suffix == ".safetensors"


def save_mcc(model: Mcc, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a network with its sizes as one .safetensors file, its weights in `dtype`.

    Raises:
        InputError: it cannot be written.
    """
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    sizes = json.dumps(dataclasses.asdict(model.sizes))
    write_atomic(path, pack_safetensors(state, {SIZES_KEY: sizes}))


def infer_sizes(state: Mapping[str, Tensor]) -> MccSizes:
    """The sizes of a network in the published layout, read off the shapes of its weights.

    Raises:
        ValueError: a weight that shows a size is missing, or the sizes are impossible.
    """
    sizes: dict[str, Any] = dict(seen_sizes(state))
    sizes["heads"] = max(1, sizes["width"] // HEAD)
    sizes["decoder_heads"] = max(1, sizes["decoder_width"] // DECODER_HEAD)
    return MccSizes(**sizes)


def seen_sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes that the shapes of weights show, by the names of `MccSizes`: all but heads, waves and hints.

    Raises:
        ValueError: a weight that shows a size is missing.
    """

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in state:
            raise ValueError(f"{name} is missing")
        if state[name].ndim != dimensions or 0 in state[name].shape:
            raise ValueError(f"{name}: expected {dimensions} dimensions, got shape {list(state[name].shape)}")
        return tuple(state[name].shape)

    def count(prefix: str) -> int:
        return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})

    width, _, patch, _ = shape("patch_embed.proj.weight", 4)
    grid = round((shape("pos_embed", 3)[1] - 1) ** 0.5)
    window = round((shape("xyz_pos_embed.two_d_pos_embed", 3)[1] - 1) ** 0.5)
    inner = shape("decoder_embed.weight", 2)[0]
    return {
        "image": grid * patch,
        "patch": patch,
        "points": grid * window,
        "window": window,
        "width": width,
        "depth": count("blocks."),
        "decoder_width": inner,
        "decoder_depth": count("decoder_blocks."),
    }


def _read_own(path: Path) -> tuple[dict[str, Tensor], MccSizes]:
    state, metadata = read_safetensors(path, "weights of MCC")
    if set(metadata) != {SIZES_KEY}:  # files of early versions have no checksum, and nothing else either
        came = ", ".join(sorted(metadata))[:LONGEST] or "none"
        raise InputError(f"{path}: expected a file of nto3d with {SIZES_KEY} in its metadata, got {came}")
    text = metadata[SIZES_KEY]
    with parsing(path, f"{SIZES_KEY} in its metadata"):
        try:
            given = parse_json(text, path, f"{SIZES_KEY} in its metadata")
            sizes = MccSizes(**given)
            _agree(sizes, seen_sizes(state))
        except (InputError, ValueError, TypeError) as error:
            raise InputError(f"{path}: expected possible {SIZES_KEY}, got {text[:LONGEST]} ({error})") from error
    return state, sizes


def _agree(told: MccSizes, seen: Mapping[str, int]) -> None:
    """Whether sizes are those that the tensors show, before a network of these sizes is made.

    Raises:
        ValueError: they are not.
    """
    for name, value in seen.items():
        if getattr(told, name) != value:
            raise ValueError(f"{name}: {getattr(told, name)}, the tensors have {value}")


def _read_published(path: Path) -> tuple[dict[str, Tensor], MccSizes]:
    loaded = read_torch(path, "weights of MCC", allowed=[argparse.Namespace], legacy=True)
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not is_state(state):
        raise InputError(f"{path}: expected weights of MCC, a dict of tensors, got another file of torch")
    try:
        return state, infer_sizes(state)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{path}: expected the weights of an MCC, got others: {error}") from error


def _check(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Names what is missing, too many or of another shape."""
    for what, names in (("missing", expected.keys() - state.keys()), ("too many", state.keys() - expected.keys())):
        if names:
            raise InputError(f"{path}: expected the tensors of an MCC, {what}: {some_of(sorted(names))}")
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise InputError(f"{path}: {name}: expected a tensor {list(value.shape)}, got {list(state[name].shape)}")
        if not state[name].is_floating_point() or not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"{path}: {name}: expected finite numbers, got {state[name].dtype} with others")
