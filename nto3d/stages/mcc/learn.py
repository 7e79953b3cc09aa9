"""MCC learns to complete objects: the objective of mode=train_mcc (Wu et al. 2023, sections 3.4 and 4).

Letters: B views of a step, Q places a view.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nto3d.config.single import Precision, TrainMccConfig
from nto3d.mcc.batches import PLAIN, Augmentation, Example, Places, Subject, collate, generator, make_example
from nto3d.mcc.loss import OCCUPANCY_WEIGHT, mcc_loss
from nto3d.mcc.model import Mcc
from nto3d.training.parallel import Losses, Shard
from nto3d.training.restore import load_optimizer

_ORDER = 11  # makes the random numbers of the order differ from those of the examples
_CHECK_SEED = 12  # of the places that held-out views are asked at
_DTYPES = {Precision.bfloat16: torch.bfloat16, Precision.float16: torch.float16}


class CompletionTraining:
    """The objective of the training (see `training.loop.Objective`).

    Which views a step sees, and how they are augmented, follows from seed and step alone: there is no state to keep.

    Args:
        model: what is trained. subjects: the views to learn from. held_out: views to measure with, may be none.
        config: the training's values. seed: of all random numbers.

    Raises:
        ValueError: there is no view to learn from.
    """

    def __init__(
        self, model: Mcc, subjects: Sequence[Subject], held_out: Sequence[Subject], config: TrainMccConfig, seed: int
    ) -> None:
        if not subjects:
            raise ValueError("expected at least one view to learn from, got none")
        self.model, self.subjects, self.config, self.seed = model, subjects, config, seed
        self.places = Places(config.queries, config.near, config.spread, distance=config.distance)
        self.augmentation = Augmentation(config.scale, config.shift, config.degrees, config.flip)
        self._held_out = [
            make_example(subject, self.places, PLAIN, generator(_CHECK_SEED, 0, index))
            for index, subject in enumerate(held_out)
        ]
        device = next(model.parameters()).device
        # On the CPU the shards make their examples themselves; a GPU would wait for them
        workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
        self._ahead = ThreadPoolExecutor(workers, thread_name_prefix="nto3d-examples") if workers else None
        self._waiting: dict[int, list[Future[Example]]] = {}
        self._device = device
        self._step = 0
        self._order: tuple[int, np.ndarray] | None = None

    def prepare(self, step: int) -> None:
        """Start making the next step's examples where that pays."""
        self._step = step
        if self._ahead is not None:
            for number in (step, step + 1):
                if number not in self._waiting and number < self.config.steps:
                    jobs = [self._ahead.submit(self._example, number, index) for index in range(self.config.batch)]
                    self._waiting[number] = jobs

    def shards(self, step: int, count: int) -> Sequence[Shard]:
        """The loss of a step, split among threads by views."""
        count = min(count, self.config.batch)
        self._subject(step, 0)  # the order of an epoch is drawn once, not by several threads
        waiting = self._waiting.pop(step, None)

        def shard(number: int) -> Losses:
            indices = range(number * self.config.batch // count, (number + 1) * self.config.batch // count)
            if waiting is None:
                examples = [self._example(step, index) for index in indices]
            else:
                examples = [waiting[index].result() for index in indices]
            return self._losses(collate(examples), len(indices) / self.config.batch)

        return [lambda number=number: shard(number) for number in range(count)]  # type: ignore[misc]

    def _example(self, step: int, index: int) -> Example:
        return make_example(
            self._subject(step, index), self.places, self.augmentation, generator(self.seed, step, index)
        )

    def _subject(self, step: int, index: int) -> Subject:
        """Every view once in an epoch, in an order of its own."""
        epoch, number = divmod(step * self.config.batch + index, len(self.subjects))
        order = self._order  # another thread may replace it, at the end of an epoch
        if order is None or order[0] != epoch:
            drawn = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.subjects))
            self._order = order = (epoch, drawn)
        return self.subjects[order[1][number]]

    def _losses(self, batch: Example, share: float) -> Losses:
        """A batch's share of the loss."""
        batch = batch.to(self._device)
        hints = batch.hints if self.model.sizes.hints else None
        with self.autocast():
            logits = self.model(batch.image, batch.points, batch.valid, batch.places, hints)
        occupancy, color = mcc_loss(logits, batch.occupied, batch.rgb)
        occupied = batch.occupied.float()
        # Means over views of means over a view's places: the same however the views are dealt to threads
        view = batch.occupied.nonzero()[:, 0]
        colors = occupancy.new_zeros(len(occupied)).index_add(0, view, color.mean(dim=1))
        colors = colors / occupied.sum(dim=1).clamp(min=1.0)
        loss = OCCUPANCY_WEIGHT * occupancy.mean() + self.config.color_weight * colors.mean()
        found = (logits[..., 0].detach() > 0).float()
        both, either = (found * occupied).sum(dim=1), torch.maximum(found, occupied).sum(dim=1)
        scalars = {
            "occupancy": occupancy.mean().detach(),
            "color": colors.mean().detach(),
            "iou": (both / either.clamp(min=1.0)).mean(),
        }
        return loss * share, {name: value * share for name, value in scalars.items()}

    def autocast(self) -> torch.autocast:
        """Arithmetic of the network."""
        dtype = _DTYPES.get(self.config.precision)
        return torch.autocast(self._device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Loss and agreement on the held-out views; always the same places."""
        sums: dict[str, float] = {}
        for start in range(0, len(self._held_out), self.config.batch):
            some = self._held_out[start : start + self.config.batch]
            _, scalars = self._losses(collate(some), len(some) / len(self._held_out))
            for name, value in scalars.items():
                sums[f"held_out_{name}"] = sums.get(f"held_out_{name}", 0.0) + float(value)
        return sums

    def summary(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """What to log of a step's scalars."""
        every, done = self.config.check_every, self._step + 1
        due = every and (done % every < self.config.log_every or done == self.config.steps)  # asked when logging
        checked = self.check() if due and self._held_out else {}
        return {**scalars, **checked}

    def counts(self) -> tuple[int, int]:
        """No rays here."""
        return 0, 0

    def pictures(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def close(self) -> None:
        """Stop making examples ahead."""
        if self._ahead is not None:
            self._ahead.shutdown(cancel_futures=True)


@contextmanager
def small_attention(device: torch.device) -> Iterator[None]:
    """On the CPU, plain matrix products for attention: with few tokens, torch's blockwise one is half as fast."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


class MuonWithAdam:
    """Muon (Jordan et al. 2024) for the matrices of the transformer blocks, AdamW for everything else.

    On 600 objects, without hints, the loss of occupancy after 200 steps of 32 views was 0.448, with AdamW alone 0.472.

    Args:
        model: whose parameters are trained; fixed tables are left out. config: the training's values.
    """

    def __init__(self, model: nn.Module, config: TrainMccConfig) -> None:
        trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        matrices = [parameter for name, parameter in trained if "blocks" in name and parameter.ndim == 2]
        apart = {id(parameter) for parameter in matrices}
        others = [parameter for _, parameter in trained if id(parameter) not in apart]
        muon = {"params": matrices, "base_lr": config.lr}
        adam = {"params": others, "base_lr": config.adam_lr}
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon([muon], lr=config.lr, weight_decay=config.weight_decay, momentum=0.95),
            # Beta 0.95 as usual with transformers (MAE): gradients of few views are noisy
            torch.optim.AdamW([adam], lr=config.adam_lr, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self._parts for group in part.param_groups]

    def step(self) -> None:
        """Both step."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """Counterpart of `state_dict`, after so many steps.

        Raises:
            MismatchError: it is of other parameters or settings.
        """
        for number, (part, kept) in enumerate(zip(self._parts, state["parts"], strict=True)):
            load_optimizer(part, kept, step, key=f"optimizer.parts[{number}]")
