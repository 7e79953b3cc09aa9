"""Reading what torch saved, by people we do not know."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def read_foreign(path: Path, allowed: Sequence[type] = ()) -> Any:
    """What is in a file of `torch.save`, on the CPU; nothing in the file is executed.

    Args:
        allowed: classes that may be made besides tensors and plain values.

    Raises:
        ValueError: it is damaged or no such file; the reason in one short line.
    """
    try:
        if zipfile.is_zipfile(path):  # torch writes check sums and does not look at them
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            if broken is not None:
                raise zipfile.BadZipFile(f"wrong check sum in {broken}")
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can break the zip reader, the unpickler or a tensor in any way
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0][:120]) from error
