"""The device of a run, and how the process is set up for it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nto3d.config.check import cores
from nto3d.config.schema import Backend, Config
from nto3d.errors import InputError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def build_device(config: Config) -> torch.device:
    """The device of a run; also sets the number of CPU threads and seeds torch.

    Raises:
        InputError: the device does not exist, or the backend cannot run on it.
    """
    _keep_freed_memory()
    torch.set_num_threads(config.threads or cores())
    torch.manual_seed(config.seed)
    np.random.seed(config.seed % 2**32)  # noqa: NPY002, for libraries that draw from the global state
    device = named_device("device", config.device)
    if config.encoding.backend is Backend.tcnn and device.type != "cuda":
        raise InputError("encoding.backend: tcnn needs a CUDA device; use encoding=warp on the CPU")
    return device


def named_device(key: str, name: str) -> torch.device:
    """The device that a key names: auto, cpu, cuda, cuda:N.

    Raises:
        InputError: this machine has none such.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{key}: expected a device of this machine, got {name}, but torch finds no CUDA")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"{key}: expected one of {torch.cuda.device_count()} CUDA devices, got {name}")
    return device


def _keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory instead of giving it back after every operation.

    A training step frees and asks for the same hundred megabytes again; getting them from the kernel each time, page by
    page, cost a fifth of the step.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(M_TRIM_THRESHOLD, 2**30)
            mallopt(M_MMAP_THRESHOLD, 2**25)  # larger blocks, such as pictures, still go back


@contextmanager
def own_state(config: Config) -> Iterator[torch.device]:
    """`build_device` for as long as the `with` lasts: threads and random numbers are the caller's again afterwards.

    Raises:
        InputError: as `build_device`.
    """
    threads, drawn = torch.get_num_threads(), np.random.get_state()  # noqa: NPY002, the global state is meant
    with torch.random.fork_rng():
        try:
            yield build_device(config)
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(drawn)  # noqa: NPY002
