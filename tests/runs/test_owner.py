"""A run's folder has one owner: a lock that the kernel drops, and a line that says who holds it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nto3d.errors import InputError
from nto3d.runs.owner import LOCK_NAME, check_owner, make_folder, owned, refuse_taken
from tests.helpers import ROOT

HOLD = """
import sys, time
from pathlib import Path
from nto3d.errors import InputError
from nto3d.runs.owner import owned
print("ready", flush=True)
sys.stdin.readline()
try:
    with owned(Path(sys.argv[1]), ["python", "train.py", "seed=7"], "output", make=True) as owner:
        print("mine", owner.killed, flush=True)
        sys.stdin.readline()
except InputError as error:
    print(error, flush=True)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that takes the folder at the first line it is sent, and leaves it at the second."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert said(process) == "ready"
    return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The folder is another process's."""
    process = holder(folder)
    go(process)
    assert said(process) == "mine False"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with held(run) as first:
        begun = time.perf_counter()
        for take in (lambda: owned(run, [], "output").__enter__(), lambda: refuse_taken(run, "output")):
            with pytest.raises(InputError) as caught:
                take()
            words = rf"^output: {run} is in use by process {first.pid} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d: "
            assert caught.match(words + r"python train\.py seed=7$")
        assert time.perf_counter() - begun < 0.5
        assert [path.name for path in run.iterdir()] == [LOCK_NAME]
        go(first)
        assert first.wait(timeout=20) == 0
        assert not run.exists()
        refuse_taken(run, "output")


def test_the_lock_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    with held(tmp_path / "run") as first:
        first.kill()
        first.wait(timeout=20)
        assert (tmp_path / "run" / LOCK_NAME).exists()
        with owned(tmp_path / "run", [], "output") as owner:
            assert owner.killed
        with owned(tmp_path / "run", [], "output") as owner:
            assert not owner.killed
        assert list((tmp_path / "run").iterdir()) == []


def test_of_several_at_the_same_instant_exactly_one_goes_on(tmp_path: Path) -> None:
    """Also where the folder appears and vanishes meanwhile."""
    for number in range(3):
        processes = [holder(tmp_path / f"run_{number}") for _ in range(4)]
        for process in processes:
            go(process)
        answers = [said(process) for process in processes]
        mine = [process for process, answer in zip(processes, answers, strict=True) if answer == "mine False"]
        assert len(mine) == 1
        assert sum(f"is in use by process {mine[0].pid} since" in answer for answer in answers) == 3
        for process in processes:
            process.communicate("\n" if process in mine else None, timeout=20)
    assert list(tmp_path.iterdir()) == []


def test_a_thousand_turns_of_two_never_overlap(tmp_path: Path) -> None:
    """The one removes the lock and the folder while the other opens them."""
    code = """
import os, sys
from pathlib import Path
from nto3d.errors import InputError
from nto3d.runs.owner import owned
turns = 0
while turns < 150:
    try:
        with owned(Path("run"), [], "output", make=True):
            os.close(os.open("inside", os.O_CREAT | os.O_EXCL))
            os.unlink("inside")
            turns += 1
    except InputError:
        pass
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    reading, writing = os.pipe()
    with owned(tmp_path / "run", [], "output"):
        child = os.fork()
        if child == 0:  # lives on after its parent is done
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    os.close(reading)
    try:
        with owned(tmp_path / "run", [], "output"):
            pass
    finally:
        os.close(writing)
        assert os.waitpid(child, 0)[1] == 0


def test_an_owner_does_not_write_into_a_folder_that_is_not_the_one_it_had(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with owned(run, [], "output", make=True):
        check_owner(run)
        (run / LOCK_NAME).unlink()  # somebody took it for a leftover
        check_owner(run)
        shutil.rmtree(run)
        with pytest.raises(InputError, match=r"run: the run's folder was removed or replaced"):
            check_owner(run)
        with pytest.raises(InputError, match="removed or replaced"):
            make_folder(run, "masks")
        assert not run.exists()
        with owned(run, [], "output", make=True):
            pass
    assert not run.exists()


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"cannot write .*{LOCK_NAME}"):
        owned(tmp_path / "run", [], "output").__enter__()
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InputError, match="output: cannot make the folder"):
        owned(tmp_path / "run" / LOCK_NAME / "run", [], "output", make=True).__enter__()
    with pytest.raises(InputError, match="resume: expected the folder of a run"):
        owned(tmp_path / "gone", [], "resume").__enter__()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_waits_for_the_dead(tmp_path: Path, number: int) -> None:
    with held(tmp_path / "run") as first:
        first.send_signal(number)
        first.wait(timeout=20)
        refuse_taken(tmp_path / "run", "output")
