"""`mode=train_mcc` through `train.py`: it learns, goes on to the bit, and says what is wrong."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from nto3d.build.train_mcc import held_out_views, learnt_objects, learnt_subjects
from nto3d.cli import main
from nto3d.config.compose import compose_config
from nto3d.mcc.weights import load_mcc
from nto3d.runs.folder import CHECKPOINT_NAME
from nto3d.runs.train_mcc import OTHERS
from nto3d.stages.mcc.assess import HeldOut, complete_view, mean_scores
from nto3d.stages.mcc.learn import CompletionTraining
from nto3d.training.checkpoint import load_checkpoint
from nto3d.training.log import read_scalars
from tests.helpers import write_dtu_scene

NETWORK = (
    *("train_mcc.network.image=32", "train_mcc.network.points=16", "train_mcc.network.width=32"),
    *("train_mcc.network.depth=1", "train_mcc.network.decoder_width=32", "train_mcc.network.decoder_depth=2"),
)
SMALL = (
    *("mode=train_mcc", *NETWORK, "train_mcc.objects=2", "train_mcc.views=2", "train_mcc.side=48"),
    *(
        "train_mcc.surface_points=1000",
        "train_mcc.batch=4",
        "train_mcc.queries=64",
        "train_mcc.held_out=1",
        "train_mcc.calibrate=0",
    ),
    *("train_mcc.log_every=4", "device=cpu", "threads=1", "logger=none"),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_training_leaves_weights_curves_and_scores() -> None:
    assert main([*SMALL, "train_mcc.steps=12", "train_mcc.check_every=4", "output=run", "single.batch=60000"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["views"] == 4
    assert 0.1 < metrics["seen_f_score"] < 1.0
    assert {"f_score", "precision", "recall", "hidden_coverage"} <= set(metrics)
    assert sum(value.numel() for value in load_mcc(Path("run/mcc.safetensors")).parameters()) > 1000
    history = read_scalars(Path("run/scalars.csv"))
    assert history["loss"][0] == [4, 8, 12]
    assert history["held_out_occupancy"][0] == [4, 8, 12]
    assert "train_mcc 12/12" in Path("run/log.txt").read_text()
    assert "held_out_iou" in Path("run/report.html").read_text()


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ["evaluate=none", "train_mcc.steps=10"]
    assert main([*SMALL, *rest, "output=whole"]) == 0
    prepare = CompletionTraining.prepare

    def stop_at(self: CompletionTraining, step: int) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGINT)
        prepare(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(CompletionTraining, "prepare", stop_at)
        assert main([*SMALL, *rest, "output=parts"]) == 130
    assert load_checkpoint(Path("parts") / CHECKPOINT_NAME)["step"] == 6
    assert not Path("parts/mcc.safetensors").exists()
    assert main(["resume=parts", "train_mcc.log_every=2"]) == 0
    ours, theirs = (load_checkpoint(Path(run) / CHECKPOINT_NAME) for run in ("parts", "whole"))
    assert all(torch.equal(ours["model"][name], theirs["model"][name]) for name in theirs["model"])
    assert Path("parts/mcc.safetensors").read_bytes() == Path("whole/mcc.safetensors").read_bytes()


def test_a_checkpoint_that_no_training_leaves_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "evaluate=none", "train_mcc.steps=2", "output=run"]) == 0
    path = Path("run") / CHECKPOINT_NAME
    whole = torch.load(path, weights_only=True)
    blank = {"parts": [{**part, "state": {}} for part in whole["optimizer"]["parts"]]}
    wrong = {name: value * float("nan") for name, value in whole["model"].items()}
    for key, value, said in (
        ("stage", "reconstruct", "stage: expected one of train_mcc, got 'reconstruct'"),
        ("step", 3, "step: expected a whole number, 0 to 2, got 3"),
        ("optimizer", blank, "optimizer.parts[0].state: expected all "),
        ("model", wrong, "expected finite numbers, got nan"),
    ):
        torch.save({**whole, key: value}, path)
        before = path.read_bytes()
        capsys.readouterr()
        assert main(["resume=run"]) == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: run/checkpoint.pt: ")
        assert said in last
        assert path.read_bytes() == before


def test_the_same_command_gives_the_same_bits_and_another_seed_others() -> None:
    for output, seed in (("one", 0), ("two", 0), ("other", 1)):
        assert main([*SMALL, "evaluate=none", "train_mcc.steps=3", f"seed={seed}", f"output={output}"]) == 0
    one, two, other = ((Path(run) / "mcc.safetensors").read_bytes() for run in ("one", "two", "other"))
    assert one == two
    assert one != other


@pytest.mark.slow
def test_one_object_is_learnt_by_heart() -> None:
    plain = [f"train_mcc.{name}=0" for name in ("scale", "shift", "degrees", "flip", "held_out", "weight_decay")]
    given = [*SMALL, *plain, "train_mcc.objects=1", "train_mcc.views=1", "train_mcc.surface_points=4000"]
    more = ["train_mcc.network.decoder_width=64", "train_mcc.batch=2", "train_mcc.queries=512", "train_mcc.lr=0.03"]
    more += ["train_mcc.steps=300", "train_mcc.warmup_steps=20"]
    assert main([*given, *more, "evaluate=none", "output=run"]) == 0
    config = compose_config([*given, *more])
    model = load_mcc(Path("run/mcc.safetensors"))
    item = next(learnt_objects(config))
    one = complete_view(model, HeldOut.of(item, 0, model.sizes), 0.1, 0.5, 20_000)
    scores = one.scores(0.5)
    assert scores["f_score"] > 0.7
    assert scores["f_score"] > scores["seen_f_score"] + 0.3
    assert scores["hidden_coverage"] > 0.6


def test_it_learns_from_a_scene_with_depth() -> None:
    write_dtu_scene(Path("ball"), views=6, size=(48, 64), depths=True)
    given = [*SMALL, "train_mcc.objects=0", "train_mcc.scenes=[ball]", "train_mcc.steps=2", "train_mcc.held_out=0"]
    assert main([*given, "output=run"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["views"] == 5  # one of six is held out
    subjects = learnt_subjects(compose_config(given))
    assert len(subjects) == 5
    for subject in subjects:  # the whole ball, as large as the seen part says
        surface = subject.normalized
        # the sphere through them: |p|^2 = 2 p . center + rest
        matrix = np.column_stack([2.0 * surface, np.ones(len(surface))])
        center = np.linalg.lstsq(matrix, (surface**2).sum(axis=1))[0][:3]
        radius = np.linalg.norm(surface - center, axis=1)
        assert radius.std() < 0.05 * radius.mean()
        seen = subject.points[subject.valid].numpy()
        assert np.abs(np.linalg.norm(seen - center, axis=1) - radius.mean()).max() < 0.12 * radius.mean()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["train_mcc.objects=0"], "expected scenes or objects"),
        (["train_mcc.network.patch=7"], "train_mcc.network: expected as many patches"),
        (["train_mcc.network.heads=5"], "train_mcc.network: expected widths"),
        (["train_mcc.scenes=[nowhere]"], "train_mcc.scenes: "),
        (["train_mcc.first_object=999999"], "train_mcc.first_object: expected objects below 1000000"),
        (["train_mcc.precision=float16"], "train_mcc.precision: expected float32 or bfloat16"),
        (["train_mcc.near=1.5"], "train_mcc.near: expected a number from 0 to 1, got 1.5"),
        (["train_mcc.objekts=3"], "objekts"),
        (["viewer=rerun"], "viewer: there is nothing to record"),
        (["train_mcc.cache=/proc/nowhere"], "cannot write /proc/nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "output=run", *given]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert not Path("run").exists()


def test_a_scene_without_depth_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_dtu_scene(Path("flat"), views=6, size=(48, 64))
    assert main([*SMALL, "train_mcc.scenes=[flat]", "output=run"]) == 2
    assert "train_mcc.scenes: scene flat: expected depth of its views" in capsys.readouterr().err


def test_a_resumed_training_keeps_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "evaluate=none", "train_mcc.steps=2", "output=run"]) == 0
    assert main(["resume=run", "train_mcc.lr=0.5"]) == 2
    assert "train_mcc.lr=0.5: the checkpoint was made with 0.02" in capsys.readouterr().err


def test_the_threshold_of_the_configuration_becomes_the_best() -> None:
    given = [*SMALL, "train_mcc.steps=60", "train_mcc.queries=256", "train_mcc.held_out=0"]
    assert main([*given, "train_mcc.calibrate=1", "single.batch=60000", "evaluate.report=false", "output=run"]) == 0
    config = compose_config(given)
    model = load_mcc(Path("run/mcc.safetensors"))
    views = held_out_views(config, 1, OTHERS)
    completed = [complete_view(model, view, 0.1, 0.05, 60_000) for view in views]
    scores = {threshold: mean_scores(completed, threshold)["f_score"] for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    assert scores[0.3] > max(scores.values()) - 0.01
    assert "the best threshold was" in Path("run/log.txt").read_text()
