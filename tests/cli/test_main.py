"""The command line: exit codes, one line for what the user can fix; a stand-in replaces `nto3d.runs.multiview`."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nto3d.cli import guarded, main, pop_argument
from nto3d.config.schema import Config, MeshFormat
from nto3d.errors import InputError, Interrupted
from nto3d.runs.folder import load_run_config, read_run_info
from tests.cli.conftest import Runs, failing, one_error_line, save
from tests.helpers import ROOT


def test_a_run_leaves_its_configuration_and_how_it_was_started(runs: Runs) -> None:
    assert main(["trainer=smoke", "seed=3", "output=here"]) == 0
    assert [config.seed for config in runs] == [3]
    assert load_run_config(Path("here")) == runs[0]
    assert yaml.safe_load(Path("here/config.yaml").read_text())["encoding"]["backend"] == "warp"
    (info,) = read_run_info(Path("here"))
    assert info["command"] == "python train.py trainer=smoke seed=3 output=here"
    assert info["versions"]["hydra-core"] == "1.3.8"
    assert sorted(path.name for path in Path().iterdir()) == ["here"]


def test_the_default_folder_is_named_after_scene_and_time(runs: Runs) -> None:
    assert main([]) == 0
    assert main([]) == 0  # within the same second, or not
    folders = sorted(Path("runs/sample").iterdir())
    assert len(folders) == 2
    assert {Path(config.output) for config in runs} == set(folders)
    assert [path for path in Path().iterdir() if path.name != "runs"] == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trainer.stepz=1"], "unknown key trainer.stepz"),
        (["trainer.steps=many"], "trainer.steps"),
        (["trainer.steps=0"], "trainer.steps"),
        (["scene=nowhere"], "expected one of concave, dtu, image, sample, synthetic"),
        (["scene=dtu"], "scene.path is missing"),
        (["+trainer.more=1"], "cannot be added"),
        (["++more=1"], "cannot be added"),
        (["~logger"], "cannot be added"),
        (["steps"], "expected key=value"),
        (["seed=1,2"], "-m"),
        (["-m", "seed=1,2", "trainer.steps=many"], "trainer.steps"),
        (["--reusme", "x"], "--reusme: not understood"),
        (["--cfg", "everything"], "invalid choice: 'everything'"),
        (["-m", "--cfg", "job"], "Only one of"),
        (["resume=gone"], "gone: expected the folder of a run"),
        (["resume="], "resume: expected a path"),
        (["resume=a", "resume=b"], "one run folder, got 2"),
        (["-m", "resume=a"], "-m: cannot be used together with resume"),
        (["hydra.nothing=1"], "unknown key hydra.nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_end_with_one_line_and_leave_nothing(
    runs: Runs, capfd: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    assert main(argv) == 2
    assert words in one_error_line(capfd)
    assert runs == []
    assert [path.name for path in Path().iterdir() if path.name != "runs"] == []
    assert not Path("runs/sample").exists()


def test_a_broken_yaml_file_is_one_line(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("mine/scene").mkdir(parents=True)
    Path("mine/scene/broken.yaml").write_text("path: [1,\n")
    assert main(["--config-dir", "mine", "scene=broken"]) == 2
    assert "broken.yaml" in one_error_line(capfd)
    Path("mine/scene/misspelt.yaml").write_text("paht: x\n")
    assert main(["--config-dir", "mine", "scene=misspelt"]) == 2
    assert "unknown key scene.paht: did you mean scene.path?" in one_error_line(capfd)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("image/000.png: expected 8 bit, got 16 bit"), "error: image/000.png: expected 8 bit, got 16 bit"),
        (OSError(28, "No space left on device", "runs/a/mesh.ply"), "error: runs/a/mesh.ply: No space left on device"),
        (PermissionError(13, "Permission denied", "here"), "error: here: Permission denied"),
        (MemoryError(), "error: out of memory: lower"),
        (
            RuntimeError(
                "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 3000000000 bytes."
            ),
            "error: out of memory, 3 GB at once: lower",
        ),
    ],
)
def test_what_the_user_can_fix_is_one_line(
    runs: Runs, capfd: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    runs.act = failing(error)
    assert main([]) == 2
    assert one_error_line(capfd).startswith(line)
    assert not Path("runs/sample").is_dir() or not any(Path("runs/sample").iterdir())


def test_a_bug_keeps_its_traceback(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    runs.act = failing(RuntimeError("shapes differ"))
    assert main([]) == 1
    shown = capfd.readouterr().err
    assert "Traceback" in shown
    assert "RuntimeError: shapes differ" in shown


def test_debug_shows_where_an_input_error_comes_from(
    runs: Runs, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NTO3D_DEBUG", "1")
    runs.act = failing(InputError("no images"))
    assert main([]) == 2
    shown = capfd.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("error: no images\n")


def test_bad_input_leaves_the_folder_free_for_the_next_try(runs: Runs) -> None:
    runs.act = failing(InputError("no images"))
    assert main(["output=here"]) == 2
    assert not Path("here").exists()
    runs.act = save
    assert main(["output=here"]) == 0


def test_a_folder_that_holds_a_run_is_left_alone(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["output=here", "seed=1"]) == 0
    before = {path: path.read_bytes() for path in Path("here").iterdir()}
    capfd.readouterr()
    assert main(["output=here", "seed=2"]) == 2
    assert "already holds a run; go on with resume=here" in one_error_line(capfd)
    assert {path: path.read_bytes() for path in Path("here").iterdir()} == before


def test_an_output_that_cannot_be_made_is_one_line(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert main(["output=file/run"]) == 2
    assert "file/run" in one_error_line(capfd)
    assert main(["output=file"]) == 2
    assert "output: cannot make the folder file" in one_error_line(capfd)


def test_ctrl_c_after_a_checkpoint_tells_how_to_go_on(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    def stopped(config: Config) -> dict[str, float]:
        save(config)
        raise Interrupted(Path(config.output))

    runs.act = stopped
    assert main(["output='my run'"]) == 130
    assert "interrupted; go on with: python train.py 'resume=my run'" in capfd.readouterr().err

    def stopped_later(config: Config) -> dict[str, float]:  # while the mesh is exported, say
        save(config)
        raise KeyboardInterrupt

    runs.act = stopped_later
    assert main(["output=other"]) == 130
    assert "python train.py resume=other" in capfd.readouterr().err


def test_ctrl_c_before_a_checkpoint_leaves_nothing(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    runs.act = failing(KeyboardInterrupt())
    assert main(["output=here"]) == 130
    assert capfd.readouterr().err == "\ninterrupted\n"
    assert not Path("here").exists()


def test_help_names_groups_and_keys(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    for words in (
        "trainer: fast, quality, smoke",
        "resume=RUN_DIR",
        "samples_per_step: ",
        "encoding: tcnn, torch, warp",
    ):
        assert words in shown
    assert runs == []


def test_the_log_goes_to_the_run(runs: Runs) -> None:
    def speaking(config: Config) -> dict[str, float]:
        logging.getLogger("nto3d").info("half way")
        return save(config)

    runs.act = speaking
    assert main(["output=here"]) == 0
    assert Path("here/log.txt").read_text().endswith(" half way\n")


def test_scripts_read_a_run_and_override_it(runs: Runs) -> None:
    assert main(["output=here"]) == 0
    run, others = pop_argument(["export.format=glb", "run=here", "export.resolution=512"], "run")
    config = load_run_config(Path(run), others)
    assert (config.export.format, config.export.resolution, config.output) == (MeshFormat.glb, 512, "here")
    for wrong in (
        "export.rezolution=1",
        "export.resolution=fine",
        "export.resolution=1,2",
        "+a=1",
        "export.format=stl",
    ):
        with pytest.raises(InputError) as caught:
            load_run_config(Path("here"), [wrong])
        assert wrong.partition("=")[0].strip("+") in str(caught.value)
    for arguments in ([], ["run="], ["run=a", "run=b"]):
        with pytest.raises(InputError, match="give it once, as run=VALUE"):
            pop_argument(arguments, "run")


def test_guarded_serves_scripts(capfd: pytest.CaptureFixture[str]) -> None:
    def script(argv: list[str]) -> None:
        if argv:
            raise InputError(f"{argv[0]}: expected nothing")

    assert guarded(script, []) == 0
    assert guarded(script, ["x"]) == 2
    assert capfd.readouterr().err == "error: x: expected nothing\n"
    assert guarded(lambda: 7) == 7


def test_a_broken_run_json_is_refused(runs: Runs) -> None:
    assert main(["output=here"]) == 0
    for text in ("{", json.dumps({"command": "x"})):
        Path("here/run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json"):
            read_run_info(Path("here"))


def test_train_py_itself_exits_with_two(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "trainer.steps=0"]
    environment = {key: value for key, value in os.environ.items() if key != "NTO3D_DEBUG"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: trainer.steps: expected a number from 1 to 1e+07, got 0\n"
    assert list(tmp_path.iterdir()) == []
