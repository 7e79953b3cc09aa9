"""Weights and checkpoints: files of torch.save, read without running code, and safetensors."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from nto3d.parsers.guard import bound, check_file, parsing

MOST_FILE = 1 << 36  # the largest SAM has 2.6 GB


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
            with zipfile.ZipFile(path) as archive:
                # torch stores without packing: what is packed comes from elsewhere and may unfold without bound
                members = archive.infolist()
                packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
                if packed:
                    raise ValueError(f"{packed[0]} is packed, torch packs nothing")
                bound(path, "its directory", sum(member.file_size for member in members), size)
                broken = archive.testzip()  # torch writes check sums and does not look at them
            if broken is not None:
                raise zipfile.BadZipFile(f"wrong check sum in {broken}")
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on protocols and types of the file
            return torch.load(path, map_location=device, weights_only=True)


def read_safetensors(path: Path, expected: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file on the CPU, and its metadata.

    Raises:
        InputError: it cannot be read, is damaged or foreign.
    """
    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        return {name: file.get_tensor(name) for name in file.keys()}, dict(metadata)  # noqa: SIM118, it is no dict


def check_safetensors(path: Path, expected: str) -> None:
    """Reads the header alone.

    Raises:
        InputError: as `read_safetensors`.
    """
    check_file(path, expected, MOST_FILE)
    with parsing(path, expected), safe_open(path, framework="np"):
        pass
