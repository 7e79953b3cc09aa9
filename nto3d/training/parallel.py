"""Gradients of one batch on several CPU threads.

On the CPU a step consists of some two hundred small operations. Splitting each of them over threads costs more in
waiting than it gains; splitting the batch keeps every thread busy. Each shard's gradients are computed apart and added
in a fixed order, so the result does not depend on timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

Losses = tuple[Tensor, dict[str, Tensor]]
Shard = Callable[[], Losses]


class ShardedGradients:
    """Runs the shards of a step; use it in a `with`, inside which torch's own operations use one thread.

    Args:
        parameters: what to differentiate by. shards: how many shards a step has; 1 leaves torch's threads alone.
    """

    def __init__(self, parameters: Sequence[Tensor], shards: int) -> None:
        self._parameters = list(parameters)
        self._pool = ThreadPoolExecutor(shards - 1, thread_name_prefix="nto3d-shard") if shards > 1 else None
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Self:
        if self._pool is not None:
            torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            torch.set_num_threads(self._threads)

    def __call__(self, shards: Sequence[Shard], scale: Callable[[Tensor], Tensor]) -> Losses:
        """Set the parameters' `grad` to the gradient of the sum of the shards' losses.

        Args:
            shards: each returns its share of the loss, and its share of the scalars to log.
            scale: applied to each loss before it is differentiated (float16's gradient scaling).

        Returns:
            The sums of losses and scalars, detached.
        """

        def work(shard: Shard) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor | None, ...]]:
            loss, scalars = shard()
            gradients = torch.autograd.grad(scale(loss), self._parameters, allow_unused=True)
            return loss.detach(), scalars, gradients

        jobs = [self._pool.submit(work, shard) for shard in shards[1:]] if self._pool is not None else []
        first = work(shards[0])
        results = [first, *(job.result() for job in jobs)]
        for parameter, *parts in zip(self._parameters, *(gradients for _, _, gradients in results), strict=True):
            parameter.grad = _sum(parts)
        loss = torch.stack([loss for loss, _, _ in results]).sum()
        scalars = {name: torch.stack([part[name] for _, part, _ in results]).sum() for name in first[1]}
        return loss, scalars


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    """A new tensor: autograd may hand out one gradient, or an expanded one, for several parameters."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    total = given[0] + given[1] if len(given) > 1 else given[0].clone()
    for part in given[2:]:
        total.add_(part)
    return total
