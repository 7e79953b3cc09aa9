"""One training loop, used by every stage."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from nto3d.errors import InputError, Interrupted
from nto3d.training.parallel import Shard, ShardedGradients
from nto3d.types import ByteArray

log = logging.getLogger("nto3d")


class Objective(Protocol):
    """What a stage asks of the loop to minimise."""

    def prepare(self, step: int) -> None:
        """Bring schedules and grids up to date before a step (no gradients)."""

    def shards(self, step: int, count: int) -> Sequence[Shard]:
        """The loss of a step and scalars to log, in `count` parts that are summed; each may run on its own thread."""

    def summary(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """What to log of a step's scalars."""

    def counts(self) -> tuple[int, int]:
        """Rays and samples since the last call."""

    def pictures(self) -> Mapping[str, Any]:
        """Pictures uint8 [H, W, 3] by name, for TensorBoard."""


class Optimizer(Protocol):
    """What the loop asks of an optimizer; those of torch are such, and so are several of them that step together."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters, each with its learning rate `lr`, and with `base_lr`."""

    def step(self) -> Any:
        """Change the parameters by their gradients."""


class StepLog(Protocol):
    """What the loop tells of its steps; used in a `with`. A `RunLogger` is one."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def advance(self, step: int) -> None:
        """So many steps are done."""

    def interval(self, step: int, scalars: Mapping[str, float], rays: int = 0, samples: int = 0) -> None:
        """Scalars of a step; rays and samples since the last call."""

    def image(self, step: int, name: str, pixels: ByteArray) -> None:
        """A picture, uint8 [H, W, 3]."""


@dataclass(frozen=True)
class Schedule:
    """When what happens.

    Attributes:
        steps: of the whole training. warmup: steps of linear warm-up. decay: learning rate at the end, as a share.
        linear: whether the learning rate falls along a line rather than by the same share every step.
        clip_norm: largest norm of the gradient. checkpoint_every, log_every, image_every: steps (0: never).
    """

    steps: int
    warmup: int
    decay: float
    clip_norm: float
    checkpoint_every: int
    log_every: int
    image_every: int
    linear: bool = False

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due after so many steps."""
        return done % self.checkpoint_every == 0 or done == self.steps

    def logs(self, done: int) -> bool:
        """Whether scalars are due after so many steps."""
        return done % self.log_every == 0 or done == self.steps

    def rate(self, step: int) -> float:
        """Learning rate of a step as a share of the base rate: linear warm-up, and decay."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.linear:
            return warm * (1.0 - (1.0 - self.decay) * step / self.steps)
        return warm * self.decay ** (step / self.steps)


def fit(
    objective: Objective,
    optimizer: Optimizer,
    schedule: Schedule,
    logger: StepLog,
    save: Callable[[int], None] = lambda step: None,
    run_dir: Path | None = None,
    start: int = 0,
    scaler: torch.amp.GradScaler | None = None,
    rates: str = "trainer.lr or trainer.mlp_lr",
) -> None:
    """Minimise an objective from step `start` to `schedule.steps`.

    Args:
        objective: gives the loss. optimizer: each parameter group holds its base learning rate as `base_lr`.
        logger: is told of every step. save: writes a checkpoint after so many steps, and before the first.
        run_dir: where the checkpoints are, for messages; None: there are none. rates: the keys of the learning rates.
        scaler: for float16 on CUDA, with one of torch's optimizers.

    Raises:
        InputError: the loss stopped being finite; the last good checkpoint stays.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved. Without checkpoints KeyboardInterrupt.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
    on_cpu = parameters[0].device.type == "cpu"
    shards = torch.get_num_threads() if on_cpu else 1
    with _stop_request() as stop, logger, ShardedGradients(parameters, shards) as differentiate:
        if start == 0:
            save(0)  # from here on a run that is killed can go on
        for step in range(start, schedule.steps):
            objective.prepare(step)
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * schedule.rate(step)
            loss, scalars = differentiate(objective.shards(step, shards), scaler.scale)
            done = step + 1
            stopping = stop.is_set()  # asked once: a later request waits for the next step, and its checkpoint
            saving = schedule.saves(done) or stopping
            norm = _clipped_norm(parameters, optimizer, scaler, schedule.clip_norm)
            if on_cpu or saving or schedule.logs(done):  # on CUDA, looking waits for the device
                # Gradient scaling expects infinite gradients now and then, and skips the step by itself.
                _check_finite(loss if scaler.is_enabled() else loss + norm, step, scalars, run_dir, rates)
            _update(optimizer, scaler)
            _tell(logger, objective, schedule, done, loss, scalars)
            if saving:
                save(done)
            if stopping:
                raise _interruption(run_dir)
        if stop.is_set():  # during the last step, which was saved
            raise _interruption(run_dir)


def _clipped_norm(
    parameters: list[Tensor], optimizer: Optimizer, scaler: torch.amp.GradScaler, largest: float
) -> Tensor:
    """The norm of the gradient before it is clipped to the largest one."""
    if scaler.is_enabled():
        assert isinstance(optimizer, torch.optim.Optimizer)
        scaler.unscale_(optimizer)
    return torch.nn.utils.clip_grad_norm_(parameters, largest)


def _update(optimizer: Optimizer, scaler: torch.amp.GradScaler) -> None:
    if scaler.is_enabled():
        assert isinstance(optimizer, torch.optim.Optimizer)
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()


def _tell(
    logger: StepLog, objective: Objective, schedule: Schedule, done: int, loss: Tensor, scalars: Mapping[str, Tensor]
) -> None:
    """Tell the log of a step, with scalars and pictures where they are due."""
    if schedule.logs(done):
        rays, samples = objective.counts()
        shown = objective.summary({name: float(value) for name, value in scalars.items()})
        logger.interval(done, {"loss": float(loss), **shown}, rays, samples)
    logger.advance(done)
    if schedule.image_every and done % schedule.image_every == 0:
        for name, pixels in objective.pictures().items():
            logger.image(done, name, pixels)


def _interruption(run_dir: Path | None) -> KeyboardInterrupt:
    return KeyboardInterrupt() if run_dir is None else Interrupted(run_dir)


def _check_finite(value: Tensor, step: int, scalars: dict[str, Tensor], run_dir: Path | None, rates: str) -> None:
    if bool(torch.isfinite(value)):
        return
    parts = ", ".join(f"{name} {float(part):.4g}" for name, part in scalars.items())
    kept = "" if run_dir is None else f"the last checkpoint in {run_dir} is from before it; "
    raise InputError(f"step {step}: the loss or its gradient is not finite ({parts}); {kept}try a lower {rates}")


@contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after the step; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log.info("stopping after this step; once more stops at once")
        stop.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
