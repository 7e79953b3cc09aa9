"""The training loop on objectives whose course is known."""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nto3d.errors import InputError, Interrupted
from nto3d.training.log import RunLogger, read_scalars
from nto3d.training.loop import Schedule, fit
from nto3d.training.parallel import Losses, Shard

TARGET = torch.tensor([1.0, -2.0, 3.0])


class Bowl:
    """Minimises |x - target|^2; `act` is called before every step."""

    def __init__(self, act: Callable[[int], None] = lambda step: None) -> None:
        self.x = torch.zeros(3, requires_grad=True)
        self.act = act
        self.rates: list[float] = []
        self.scale = 1.0
        self.shown = 0
        self.optimizer = torch.optim.SGD([{"params": [self.x], "lr": 0.0, "base_lr": 0.5}])

    def prepare(self, step: int) -> None:
        self.act(step)

    def shards(self, step: int, count: int) -> Sequence[Shard]:
        self.rates.append(self.optimizer.param_groups[0]["lr"])

        def share() -> Losses:
            loss = ((self.x - TARGET) ** 2).sum() * self.scale / count
            return loss, {"distance": loss.detach() ** 0.5 / count}

        return [share] * count

    def summary(self, scalars: Mapping[str, float]) -> dict[str, float]:
        return dict(scalars)

    def counts(self) -> tuple[int, int]:
        return 10, 70

    def pictures(self) -> Mapping[str, Any]:
        self.shown += 1
        return {}


class Saves(list[tuple[int, Tensor]]):
    """The steps of which a checkpoint was written, with what was to be saved."""

    def __init__(self, bowl: Bowl) -> None:
        super().__init__()
        self.bowl = bowl

    def __call__(self, step: int) -> None:
        self.append((step, self.bowl.x.detach().clone()))

    @property
    def steps(self) -> list[int]:
        return [step for step, _ in self]


def schedule(steps: int = 40, **values: Any) -> Schedule:
    given: dict[str, Any] = {"warmup": 0, "decay": 1.0, "clip_norm": 1e9, "checkpoint_every": 10, "log_every": 5}
    return Schedule(steps=steps, **{**given, "image_every": 0, **values})


def run(bowl: Bowl, saves: Saves, folder: Path, plan: Schedule, start: int = 0) -> RunLogger:
    logger = RunLogger(folder, plan.steps, start, terminal=False)
    fit(bowl, bowl.optimizer, plan, logger, saves, folder, start)
    return logger


def test_rates_by_hand() -> None:
    plan = schedule(100, warmup=4, decay=0.01)
    assert plan.rate(0) == pytest.approx(0.25)
    assert plan.rate(3) == pytest.approx(0.01**0.03)
    assert plan.rate(50) == pytest.approx(0.1)
    assert plan.rate(100) == pytest.approx(0.01)
    assert schedule(100).rate(57) == 1.0


def test_it_converges_logs_and_saves(tmp_path: Path) -> None:
    bowl = Bowl()
    saves = Saves(bowl)
    logger = run(bowl, saves, tmp_path, schedule(25, warmup=5, image_every=10))
    torch.testing.assert_close(bowl.x.detach(), TARGET, rtol=0, atol=1e-4)
    assert bowl.rates[:6] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    assert saves.steps == [0, 10, 20, 25]
    assert torch.equal(saves[0][1], torch.zeros(3))
    assert torch.equal(saves[-1][1], bowl.x.detach())
    assert logger.history["loss"][0] == [5, 10, 15, 20, 25]
    assert logger.history["samples_per_ray"][1] == [7.0] * 5
    assert bowl.shown == 2
    assert set(read_scalars(tmp_path / "scalars.csv")) >= {"loss", "distance", "ms_per_step"}


def test_a_run_that_goes_on_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    plan = schedule(30, warmup=3, decay=0.1, clip_norm=1.0)
    whole, first, second = Bowl(), Bowl(), Bowl()
    run(whole, Saves(whole), tmp_path, plan)

    def stop(step: int) -> None:
        if step == 12:
            raise KeyboardInterrupt  # a crash

    first.act = stop
    saves = Saves(first)
    with pytest.raises(KeyboardInterrupt):
        run(first, saves, tmp_path, plan)
    assert saves.steps == [0, 10]
    second.x.data.copy_(saves[-1][1])
    later = Saves(second)
    run(second, later, tmp_path, plan, start=10)
    assert later.steps == [20, 30]  # and not 10 again
    assert torch.equal(second.x, whole.x)


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    bowl = Bowl()
    places: list[Tensor] = []
    bowl.act = lambda step: places.append(bowl.x.detach().clone())
    run(bowl, Saves(bowl), tmp_path, schedule(3, clip_norm=0.2))
    moves = [float((after - before).norm()) for before, after in itertools.pairwise(places)]
    assert moves == pytest.approx([0.1, 0.1])  # rate 0.5 times norm 0.2
    torch.testing.assert_close(places[1] / places[1].norm(), TARGET / TARGET.norm())


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path, scale: float) -> None:
    bowl = Bowl()

    def spoil(step: int) -> None:
        if step == 9:  # whose checkpoint would be due
            bowl.scale = scale

    bowl.act = spoil
    saves = Saves(bowl)
    with pytest.raises(
        InputError, match=r"step 9: the loss .* not finite \(distance (nan|inf)\).*trainer\.lr"
    ) as caught:
        run(bowl, saves, tmp_path, schedule())
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert saves.steps == [0]
    assert bool(bowl.x.isfinite().all())


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_a_checkpoint(tmp_path: Path) -> None:
    class Cliff(Bowl):
        """The loss stays finite where its slope does not: the root at 0."""

        def shards(self, step: int, count: int) -> Sequence[Shard]:
            shares = super().shards(step, count)
            if step < 9:
                return shares

            def edge() -> Losses:
                loss, scalars = shares[0]()
                return loss + (self.x * 0.0).sum().sqrt(), scalars

            return [edge, *shares[1:]]

    bowl = Cliff()
    saves = Saves(bowl)
    with pytest.raises(InputError, match=r"step 9: .*gradient is not finite"):
        run(bowl, saves, tmp_path, schedule())
    assert saves.steps == [0]
    assert bool(bowl.x.isfinite().all())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path: Path, number: signal.Signals) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    bowl = Bowl(lambda step: os.kill(os.getpid(), number) if step == 3 else None)
    saves = Saves(bowl)
    with pytest.raises(Interrupted) as caught:
        run(bowl, saves, tmp_path, schedule())
    assert caught.value.run_dir == tmp_path
    assert saves.steps == [0, 4]
    assert torch.equal(saves[-1][1], bowl.x.detach())
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_signal_during_a_step_saves_what_is_interrupted(tmp_path: Path) -> None:
    """It arrives after the step has decided whether to save: the next step must."""
    bowl = Bowl()
    saves = Saves(bowl)
    bowl.counts = lambda: (os.kill(os.getpid(), signal.SIGINT), (1, 1))[1]  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        run(bowl, saves, tmp_path, schedule(log_every=5))
    assert saves.steps == [0, 6]
    assert torch.equal(saves[-1][1], bowl.x.detach())


def test_a_signal_in_the_last_step_is_not_lost(tmp_path: Path) -> None:
    bowl = Bowl(lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 39 else None)
    saves = Saves(bowl)
    with pytest.raises(Interrupted):
        run(bowl, saves, tmp_path, schedule())
    assert saves.steps[-1] == 40


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    def twice(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    bowl = Bowl(twice)
    saves = Saves(bowl)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(bowl, saves, tmp_path, schedule())
    assert not isinstance(caught.value, Interrupted)
    assert saves.steps == [0]
