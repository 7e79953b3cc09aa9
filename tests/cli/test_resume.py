"""Resume and sweeps on the command line; a stand-in replaces `nto3d.runs.multiview`."""

from pathlib import Path

import pytest

from nto3d.cli import main
from nto3d.config.schema import Config
from nto3d.errors import InputError, Interrupted
from nto3d.runs.folder import load_run_config, read_run_info
from tests.cli.conftest import Runs, failing, one_error_line, save


def test_resume_takes_the_stored_configuration(runs: Runs) -> None:
    assert main(["trainer=smoke", "seed=5", "encoding=torch", "output=here"]) == 0
    Path("here").rename("moved")
    assert main(["resume=moved", "evaluate.max_views=2", "trainer.log_every=3", "device=cpu", "seed=5"]) == 0
    first, second = runs
    assert (second.output, second.resume) == ("moved", "moved")
    assert (second.evaluate.max_views, second.trainer.log_every, second.device) == (2, 3, "cpu")
    assert (second.seed, second.encoding, second.trainer.steps) == (5, first.encoding, first.trainer.steps)
    assert [entry["command"].split()[2] for entry in read_run_info(Path("moved"))] == ["trainer=smoke", "resume=moved"]
    assert sorted(path.name for path in Path().iterdir()) == ["moved"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.steps=9", "trainer.steps=9: the checkpoint was made with 60"),
        ("seed=1", "seed=1: the checkpoint was made with 0"),
        ("encoding.levels=5", "encoding.levels=5: the checkpoint was made with 6"),
        ("output=other", "output=other: the checkpoint was made with here"),
        ("trainer=quality", "trainer=quality: a group cannot be chosen"),
        ("experiment=dtu_quality", "a group cannot be chosen"),
        ("trainer.stepz=9", "unknown key trainer.stepz"),
        ("evaluate.max_views=many", "evaluate.max_views"),
        ("export.resolution=0", "export.resolution"),
    ],
)
def test_resume_refuses_what_would_change_the_result(
    runs: Runs, capfd: pytest.CaptureFixture[str], override: str, words: str
) -> None:
    assert main(["trainer=smoke", "output=here"]) == 0
    capfd.readouterr()
    assert main(["resume=here", override]) == 2
    assert words in one_error_line(capfd)
    assert len(runs) == 1


def test_resume_needs_a_whole_run(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["resume=empty"]) == 2
    assert "holds no config.yaml" in one_error_line(capfd)
    assert main(["output=here"]) == 0
    capfd.readouterr()
    Path("here/checkpoint.pt").rename("here/mesh.ply")  # something of value
    assert main(["resume=here"]) == 2
    assert "holds no checkpoint.pt" in one_error_line(capfd)
    for text, words in (("a: [", "configuration"), ("- 1", "got list"), ("trainr: 1", "unknown key trainr")):
        Path("here/config.yaml").write_text(text)
        assert main(["resume=here"]) == 2
        line = one_error_line(capfd)
        assert "here/config.yaml" in line
        assert words in line


def test_a_sweep_gives_every_job_a_folder(runs: Runs) -> None:
    assert main(["-m", "seed=4,5", "trainer=smoke"]) == 0
    assert [config.seed for config in runs] == [4, 5]
    folders = [Path(config.output) for config in runs]
    assert [folder.name for folder in folders] == ["0", "1"]
    assert folders[0].parent == folders[1].parent
    assert folders[0].parent.parent == Path("runs/sweeps")
    assert [load_run_config(folder).seed for folder in folders] == [4, 5]


def test_a_failing_job_does_not_hide_itself_and_stops_no_other(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    runs.act = lambda config: failing(InputError("too dark"))(config) if config.seed == 1 else save(config)
    assert main(["-m", "seed=0,1,2"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        *("sweep job 0: seed=0", "sweep job 1: seed=1", "error: too dark", "sweep job 2: seed=2"),
        "error: sweep jobs that failed: 1",
    ]
    assert len(runs) == 3


def test_ctrl_c_ends_the_whole_sweep(runs: Runs) -> None:
    def stopped(config: Config) -> dict[str, float]:
        raise Interrupted(Path(config.output))

    runs.act = stopped
    assert main(["-m", "seed=0,1,2"]) == 130
    assert len(runs) == 1
