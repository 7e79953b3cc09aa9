"""Weights of an MCC: the published checkpoint, and our own files, which say what they hold."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.parsers.tensors import read_safetensors, read_torch
from nto3d.parsers.text import parse_json

BUNDLED = Path(__file__).with_name("bundled.safetensors")  # docs/mcc.md says how it was made
SIZES_KEY = "mcc_sizes"  # of the metadata in our own files
HEAD, DECODER_HEAD = 64, 32  # channels of a head in the published model, which its weights do not tell
SHOWN = 3  # names in an error


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
    write_atomic(path, save(state, metadata={SIZES_KEY: sizes}))


def infer_sizes(state: Mapping[str, Tensor]) -> MccSizes:
    """The sizes of a network in the published layout, read off the shapes of its weights.

    Raises:
        ValueError: a weight that shows a size is missing, or the sizes are impossible.
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
    return MccSizes(
        image=grid * patch,
        patch=patch,
        points=grid * window,
        window=window,
        width=width,
        depth=count("blocks."),
        heads=max(1, width // HEAD),
        decoder_width=inner,
        decoder_depth=count("decoder_blocks."),
        decoder_heads=max(1, inner // DECODER_HEAD),
    )


def _read_own(path: Path) -> tuple[dict[str, Tensor], MccSizes]:
    state, metadata = read_safetensors(path, "weights of MCC")
    if SIZES_KEY not in metadata:
        raise InputError(f"{path}: expected a file of nto3d with {SIZES_KEY} in its metadata, got one without")
    try:
        sizes = MccSizes(**parse_json(metadata[SIZES_KEY], path, f"{SIZES_KEY} in its metadata"))
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"{path}: expected possible {SIZES_KEY}, got {metadata[SIZES_KEY]} ({error})") from error
    return state, sizes


def _read_published(path: Path) -> tuple[dict[str, Tensor], MccSizes]:
    loaded = read_torch(path, "weights of MCC", allowed=[argparse.Namespace], legacy=True)
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: expected weights of MCC, a dict of tensors, got another file of torch")
    try:
        return state, infer_sizes(state)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{path}: expected the weights of an MCC, got others: {error}") from error


def _check(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Names what is missing, too many or of another shape."""
    for what, names in (("missing", expected.keys() - state.keys()), ("too many", state.keys() - expected.keys())):
        if names:
            some = ", ".join(sorted(names)[:SHOWN])
            rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise InputError(f"{path}: expected the tensors of an MCC, {what}: {some}{rest}")
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise InputError(f"{path}: {name}: expected a tensor {list(value.shape)}, got {list(state[name].shape)}")
