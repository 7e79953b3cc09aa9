"""Scalars are kept once, also over a resume; lines and the bar show them; a full disk is one line."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nto3d.errors import InputError
from nto3d.training.log import RunLogger, _clock, read_scalars, set_up_logging


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    set_up_logging(None)


def test_scalars_come_back_exactly(tmp_path: Path) -> None:
    with RunLogger(tmp_path, total=20, terminal=False) as log:
        log.scalars(10, {"loss": 1 / 3, "psnr": 20.5})
        log.scalars(20, {"loss": float("nan")})
    history = read_scalars(tmp_path / "scalars.csv")
    assert history["loss"][0] == [10, 20]
    assert history["loss"][1][0] == 1 / 3
    assert np.isnan(history["loss"][1][1])
    assert history["psnr"] == ([10], [20.5])
    assert log.history["psnr"] == ([10], [20.5])


def test_a_resumed_run_repeats_no_row(tmp_path: Path) -> None:
    with RunLogger(tmp_path, total=40, terminal=False) as log:
        for step in (10, 20, 30):
            log.scalars(step, {"loss": float(step)})
    with (tmp_path / "scalars.csv").open("a") as file:
        file.write("40,lo")  # the crash
    with RunLogger(tmp_path, total=40, start=20, terminal=False) as log:
        assert log.history == {"loss": ([10, 20], [10.0, 20.0])}
        log.scalars(30, {"loss": -1.0})
    assert read_scalars(tmp_path / "scalars.csv") == {"loss": ([10, 20, 30], [10.0, 20.0, -1.0])}
    with RunLogger(tmp_path, total=40, terminal=False) as log:
        assert log.history == {}
    assert read_scalars(tmp_path / "scalars.csv") == {}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "", "step,name,value\n1,loss\n", "step,name,value\nx,loss,1\n"])
def test_a_foreign_scalars_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "scalars.csv").write_text(text)
    with pytest.raises(InputError, match=r"scalars\.csv"):
        RunLogger(tmp_path, total=2, start=1, terminal=False)


def test_plain_lines_show_rates_and_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.0, 102.0, 103.0])
    monkeypatch.setattr("nto3d.training.log.time.perf_counter", lambda: next(clock))
    set_up_logging(tmp_path)
    with RunLogger(tmp_path, total=4000, terminal=False) as log:
        log.interval(100, {"loss": 0.25, "psnr": 21.0}, rays=40_000, samples=280_000)
        log.interval(200, {"loss": 0.125}, rays=40_000, samples=280_000)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines[0][9:] == (
        "training 100/4000  loss 0.25  psnr 21  20.0k rays/s  7.0 samples/ray  20.0 ms/step  ETA 1:18"
    )
    assert "40.0k rays/s" in lines[1]
    assert log.history["ms_per_step"] == ([100, 200], [20.0, 10.0])
    assert log.history["samples_per_ray"][1] == [7.0, 7.0]


def test_a_terminal_gets_a_bar_and_no_interval_lines(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging(tmp_path)
    with RunLogger(tmp_path, total=50, start=10, terminal=True) as log:
        for step in range(11, 51):
            log.advance(step)
        log.interval(50, {"loss": 0.5})
        logging.getLogger("nto3d").info("a line above the bar")
    shown = capfd.readouterr().err
    assert "50/50" in shown
    assert "loss 0.5" in shown
    assert "a line above the bar" in shown
    assert (tmp_path / "log.txt").read_text().count("\n") == 1


def test_tensorboard_gets_scalars_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with RunLogger(tmp_path, total=2, tensorboard=True, terminal=False) as log:
        log.scalars(1, {"loss": 2.0})
        log.image(1, "render", np.zeros((4, 6, 3), np.uint8))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.0)]
    assert [(event.width, event.height) for event in events.Images("render")] == [(6, 4)]


def test_tensorboard_events_go_into_a_folder_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "lift").mkdir()
    with RunLogger(tmp_path / "lift", total=2, tensorboard=tmp_path / "tensorboard" / "lift", terminal=False) as log:
        log.scalars(1, {"loss": 2.0})
    assert [path.name for path in (tmp_path / "lift").iterdir()] == ["scalars.csv"]
    assert len(list((tmp_path / "tensorboard" / "lift").glob("events.out.tfevents.*"))) == 1


def test_without_tensorboard_nothing_of_it_is_made(tmp_path: Path) -> None:
    with RunLogger(tmp_path, total=2, terminal=False) as log:
        log.image(1, "render", np.zeros((4, 6, 3), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scalars.csv"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with RunLogger(tmp_path, total=2, terminal=False) as log:
        (tmp_path / "scalars.csv").unlink()
        (tmp_path / "scalars.csv").symlink_to("/dev/full")
        with pytest.raises(InputError, match=r"cannot write .*scalars\.csv: No space left"):
            log.scalars(1, {"loss": 1.0})
    (tmp_path / "log.txt").symlink_to("/dev/full")
    logger = set_up_logging(tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*log\.txt: No space left"):
        logger.info("hello")


def test_logging_is_set_up_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(tmp_path)
    logger = set_up_logging(tmp_path)
    logger.info("once")
    assert capsys.readouterr().err.count("once") == 1
    assert (tmp_path / "log.txt").read_text().count("once") == 1


def test_time_left_is_readable() -> None:
    assert [_clock(seconds) for seconds in (-1, 0.2, 61, 3725)] == ["0:00", "0:01", "1:01", "1:02:05"]
