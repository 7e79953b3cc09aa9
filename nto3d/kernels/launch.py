"""Launching Warp kernels on torch tensors: one place that knows about start-up, devices and CPU threads.

A CPU launch of Warp runs on one thread, without Python's lock, and pays for every work item. So kernels loop: an item
starts at `begin + tid` and goes on in steps of `stride` below `end`. On CUDA there is one item for every index; on the
CPU there is one item a thread. Threads never write to the same memory, so the result does not depend on their number.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

wp.config.log_level = wp.LOG_WARNING
wp.config.enable_backward = False  # adjoints are written by hand; this keeps compilation short


SMALLEST_WORK = 4096  # evaluations below which a second thread is not worth waking


@functools.cache
def start() -> None:
    """Initialise Warp once (it compiles kernels into a cache on first use).

    Where there is no CUDA nobody has asked for it (`build.device` refuses who does), and what Warp's library prints of
    that on stderr is left out; everything else it prints stays.
    """
    if torch.cuda.is_available():
        wp.init()
        return
    for line in _printed(wp.init).splitlines(keepends=True):
        if not line.startswith(b"Warp CUDA"):
            os.write(2, line)


def _printed(call: Callable[[], None]) -> bytes:
    """Calls, and returns what meanwhile is written to the process's stderr, by compiled code, too."""
    try:
        before = os.dup(2)
    except OSError:  # it is closed
        call()
        return b""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # more than a pipe holds is lost; waiting for a reader would be for ever
    os.dup2(writing, 2)
    try:
        call()
    finally:
        os.dup2(before, 2)
        os.close(writing)
        os.close(before)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
    return text


start()  # here, as arrays and structs would do it without being asked


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


@dataclass(frozen=True)
class Span:
    """The indices that one launch deals with: begin, begin + stride, ... below end, spread over `items` work items."""

    begin: int
    end: int
    stride: int
    items: int

    @property
    def arguments(self) -> tuple[int, int, int]:
        """What the kernel gets."""
        return self.begin, self.end, self.stride


def whole(count: int, device: torch.device) -> Span:
    """All indices in one launch: an item each on CUDA, one item on the CPU."""
    return Span(0, count, count, count) if device.type == "cuda" else Span(0, count, 1, 1)


def interleaved(count: int, work: int, device: torch.device) -> list[Span]:
    """Spans that deal the indices to the CPU's threads in turn (one span on CUDA, or where there is little work)."""
    parts = min(_threads(work, device), count)
    return [Span(part, count, parts, 1) for part in range(parts)] if parts > 1 else [whole(count, device)]


def runs(count: int, work: int, device: torch.device) -> list[Span]:
    """Spans that give each of the CPU's threads a run of neighbouring indices."""
    parts = min(_threads(work, device), count)
    if parts <= 1:
        return [whole(count, device)]
    bounds = [count * part // parts for part in range(parts + 1)]
    return [Span(bounds[part], bounds[part + 1], 1, 1) for part in range(parts)]


def _threads(work: int, device: torch.device) -> int:
    return 1 if device.type == "cuda" or work < SMALLEST_WORK else torch.get_num_threads()


def launch_spans(kernel: Any, arguments: Sequence[Any], spans: Sequence[Sequence[Span]], device: torch.device) -> None:
    """Launch a kernel once for every entry of `spans`, each on its own thread.

    Args:
        kernel: takes the arguments, then begin, end and stride of each span of an entry; its launch has one dimension a
            span.
        spans: a launch each.
    """

    def one(entry: Sequence[Span]) -> None:
        tail = [value for span in entry for value in span.arguments]
        launch(kernel, [span.items for span in entry], [*arguments, *tail], device)

    if len(spans) > 1:
        start()
        kernel.module.load("cpu")  # here, so that the threads do not compile it each
    jobs = [_pool(len(spans) - 1).submit(one, entry) for entry in spans[1:]]
    one(spans[0])
    for job in jobs:
        job.result()
