"""The ablation: which trainings it starts, what it makes of their numbers, and what it refuses; one with real runs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from nto3d.cli import guarded
from nto3d.config.compose import compose_config
from nto3d.config.io import parse_overrides
from nto3d.errors import InputError
from nto3d.runs.folder import claim, write_run_info
from tests.helpers import write_dtu_scene
from tests.scripts.conftest import ROOT

SCRIPT = ROOT / "scripts" / "ablate_features.py"
# psnr: better by more than the spread (0.2); chamfer: worse; ssim: within; feature_cosine: of one field only
METRICS = {
    "neus": {"psnr": 30.0, "ssim": 0.9, "chamfer": 0.5, "train_seconds": 10.0, "peak_memory_gb": 1.0},
    "neus_feature": {"psnr": 31.0, "ssim": 0.9001, "chamfer": 0.6, "train_seconds": 15.0, "peak_memory_gb": 1.5},
}
STEPS = {"psnr": 0.2, "ssim": 0.01, "chamfer": 0.01, "train_seconds": 0.5, "peak_memory_gb": 0.0}


class StubbedTrainer:
    """Stands in for the process that trains: keeps what it is told, and leaves a run's files."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.fails_at: int | None = None
        self.failure: BaseException = InputError("train.py failed (exit code 2): no such picture")

    def __call__(self, overrides: Sequence[str]) -> None:
        config = compose_config(list(overrides))
        folder = Path(config.output)
        claim(folder, config)  # refuses a folder that is not free, as train.py does
        write_run_info(folder, ["python", "train.py", *overrides], fresh=True)
        if len(self.told) == self.fails_at:
            (folder / "checkpoint.pt").write_text("half")
            raise self.failure
        self.told.append(list(overrides))
        field = "neus_feature" if config.field.feature else "neus"
        metrics = {key: value + STEPS[key] * (config.seed - 1) for key, value in METRICS[field].items()}
        if config.field.feature:
            metrics["feature_cosine"] = 0.9
        (folder / "metrics.json").write_text(json.dumps(metrics))

    def values(self, key: str) -> list[object]:
        """What the trainings were told of a key, in order."""
        found = [{o.key_or_group: o.value() for o in parse_overrides(told)} for told in self.told]
        return [values.get(key) for values in found]


Call = Callable[..., int]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, in an empty current folder."""
    monkeypatch.delenv("NTO3D_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("script_ablate_features", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def trainer(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> StubbedTrainer:
    stub = StubbedTrainer()
    monkeypatch.setattr(module, "train", stub)
    return stub


@pytest.fixture
def ablate(module: ModuleType) -> Call:
    return lambda *arguments: guarded(module.main, list(arguments))


def rows(table: str) -> dict[str, list[str]]:
    """The cells of every row of a Markdown table, by the first word of the first cell."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {row[0].split(" ")[0]: row[1:] for row in cells}


def test_the_sample_with_and_without(ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate() == 0
    assert trainer.values("seed") == [0, 0, 1, 1, 2, 2]
    assert trainer.values("field") == ["neus", "neus_feature"] * 3
    folders = [f"runs/ablation/sample/{field}/seed_{seed}" for seed in range(3) for field in ("neus", "neus_feature")]
    assert trainer.values("output") == folders
    assert set(trainer.values("segmenter")) == {"precomputed"}
    assert set(trainer.values("logger")) == {"none"}
    assert set(trainer.values("evaluate.report")) == {False}
    assert {Path(str(path)).resolve() for path in trainer.values("scene.path")} == {ROOT / "datasets" / "sample"}

    table = Path("runs/ablation/table.md").read_text()
    assert table in capsys.readouterr().out
    found = rows(table)
    assert found["psnr"] == ["30.00 ± 0.20", "31.00 ± 0.20", "+1.00", "better"]
    assert found["ssim"] == ["0.9000 ± 0.0100", "0.9001 ± 0.0100", "+0.0001", "within the spread"]
    assert found["chamfer"] == ["0.5000 ± 0.0100", "0.6000 ± 0.0100", "+0.1000", "worse"]
    assert found["train_seconds"] == ["10.00 ± 0.50", "15.00 ± 0.50", "+5.00 (1.50x)", "worse"]
    assert found["feature_cosine"] == ["", "0.9000 ± 0.0000", "", ""]
    assert list(found).index("psnr") < list(found).index("chamfer") < list(found).index("peak_memory_gb")
    for words in ("sample standard deviation", "same for both", "seeds 0, 1, 2", "cores", "ablate_features.py"):
        assert words in table

    result = json.loads(Path("runs/ablation/results.json").read_text())
    assert [(run["field"], run["seed"]) for run in result["runs"]][:3] == [
        ("neus", 0),
        ("neus_feature", 0),
        ("neus", 1),
    ]
    assert [run["metrics"]["psnr"] for run in result["runs"]] == pytest.approx([29.8, 30.8, 30.0, 31.0, 30.2, 31.2])


def test_the_sample_and_a_scene(ablate: Call, trainer: StubbedTrainer, tmp_path: Path) -> None:
    """What fits the given scene does not reach the sample; what is about training reaches both."""
    Path("docs").mkdir()
    own = ["scene.path=jug", "scene.downscale=2", "evaluate.points=jug.npz", "prompts.view=3"]
    both = ["segmenter=grabcut", "trainer.loss.feature_weight=0.5", "logger=tensorboard"]
    assert ablate("seeds=[4]", "table=docs/table.md", *own, *both) == 0
    assert [Path(str(folder)).parts[2] for folder in trainer.values("output")] == ["sample"] * 2 + ["jug"] * 2
    assert trainer.values("scene.downscale") == trainer.values("prompts.view")[:2] + [2, 2] == [None, None, 2, 2]
    assert trainer.values("evaluate.points") == [None, None, "jug.npz", "jug.npz"]
    assert trainer.values("trainer.loss.feature_weight") == [0.5] * 4
    assert trainer.values("segmenter") == ["grabcut"] * 4
    assert trainer.values("logger") == ["tensorboard"] * 4
    table = Path("docs/table.md").read_text()
    assert table.index("## sample") < table.index("## jug")
    assert "found from the click" in table
    assert rows(table)["psnr"][-1] == "one seed"
    assert not Path("runs/ablation/table.md").exists()


def test_a_scene_without_the_sample(ablate: Call, trainer: StubbedTrainer) -> None:
    assert ablate("seeds=[0]", "sample=false", "experiment=dtu_quality", "scene.path='a (odd)=folder'",
                  "scene.name=jug", "out='o d=d'") == 0  # fmt: skip
    assert trainer.values("output") == ["o d=d/jug/neus/seed_0", "o d=d/jug/neus_feature/seed_0"]
    assert trainer.values("scene.path") == ["a (odd)=folder"] * 2


def test_an_interrupted_ablation_goes_on(
    ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.fails_at, trainer.failure = 3, KeyboardInterrupt()
    assert ablate("out=o") == 130
    assert "Traceback" not in capsys.readouterr().err
    assert "neus 2, neus_feature 1" in Path("o/table.md").read_text()
    assert len(json.loads(Path("o/results.json").read_text())["runs"]) == 3
    trainer.fails_at = None
    assert ablate("out=o") == 0
    assert len(trainer.told) == 6
    assert sorted(map(str, trainer.values("output"))) == sorted({str(value) for value in trainer.values("output")})
    assert ablate("out=o", "seeds=[0,1,2,3]") == 0
    assert trainer.values("seed")[6:] == [3, 3]
    assert "finished: neus 4, neus_feature 4" in Path("o/table.md").read_text()


def test_a_failing_training_is_one_line(
    ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.fails_at = 1
    assert ablate() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: sample neus_feature seed 0: train.py failed (exit code 2): no such picture"
    assert Path("runs/ablation/table.md").is_file()


def test_other_settings_are_refused(ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("seeds=[0]") == 0
    table = Path("runs/ablation/table.md").read_bytes()
    assert ablate("seeds=[5,0]", "trainer.steps=7") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "runs/ablation/sample/neus/seed_0" in line
    assert "trainer.steps=2200, not 7" in line
    assert len(trainer.told) == 2  # nor was seed 5 begun
    assert Path("runs/ablation/table.md").read_bytes() == table


def test_broken_metrics_are_one_line(ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate("seeds=[0]") == 0
    Path("runs/ablation/sample/neus/seed_0/metrics.json").write_text("[3")
    assert ablate("seeds=[0]") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "seed_0/metrics.json: expected the JSON" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fields=[neus,nerf]"], "fields: expected two of neus, neus_feature, got [neus, nerf]"),
        (["fields=[neus]"], "fields: expected two"),
        (["fields=[neus,neus]"], "fields: expected two"),
        (["seeds=[]"], "seeds: expected at least one"),
        (["seeds=[1,1]"], "none twice"),
        (["seeds=[-1]"], "none negative"),
        (["seeds=many"], "seeds"),
        (["table=nowhere/table.md"], "table: expected a file in a folder that exists, got nowhere/table.md"),
        (["table=."], "table: expected a file"),
        (["output=x"], "output: cannot be given"),
        (["seed=3"], "seed: cannot be given"),
        (["++seed=3"], "seed: cannot be given"),
        (["field=neus"], "field: cannot be given"),
        (["field.feature=true"], "field.feature: cannot be given"),
        (["resume=x"], "resume: cannot be given"),
        (["-m", "trainer.steps=3"], "-m: expected key=value"),
        (["trainer.lr=1,2"], "expected key=value with a single value"),
        (["trainer.stepz=3"], "did you mean trainer.steps"),
        (["trainer.steps=-1"], "trainer.steps"),
        (["sample=false"], "sample=false: expected another scene"),
        (["scene=dtu"], "scene.path is missing"),
        (["scene=dtu", "scene.path=elsewhere/sample"], "scene.name: sample is the bundled scene"),
    ],
)
def test_bad_arguments_are_one_line(
    ablate: Call, trainer: StubbedTrainer, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert ablate(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not trainer.told
    assert not list(Path().iterdir())


def test_verdicts(module: ModuleType) -> None:
    table = importlib.import_module("ablate_table")
    verdict = table.verdict
    assert verdict("psnr", [1.0, 3.0], [2.0, 6.0]) == "within the spread"  # 2 against the larger of 1.41 and 2.83
    assert verdict("psnr", [1.0, 1.0], [2.0, 2.0]) == "better"
    assert verdict("psnr", [2.0, 2.0], [1.0, 1.0]) == "worse"
    assert verdict("chamfer", [2.0, 2.0], [1.0, 1.0]) == "better"
    assert verdict("psnr", [1.0, 1.0], [1.0, 1.0]) == "within the spread"
    assert verdict("psnr", [1.0, 1.0], [float("nan"), 2.0]) == ""
    assert verdict("feature_constant", [1.0, 1.0], [2.0, 2.0]) == ""
    assert table.table_row("chamfer", [float("inf"), 1.0], [0.0, 0.0]).startswith("| chamfer ↓ | inf | 0.000")


QUICK = (
    *("scene=dtu", "scene.path=box", "sample=false", "seeds=[0]", "field.start=sphere", "trainer=smoke"),
    *("trainer.steps=3", "device=cpu", "threads=1", "export.resolution=16"),
)


def _with_interrupts() -> None:
    """Tests that run in the background of a shell inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the script in a process of its own on a tiny scene; later arguments win."""
    write_dtu_scene(tmp_path / "box", mesh=True)
    environment = {key: value for key, value in os.environ.items() if key != "NTO3D_DEBUG"}

    def call(*more: str) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, str(SCRIPT), *QUICK, *more], subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_with_interrupts
        )

    return call


def test_real_trainings(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Two fields, one seed, three steps; then again, with nothing left to do."""
    done = start()
    _, said = done.communicate(timeout=300)
    assert (done.returncode, said) == (0, "")
    results = json.loads((tmp_path / "runs" / "ablation" / "results.json").read_text())
    runs = {run["field"]: run["metrics"] for run in results["runs"]}
    assert 0.0 < runs["neus_feature"]["feature_cosine"] <= 1.0
    assert "feature_cosine" not in runs["neus"]
    assert all(0.05 < metrics["peak_memory_gb"] < 8 for metrics in runs.values())
    folder = tmp_path / "runs" / "ablation" / "box"
    configs = [yaml.safe_load((folder / name / "seed_0" / "config.yaml").read_text()) for name in runs]
    assert [config["field"].pop("feature") for config in configs] == [False, True]
    assert [config.pop("output") for config in configs] == [f"runs/ablation/box/{name}/seed_0" for name in runs]
    assert configs[0] == configs[1]  # nothing else differs
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = start()
    out, said = again.communicate(timeout=280)
    assert (again.returncode, said) == (0, "")
    assert "2 of them finished already" in out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == written


def test_a_real_failure_is_one_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    failed = start("evaluate.points=nowhere.npz")
    _, said = failed.communicate(timeout=280)
    assert failed.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith("error: box neus seed 0: train.py failed (exit code 2): nowhere.npz")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interruption_stops_the_training(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    running = start("trainer.steps=100000")
    log = tmp_path / "runs" / "ablation" / "box" / "neus" / "seed_0" / "scalars.csv"
    until = time.monotonic() + 240
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.1)
    running.send_signal(number)  # to the script alone: it has to stop the training itself
    _, said = running.communicate(timeout=280)
    assert running.returncode == 130
    assert said.split() == ["interrupted"]
    size = log.stat().st_size
    time.sleep(1.0)
    assert log.stat().st_size == size
