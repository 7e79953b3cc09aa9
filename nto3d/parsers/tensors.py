"""Weights and checkpoints: files of torch.save, read without running code, and safetensors."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from nto3d.errors import InputError
from nto3d.parsers.archives import check_directory
from nto3d.parsers.guard import bound, check_file, parsing

MOST_FILE = 1 << 36  # the largest SAM has 2.6 GB
MOST_VALUES, MOST_DEPTH = 1_000_000, 64  # in a file of torch.save
SHARED, SMALL = 4, 1 << 24  # how often tensors may share their numbers, and bytes that do not matter
CHECKSUM_KEY = "nto3d_sha256"  # of the metadata in safetensors of ours


def read_torch(
    path: Path, expected: str, device: torch.device | str = "cpu", allowed: Sequence[type] = (), legacy: bool = False
) -> Any:
    """What is in a file of `torch.save`; nothing in the file is executed.

    Args:
        expected: of the file, in words. device: of the tensors. allowed: classes that may be made besides tensors and
            plain values. legacy: whether a file of the format before the zip archives will do, too.

    Raises:
        InputError: it cannot be read, is damaged (the archive's check sums are compared), or declares more than it has.
    """
    size = check_file(path, expected, MOST_FILE)
    with parsing(path, expected):
        if not legacy or zipfile.is_zipfile(path):
            check_directory(path, size)
            with zipfile.ZipFile(path) as archive:
                # torch stores without packing: what is packed comes from elsewhere and may unfold without bound
                members = archive.infolist()
                packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
                if packed:
                    raise ValueError(f"{packed[0]} is packed, torch packs nothing")
                bound(path, "its directory", sum(member.file_size for member in members), size)
                broken = archive.testzip()  # torch writes check sums and does not look at them
                for member in members:
                    if member.filename.endswith(".pkl"):
                        _check_pickle(archive.read(member))
            if broken is not None:
                raise zipfile.BadZipFile(f"wrong check sum in {broken}")
        else:
            _check_pickle(path.read_bytes())
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on protocols and types of the file
            loaded = torch.load(path, map_location=device, weights_only=True)
        _check_tree(loaded, size)
        return loaded


def _check_pickle(data: bytes) -> None:
    """Refuses the one allowed call that makes much of a number: bytearray(N), N zeros.

    Raises:
        ValueError: it is there.
    """
    if b"bytearray" in data:
        raise ValueError("it makes bytes of a number, which no tensors need")


def _check_tree(tree: object, size: int) -> None:
    """Refuses what unfolds to more than a file of `size` bytes holds: views of few numbers, lists in themselves.

    Raises:
        ValueError: there is such a thing.
    """
    count, total, waiting = 0, 0, [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > MOST_DEPTH:
            raise ValueError(f"more than {MOST_VALUES:,} values, or deeper than {MOST_DEPTH}")
        if isinstance(value, Tensor):
            check_whole(value)
            total += value.numel() * value.element_size()
            if total > SHARED * size + SMALL:
                raise ValueError(f"tensors of more than {total:,} bytes in a file of {size:,}")
        elif isinstance(value, Mapping):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(item, depth + 1) for item in value]


def check_whole(value: Tensor) -> None:
    """Whether a tensor has no more numbers than its storage, so that a copy of it is no larger than the file.

    Raises:
        ValueError: it has, or it is none that is stored plainly.
    """
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        raise ValueError(f"a tensor that is {value.layout}, quantized or without numbers")
    held = value.untyped_storage().nbytes()
    if value.numel() * value.element_size() > held:
        raise ValueError(f"a tensor {list(value.shape)} over {held} bytes")


def read_safetensors(path: Path, expected: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file on the CPU, and its metadata without the checksum.

    Raises:
        InputError: it cannot be read, is damaged or foreign, or is not what its checksum was made of. A file without
            one, as others write them, is not compared.
    """
    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    checksum = metadata.pop(CHECKSUM_KEY, None)
    if checksum is not None and checksum != checksum_of(state, metadata):
        raise InputError(f"{path}: expected {expected} with the checksum in its metadata, it is damaged or was changed")
    return state, metadata


def is_state(value: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether something is a state dict: tensors by name."""
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def checksum_of(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of metadata, and of names, types, shapes and bytes of tensors, all sorted by name."""
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def pack_safetensors(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of contiguous tensors with a checksum in its metadata; the same ones give the same bytes."""
    packed = save(dict(state), metadata={**metadata, CHECKSUM_KEY: checksum_of(state, metadata)})
    length = int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8 : 8 + length])  # the library writes metadata in any order
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text + packed[8 + length :]


def check_safetensors(path: Path, expected: str) -> None:
    """Reads the header alone.

    Raises:
        InputError: as `read_safetensors`.
    """
    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), safe_open(path, framework="np"):
        pass
