"""What the steps of the pipeline tell while they work, and how somebody who watches can stop them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from nto3d.errors import CancelledError
from nto3d.stages.lift.refine import ViewMask
from nto3d.training.log import History
from nto3d.training.loop import StepLog
from nto3d.types import ByteArray


class Watch(Protocol):
    """Who is told of trainings and of the rounds of a lift."""

    def training(self, stage: str, steps: int, start: int = 0) -> StepLog:
        """The log of a training of so many steps, of which `start` are done."""

    def round(
        self,
        masks: Mapping[int, ViewMask],
        before: Mapping[int, ViewMask] | None,
        views: Sequence[int],
        seconds: float,
    ) -> None:
        """The masks of a round, and of the round before it (None: there was none).

        Args:
            views: over which the two are compared. seconds: since the lift began.
        """


@dataclass(frozen=True)
class Progress:
    """How far a stage of the work is.

    Attributes:
        stage: `scene`, `lift`, `masks`, `reconstruct` or `complete`.
        step, steps: done, and in all; of `masks` the rounds so far, of `complete` the places of a pass.
        scalars: the latest ones that were logged, such as `loss` and `psnr`.
    """

    stage: str
    step: int
    steps: int
    scalars: Mapping[str, float] = field(default_factory=dict)


Callback = Callable[[Progress], bool | None]  # what it returns: False stops the work


class CallbackWatch:
    """Calls back after every step and every round.

    Args:
        callback: None: nobody is called.

    Attributes:
        history: what was logged of the last training, name -> (steps, values).

    Raises:
        CancelledError: by what is told, when the callback returns False.
    """

    def __init__(self, callback: Callback | None = None) -> None:
        self._callback, self._rounds = callback, 0
        self.history: History = {}

    def training(self, stage: str, steps: int, start: int = 0) -> StepLog:
        """See `Watch`."""
        self.history = {}
        return _CallbackLog(self, stage, steps)

    def round(
        self,
        masks: Mapping[int, ViewMask],
        before: Mapping[int, ViewMask] | None,
        views: Sequence[int],
        seconds: float,
    ) -> None:
        """See `Watch`."""
        trust = sum(masks[view].trust for view in views) / max(1, len(views))
        self._rounds += 1
        self.tell(Progress("masks", self._rounds, self._rounds, {"trust": trust, "seconds": seconds}))

    def tell(self, progress: Progress) -> None:
        """Call back."""
        if self._callback is not None and self._callback(progress) is False:
            raise CancelledError(f"cancelled in {progress.stage}, step {progress.step} of {progress.steps}")


class _CallbackLog:
    """The log of one training."""

    def __init__(self, watch: CallbackWatch, stage: str, steps: int) -> None:
        self._watch, self._stage, self._steps = watch, stage, steps
        self._scalars: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def advance(self, step: int) -> None:
        """See `StepLog`."""
        self._watch.tell(Progress(self._stage, step, self._steps, self._scalars))

    def interval(self, step: int, scalars: Mapping[str, float], rays: int = 0, samples: int = 0) -> None:
        """See `StepLog`."""
        self._scalars = {name: float(value) for name, value in scalars.items() if math.isfinite(value)}
        for name, value in self._scalars.items():
            steps, values = self._watch.history.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)

    def image(self, step: int, name: str, pixels: ByteArray) -> None:
        """See `StepLog`."""
