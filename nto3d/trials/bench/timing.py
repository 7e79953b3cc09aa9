"""Time and memory of functions, each part in a process of its own."""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from nto3d.trials.bench.table import Row


def seconds(phases: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """Median time of each of several functions that are called in turn, after one round that does not count."""
    rounds = []
    for _ in range(1 + repeats):
        times = [time.perf_counter()]
        for phase in phases:
            phase()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter())
        rounds.append([end - begin for begin, end in itertools.pairwise(times)])
    return [statistics.median(column) for column in zip(*rounds[1:], strict=True)]


def peak_gb() -> float:
    """Most memory that this process held, in GB; on Linux a child's getrusage starts at its parent's peak."""
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def memory(device: torch.device) -> Row:
    """Peak memory of this process, and on its device."""
    cuda = {"cuda_peak_gb": torch.cuda.max_memory_allocated(device) / 1e9} if device.type == "cuda" else {}
    return {"peak_gb": peak_gb(), **cuda}


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """The function's result, from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
