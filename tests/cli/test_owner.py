"""Two runs in one folder, and runs that were killed before their first checkpoint; a stand-in replaces the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nto3d.cli import main
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.files import open_temporary
from nto3d.runs.folder import load_run_config, read_run_info
from nto3d.runs.owner import LOCK_NAME, owned
from tests.cli.conftest import Runs, failing, one_error_line, save
from tests.helpers import ROOT

SLEEPER = """
import sys, time, types
from pathlib import Path
from nto3d.cli import main

def run(config):
    for name in sys.argv[1].split():
        path = Path(config.output, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    print("running", flush=True)
    time.sleep(600)

sys.modules["nto3d.runs.dispatch"] = types.SimpleNamespace(run=run)
sys.exit(main(sys.argv[2:]))
"""
COMMAND = ("trainer=smoke", "seed=3", "output=here")
LEFT = "scalars.csv lift/scalars.csv tensorboard/lift/events.out.tfevents.1"


def killed(*argv: str, left: str = LEFT) -> int:
    """Starts a run and kills it when it has left some files; its process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SLEEPER, left, *argv]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.kill()
    process.communicate()
    return process.pid


def files(folder: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_second_run_and_a_resume_are_refused_while_the_first_goes_on(
    runs: Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    def meanwhile(config: Config) -> dict[str, float]:
        capfd.readouterr()
        before = files("here")
        for argv in (["output=here"], ["output='here'", "seed=5"], ["resume=here"], ["-m", "output=here"]):
            assert main(argv) == 2
            error = capfd.readouterr().err
            assert f"is in use by process {os.getpid()} since" in error
            assert error.count(f"python train.py {' '.join(commands[len(runs) - 1])}\n") == 1
            assert error.count("\n") == (3 if "-m" in argv else 1)
        assert files("here") == before
        return save(config)

    runs.act = meanwhile
    commands = (COMMAND, ("resume=here",))
    assert [main(list(command)) for command in commands] == [0, 0]
    assert len(runs) == 2


def test_a_refusal_needs_no_torch_and_no_second(tmp_path: Path) -> None:
    """Measured in seconds of the processor: others may be at work."""
    with owned(tmp_path / "run", ["first"], "output", make=True):
        code = (
            "import sys, resource; from nto3d.cli import main; code = main(sys.argv[1:]);"
            "used = resource.getrusage(resource.RUSAGE_SELF);"
            "assert not {'torch', 'numpy', 'warp'} & set(sys.modules);"
            "print(code, used.ru_utime + used.ru_stime)"
        )
        for argument in ("output=run", "resume=run"):
            command = [sys.executable, "-c", code, argument]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
            )
            exit_code, seconds = done.stdout.split()
            assert exit_code == "2"
            assert float(seconds) < 1.0
            assert f"run is in use by process {os.getpid()} since" in done.stderr


@pytest.mark.parametrize("again", [COMMAND, ("resume=here",)], ids=["the same command", "resume"])
def test_a_run_killed_before_its_first_checkpoint_starts_again(runs: Runs, again: tuple[str, ...]) -> None:
    Path("here").mkdir()
    Path("here/notes.md").write_text("mine")
    killed(*COMMAND)
    open_temporary(Path("here/checkpoint.pt"))  # as if it had been killed while it wrote
    open_temporary(Path("here/lift/scalars.csv"))
    assert Path("here", LOCK_NAME).exists()
    seen: list[str] = []

    def look(config: Config) -> dict[str, float]:
        seen.extend(sorted(str(path.relative_to("here")) for path in Path("here").rglob("*") if path.is_file()))
        return save(config)

    runs.act = look
    assert main(list(again)) == 0
    assert seen == [LOCK_NAME, "config.yaml", "log.txt", "notes.md", "run.json"]  # nothing of the killed one
    (config,) = runs
    assert (config.seed, config.resume, config.output) == (3, None, "here")
    assert [entry["command"].split()[2] for entry in read_run_info(Path("here"))] == ["trainer=smoke", again[0]]
    assert "it starts again" in Path("here/log.txt").read_text()
    assert not Path("here", LOCK_NAME).exists()
    assert Path("here/notes.md").read_text() == "mine"
    assert main(["resume=here"]) == 0
    assert runs[1].resume == "here"


def test_of_another_configuration_it_is_refused_and_stays(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    killed(*COMMAND)
    before = files("here")
    assert main(["trainer=smoke", "seed=4", "output=here"]) == 2
    line = one_error_line(capfd)
    assert "here holds a run with seed=3, not 4, stopped before its first checkpoint" in line
    assert "nothing was learnt" in line
    assert runs == []
    assert files("here") == {path: data for path, data in before.items() if path.name != LOCK_NAME}
    assert main(["trainer=smoke", "seed=3", "output=here", "device=cpu", "export.resolution=40"]) == 0  # harmless ones
    assert load_run_config(Path("here")).export.resolution == 40


@pytest.mark.parametrize("left", ["masks/000.png", "mesh.ply", "objects/cup/masks/000.png", "mcc.safetensors"])
def test_what_is_worth_a_run_is_not_removed(runs: Runs, capfd: pytest.CaptureFixture[str], left: str) -> None:
    """A run without its checkpoint, which somebody must have removed."""
    killed(*COMMAND, left=left)
    assert main(list(COMMAND)) == 2
    assert "here already holds a run; choose another output" in one_error_line(capfd)
    assert main(["resume=here"]) == 2
    assert "cannot go on, it holds no checkpoint.pt" in one_error_line(capfd)
    assert Path("here", left).read_text() == "half"


def test_a_killed_run_on_one_picture_is_made_again_a_finished_one_is_not(
    runs: Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    single = ("mode=single", "scene=image", "scene.path=a.png", "output=here")
    killed(*single, left="points.ply mesh.ply")

    def complete(config: Config) -> dict[str, float]:
        assert not Path("here/mesh.ply").exists()
        Path("here/metrics.json").write_text("{}")
        return {}

    runs.act = complete
    assert main(list(single)) == 0
    Path("here/mesh.ply").write_text("whole")
    capfd.readouterr()
    for argv in (list(single), ["resume=here"]):
        assert main(argv) == 2
        one_error_line(capfd)
    assert Path("here/mesh.ply").read_text() == "whole"


def test_a_resume_that_fails_leaves_a_killed_run_to_the_next_try(runs: Runs) -> None:
    killed(*COMMAND)
    runs.act = failing(InputError("no pictures"))
    assert main(["resume=here"]) == 2
    assert sorted(path.name for path in Path("here").iterdir()) == ["config.yaml", "run.json"]
    runs.act = save
    assert main(["resume=here"]) == 0
    assert [config.seed for config in runs] == [3, 3]


def test_a_configuration_that_is_not_ours_is_left_alone(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("here").mkdir()
    Path("here/config.yaml").write_text("seed: 0\n")
    assert main(["output=here"]) == 2
    assert "here already holds a run" in one_error_line(capfd)
    assert files("here") == {Path("here/config.yaml"): b"seed: 0\n"}


def test_a_folder_that_is_removed_ends_the_run_with_one_line(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def remove(config: Config) -> dict[str, float]:
        Path("here").rename("there")
        Path("here/scalars.csv").open("a").close()
        return {}

    runs.act = remove
    assert main(["output=here"]) == 2
    assert one_error_line(capfd) == "error: here: the run's folder was removed or replaced while the run went on"
    assert not Path("here").exists()
