"""The ablation with stubbed trainings: which ones it starts, what it makes of their numbers, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nto3d.config.io import CONFIG_ERRORS, explain
from nto3d.errors import InputError
from nto3d.trials.ablation import run, train
from nto3d.trials.ablation.plan import read_options
from nto3d.trials.places import ROOT, SAMPLE
from tests.trials.ablation.stub import StubbedTrainer


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StubbedTrainer:
    """In an empty current folder."""
    monkeypatch.chdir(tmp_path)
    stub = StubbedTrainer()
    monkeypatch.setattr(train, "train", stub)
    return stub


def ablate(*arguments: str) -> str:
    """What is said."""
    said: list[str] = []
    options, overrides = read_options(arguments)
    run.ablate(options, overrides, "python ablate.py", said.append)
    return "\n".join(said) + "\n"


def refusal(*arguments: str) -> str:
    with pytest.raises((InputError, *CONFIG_ERRORS)) as caught:
        ablate(*arguments)
    return explain(caught.value)


def rows(table: str) -> dict[str, list[str]]:
    """The cells of every row of a Markdown table, by the first word of the first cell."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {row[0].split(" ")[0]: row[1:] for row in cells}


def test_the_sample_with_and_without(trainer: StubbedTrainer) -> None:
    said = ablate()
    assert trainer.values("seed") == [0, 0, 1, 1, 2, 2]
    assert trainer.values("field") == ["neus", "neus_feature"] * 3
    folders = [f"runs/ablation/sample/{field}/seed_{seed}" for seed in range(3) for field in ("neus", "neus_feature")]
    assert trainer.values("output") == folders
    assert set(trainer.values("segmenter")) == {"precomputed"}
    assert set(trainer.values("logger")) == {"none"}
    assert set(trainer.values("evaluate.report")) == {False}
    assert {Path(str(path)).resolve() for path in trainer.values("scene.path")} == {SAMPLE}
    assert said.splitlines()[:2] == ["6 trainings, 0 of them finished already", "sample neus seed 0: psnr 29.8"]

    table = Path("runs/ablation/table.md").read_text()
    assert said.endswith(f"\n\n{table}")
    found = rows(table)
    assert found["psnr"] == ["30.00 ± 0.20", "31.00 ± 0.20", "+1.00", "better"]
    assert found["ssim"] == ["0.9000 ± 0.0100", "0.9001 ± 0.0100", "+0.0001", "within the spread"]
    assert found["chamfer"] == ["0.5000 ± 0.0100", "0.6000 ± 0.0100", "+0.1000", "worse"]
    assert found["train_seconds"] == ["10.00 ± 0.50", "15.00 ± 0.50", "+5.00 (1.50x)", "worse"]
    assert found["feature_cosine"] == ["", "0.9000 ± 0.0000", "", ""]
    assert list(found).index("psnr") < list(found).index("chamfer") < list(found).index("peak_memory_gb")
    for words in ("sample standard deviation", "same for both", "seeds 0, 1, 2", "cores", "    python ablate.py\n"):
        assert words in table

    result = json.loads(Path("runs/ablation/results.json").read_text())
    assert [(one["field"], one["seed"]) for one in result["runs"]][:3] == [
        ("neus", 0),
        ("neus_feature", 0),
        ("neus", 1),
    ]
    assert [one["metrics"]["psnr"] for one in result["runs"]] == pytest.approx([29.8, 30.8, 30.0, 31.0, 30.2, 31.2])
    assert result["command"] == "python ablate.py"


def test_the_sample_and_a_scene(trainer: StubbedTrainer) -> None:
    """What fits the given scene does not reach the sample; what is about training reaches both."""
    Path("docs").mkdir()
    own = ["scene.path=jug", "scene.downscale=2", "evaluate.points=jug.npz", "prompts.view=3"]
    both = ["segmenter=grabcut", "trainer.loss.feature_weight=0.5", "logger=tensorboard"]
    ablate("seeds=[4]", "table=docs/table.md", *own, *both)
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


def test_a_scene_without_the_sample(trainer: StubbedTrainer) -> None:
    scene = ("experiment=dtu_quality", "scene.path='a (odd)=folder'", "scene.name=jug")
    ablate("seeds=[0]", "sample=false", *scene, "out='o d=d'")
    assert trainer.values("output") == ["o d=d/jug/neus/seed_0", "o d=d/jug/neus_feature/seed_0"]
    assert trainer.values("scene.path") == ["a (odd)=folder"] * 2


def test_an_interrupted_ablation_goes_on(trainer: StubbedTrainer) -> None:
    trainer.fails_at, trainer.failure = 3, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ablate("out=o")
    assert "neus 2, neus_feature 1" in Path("o/table.md").read_text()
    assert len(json.loads(Path("o/results.json").read_text())["runs"]) == 3
    trainer.fails_at = None
    assert ablate("out=o").startswith("6 trainings, 3 of them finished already\n")
    assert len(trainer.told) == 6
    assert sorted(map(str, trainer.values("output"))) == sorted({str(value) for value in trainer.values("output")})
    ablate("out=o", "seeds=[0,1,2,3]")
    assert trainer.values("seed")[6:] == [3, 3]
    assert "finished: neus 4, neus_feature 4" in Path("o/table.md").read_text()


def test_a_failing_training_says_which(trainer: StubbedTrainer) -> None:
    trainer.fails_at = 1
    assert refusal() == "sample neus_feature seed 0: train.py failed (exit code 2): no such picture"
    assert Path("runs/ablation/table.md").is_file()


def test_other_settings_are_refused(trainer: StubbedTrainer) -> None:
    ablate("seeds=[0]")
    table = Path("runs/ablation/table.md").read_bytes()
    line = refusal("seeds=[5,0]", "trainer.steps=7")
    assert "runs/ablation/sample/neus/seed_0" in line
    assert "trainer.steps=2200, not 7" in line
    assert len(trainer.told) == 2  # nor was seed 5 begun
    assert Path("runs/ablation/table.md").read_bytes() == table


def test_broken_metrics_are_refused(trainer: StubbedTrainer) -> None:
    ablate("seeds=[0]")
    Path("runs/ablation/sample/neus/seed_0/metrics.json").write_text("[3")
    assert "seed_0/metrics.json: expected the metrics" in refusal("seeds=[0]")


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
def test_bad_arguments_are_refused(trainer: StubbedTrainer, arguments: list[str], words: str) -> None:
    assert words in refusal(*arguments)
    assert not trainer.told
    assert not list(Path().iterdir())


def test_the_process_that_starts_others_holds_no_torch() -> None:
    """It would count as peak memory of the trainings."""
    code = "import sys, nto3d.trials.ablation.run; assert not {'torch', 'warp', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
