"""Launching Warp kernels on torch tensors: one place that knows about start-up, devices and CPU threads.

A CPU launch of Warp runs on one thread, without Python's lock. So a kernel that is to use several cores takes a `part`
and a `parts` argument and does every parts-th share of its work; `launch_parts` starts one share a thread. Shares never
write to the same memory, so the result does not depend on how many threads there are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import warp as wp
from torch import Tensor

wp.config.log_level = wp.LOG_WARNING
wp.config.enable_backward = False  # adjoints are written by hand; this keeps compilation short


@functools.cache
def start() -> None:
    """Initialise Warp once (it compiles kernels into a cache on first use)."""
    wp.init()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="nto3d-warp")


def array(tensor: Tensor, dtype: Any = None) -> Any:
    """A Warp view of a contiguous tensor's memory, for use as a kernel argument."""
    return wp.from_torch(tensor.detach(), dtype=dtype, return_ctype=True, requires_grad=False)


def launch(kernel: Any, dim: int | Sequence[int], arguments: Sequence[Any], device: torch.device) -> None:
    """Run a kernel on the tensors' device; on CUDA on torch's current stream."""
    start()
    if device.type == "cuda":
        wp.launch(kernel, dim=dim, inputs=arguments, device=str(device), stream=wp.stream_from_torch(device))
    else:
        wp.launch(kernel, dim=dim, inputs=arguments, device="cpu")


def parts_for(device: torch.device, work: int, smallest: int = 4096) -> int:
    """Into how many shares to split: CPU threads where there is enough to do, one on CUDA."""
    if device.type == "cuda" or work < smallest:
        return 1
    return torch.get_num_threads()


def launch_parts(
    kernel: Any, dims: Sequence[int | Sequence[int]], arguments: Sequence[Any], device: torch.device
) -> None:
    """Launch `len(dims)` shares of one kernel, share i with `part=i, parts=len(dims)` as its last two arguments."""
    parts = len(dims)
    if parts == 1:
        launch(kernel, dims[0], [*arguments, 0, 1], device)
        return
    start()
    kernel.module.load("cpu")  # here, so that the threads do not compile it each
    jobs = [
        _pool(parts - 1).submit(launch, kernel, dims[part], [*arguments, part, parts], device)
        for part in range(1, parts)
    ]
    launch(kernel, dims[0], [*arguments, 0, parts], device)
    for job in jobs:
        job.result()
