"""Bad input of every kind: exit code 2, one line that names the file or key, and nothing half made is left."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from nto3d.cli import main
from tests.data.test_dtu import BROKEN
from tests.e2e.click.bright_sam import write_bright_sam
from tests.e2e.conftest import TINY
from tests.helpers import truncate
from tests.segment.tiny_hf import library, write_hf


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The only line that starts with `error: `; there is no traceback."""
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    lines = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, shown
    assert shown.rstrip("\n").endswith(lines[0])
    return lines[0]


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenes(box: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    break_scene, message = BROKEN[case]
    break_scene(box)
    assert main(TINY) == 2
    assert re.search(message, one_line(capfd))
    assert not Path("run").exists()


def no_points(_: Path) -> None:
    np.savez("points.npz", abc=np.zeros((3, 3)))


def object_points(_: Path) -> None:
    np.savez("points.npz", xyz=np.array([[None]], dtype=object), allow_pickle=True)


def nan_points(_: Path) -> None:
    np.savez("points.npz", xyz=np.full((5, 3), np.nan))


def flat_points(_: Path) -> None:
    np.savez("points.npz", xyz=np.zeros((5, 2)))


def text_points(_: Path) -> None:
    Path("points.npz").write_text("1 2 3")


def nothing(_: Path) -> None: ...


def contradicting_masks(box: Path) -> None:
    """A dot that wanders over the picture: no place is inside all masks."""
    for view, (x, y) in enumerate([(1, 1), (30, 1), (1, 22), (30, 22), (16, 1), (1, 12)]):
        mask = np.zeros((24, 32), np.uint8)
        mask[y, x] = 255
        Image.fromarray(mask).save(box / "mask" / f"{view:03d}.png")


Prepare = Callable[[Path], None]
POINTS = "evaluate.points=points.npz"
CASES: dict[str, tuple[Prepare, list[str], str]] = {
    "missing folder": (nothing, ["scene.path=gone"], r"scene\.path: expected a folder, there is none at gone"),
    "file for a folder": (
        nothing,
        ["scene.path=box/image/000.png"],
        r"scene\.path: expected a folder, there is none at box/image/000\.png",
    ),
    "no scene path": (nothing, ["scene.path=''"], r"scene\.path: expected a path"),
    "no scene path at all": (nothing, ["scene.path=???"], r"scene\.path"),
    "downscale too large": (nothing, ["scene.downscale=30"], r"scene\.downscale: expected 1 to 24"),
    "test views out of range": (nothing, ["scene.test_views=[99]"], r"scene\.test_views.*\[99\]"),
    "all views held out": (nothing, ["scene.test_views=[0,1,2,3,4,5]"], r"scene\.test_views|views to train on"),
    "views twice": (nothing, ["scene.test_views=[1,1]"], r"scene\.test_views: expected different view numbers"),
    "empty hull": (contradicting_masks, [], r"box: the masks of the training views have no common volume"),
    "unknown key": (nothing, ["trainer.stepz=1"], r"unknown key trainer\.stepz: did you mean trainer\.steps"),
    "unknown group option": (nothing, ["encoding=numba"], r"encoding=numba: no such option, .*tcnn, torch, warp"),
    "unknown scene": (nothing, ["scene=nowhere"], r"scene=nowhere: no such option"),
    "unknown enum value": (nothing, ["scene.masks=some"], r"scene\.masks"),
    "added key": (nothing, ["+trainer.more=1"], r"trainer\.more=1: keys cannot be added"),
    "not key=value": (nothing, ["steps"], r"steps: expected key=value"),
    "wrong type": (nothing, ["trainer.steps=many"], r"trainer\.steps: .*many"),
    "wrong list": (nothing, ["scene.test_views=3"], r"scene\.test_views"),
    "zero steps": (nothing, ["trainer.steps=0"], r"trainer\.steps: expected a number from 1 .*got 0"),
    "negative rate": (nothing, ["trainer.lr=-1"], r"trainer\.lr: expected a number"),
    "NaN": (nothing, ["trainer.clip_norm=nan"], r"trainer\.clip_norm: .*nan"),
    "resolutions": (nothing, ["encoding.max_resolution=8"], r"encoding\.max_resolution: expected at least"),
    "step sizes": (nothing, ["trainer.max_step_size=0.001"], r"trainer\.max_step_size: expected at least"),
    "no loss": (nothing, ["trainer.loss.color_weight=0", "trainer.loss.mask_weight=0"], r"trainer\.loss: expected"),
    "unknown device": (nothing, ["device=tpu"], r"device: expected auto, cpu, cuda"),
    "missing backend": (nothing, ["encoding=tcnn"], r"encoding\.backend: tcnn needs"),
    "unknown recipe": (
        nothing,
        ["scene=synthetic", "scene.recipe=soup", "scene.path=new"],
        r"recipe: expected one of .*soup",
    ),
    "another recipe": (nothing, ["scene=synthetic", "scene.recipe=sample", "scene.path=box"], r"box/scene\.json"),
    "points: no file": (nothing, [POINTS], r"points\.npz: .*(no|found|exist)"),
    "points: no xyz": (no_points, [POINTS], r"points\.npz: .*xyz"),
    "points: objects": (object_points, [POINTS], r"points\.npz: "),
    "points: NaN": (nan_points, [POINTS], r"points\.npz: .*finite"),
    "points: shape": (flat_points, [POINTS], r"points\.npz: .*\[5, 2\]"),
    "points: text": (text_points, [POINTS], r"points\.npz: "),
    "output in a file": (
        nothing,
        ["output=box/image/000.png/run"],
        r"output: cannot make the folder box/image/000\.png",
    ),
    "output is a file": (nothing, ["output=box/image/000.png"], r"output: cannot make the folder box/image/000\.png"),
    "bad run name": (nothing, ["scene.name=a/b"], r"scene\.name: expected letters"),
    "resume of nothing": (nothing, ["resume=gone"], r"gone: expected the folder of a run"),
    "resume of another folder": (nothing, ["resume=box"], r"box: expected the folder of a run, but it holds no"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_arguments(box: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    prepare, arguments, message = CASES[case]
    prepare(box)
    before = sorted(path for path in Path().rglob("*"))
    argv = arguments if arguments[:1] and arguments[0].startswith("resume=") else [*TINY, *arguments]
    assert main(argv) == 2
    assert re.search(message, one_line(capfd))
    assert sorted(path for path in Path().rglob("*")) == before


def prompts_file(text: str) -> Prepare:
    return lambda box: (box / "prompts.json").write_text(text) and None


def frames(*frame: dict[str, object]) -> Prepare:
    return prompts_file(json.dumps({"frames": list(frame)}))


def text_weights(_: Path) -> None:
    Path("sam.pth").write_text("no weights")


def foreign_weights(_: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, "sam.pth")


def cut_sam(_: Path) -> None:
    write_bright_sam(Path("sam.pth"), level=60.0)
    truncate(Path("sam.pth"))


def blind_sam(_: Path) -> None:
    """Nothing is brighter than white."""
    write_bright_sam(Path("sam.pth"), level=300.0)


def whole_hf(_: Path) -> None:
    write_hf(Path("sam"), "SamModel")


def cut_hf(_: Path) -> None:
    truncate(write_hf(Path("sam"), "SamModel") / "model.safetensors")


def no_weights(_: Path) -> None:
    (write_hf(Path("sam"), "SamModel") / "model.safetensors").unlink()


def another_kind(_: Path) -> None:
    Path("sam").mkdir()
    Path("sam/config.json").write_text('{"model_type": "bert"}')


def dark(box: Path) -> None:
    """Pictures on which there is nothing."""
    for file in (box / "image").iterdir():
        Image.fromarray(np.full((24, 32, 3), 40, np.uint8)).save(file)


AT = ["prompts.view=0", "prompts.points=[[16,12]]"]
SAM, HF = ["segmenter=sam", *AT], ["segmenter=hf", *AT]
CLICKS: dict[str, tuple[Prepare, list[str], str]] = {
    "no click": (nothing, [], r"box/prompts\.json: no such file, nothing points at the target: pass prompts\.view"),
    "no such file": (nothing, ["prompts.file=gone.json"], r"gone\.json: .*cannot be read"),
    "malformed JSON": (
        prompts_file('{"frames": [{'),
        [],
        r"box/prompts\.json: expected prompts as JSON, it is malformed",
    ),
    "empty file": (prompts_file(" "), [], r"box/prompts\.json: expected prompts as JSON"),
    "another JSON": (prompts_file("[1, 2]"), [], r'box/prompts\.json: expected \{"frames": \[\.\.\.\]\}'),
    "no frames": (frames(), [], r"box/prompts\.json: frames: expected .* at least one"),
    "file: outside": (
        frames({"index": 0, "point": [[32, 3]], "label": [1]}),
        [],
        r"frames\[0\]\.point\[0\]: expected \[x, y\] inside the picture of 32 x 24 pixels",
    ),
    "file: all negative": (
        frames({"index": 0, "point": [[3, 3]], "label": [0]}),
        [],
        r"frames\[0\]\.label: expected at least one 1",
    ),
    "file: no such view": (
        frames({"index": 0, "point": [[16, 12]], "label": [1]}, {"index": 6, "point": [[16, 12]], "label": [1]}),
        [],
        r"frames\[1\]\.index: expected a view from 0 to 5, got 6",
    ),
    "outside": (
        nothing,
        ["prompts.view=0", "prompts.points=[[16,24]]"],
        r"prompts\.points\[0\]: expected \[x, y\] inside the picture of 32 x 24 pixels, got \[16",
    ),
    "outside of the file, reduced": (
        nothing,
        ["scene.downscale=2", "prompts.view=0", "prompts.points=[[33,12]]"],
        r"prompts\.points\[0\]: expected \[x, y\] inside the picture of 32 x 24 pixels",
    ),
    "all negative": (nothing, [*AT, "prompts.labels=[0]"], r"prompts\.labels: expected at least one 1"),
    "a label too few": (nothing, [*AT, "prompts.labels=[]"], r"prompts\.labels: expected a label for each of the 1"),
    "a label of 2": (nothing, [*AT, "prompts.labels=[2]"], r"prompts\.labels\[0\]: expected 1 .*got 2"),
    "no such view": (nothing, ["prompts.view=6", AT[1]], r"prompts\.view: expected a view from 0 to 5, got 6"),
    "no view": (nothing, [AT[1]], r"prompts\.view is missing"),
    "no point": (nothing, [AT[0]], r"prompts\.points is missing"),
    "text for a point": (nothing, [AT[0], "prompts.points=[[a,b]]"], r"prompts\.points"),
    "box the wrong way": (nothing, [AT[0], "prompts.box=[9,9,3,3]"], r"prompts\.box: expected \[x0, y0, x1, y1\] with"),
    "file and point": (nothing, ["prompts.file=box/prompts.json", *AT], r"prompts\.view: cannot be given together"),
    "on nothing": (dark, AT, r"nothing stands out at .*view 0"),
    "sam: on nothing": (blind_sam, [*SAM, "segmenter.checkpoint=sam.pth"], r"view 0"),
    "sam: no checkpoint": (nothing, SAM, r"segmenter\.checkpoint is missing: .*fetch_weights\.py"),
    "sam: no such checkpoint": (
        nothing,
        [*SAM, "segmenter.checkpoint=deep/sam.pth"],
        r"segmenter\.checkpoint: expected weights of SAM, deep/sam\.pth is no file",
    ),
    "sam: not fetched": (
        nothing,
        [*SAM, "segmenter.checkpoint=vit_l"],
        r"vit_l is neither in the current folder nor in .*fetch_weights\.py sam_vit_l_0b3195",
    ),
    "sam: text": (text_weights, [*SAM, "segmenter.checkpoint=sam.pth"], r"sam\.pth: expected weights of SAM"),
    "sam: other weights": (
        foreign_weights,
        [*SAM, "segmenter.checkpoint=sam.pth"],
        r"sam\.pth: expected the weights of a",
    ),
    "sam: truncated": (
        cut_sam,
        [*SAM, "segmenter.checkpoint=sam.pth"],
        r"sam\.pth: expected weights of SAM, got a trunc",
    ),
    "sam: unknown device": (nothing, [*SAM, "segmenter.device=tpu"], r"segmenter\.device: expected auto, cpu, cuda"),
    "hf: no model": (nothing, HF, r"segmenter\.model is missing: .*hf download facebook/sam2"),
    "hf: no such folder": (nothing, [*HF, "segmenter.model=/gone"], r"segmenter\.model: expected a folder, .* /gone"),
    "hf: not fetched": (nothing, [*HF, "segmenter.model=no/body"], r"hf download no/body --local-dir weights/body"),
    "hf: no weights": (no_weights, [*HF, "segmenter.model=sam"], r"model\.safetensors: expected the weights, found no"),
    "hf: truncated": (cut_hf, [*HF, "segmenter.model=sam"], r"model\.safetensors: expected safetensors, got a trunc"),
    "hf: another kind": (another_kind, [*HF, "segmenter.model=sam"], r"expected a model_type of sam, .*got 'bert'"),
    "hf: cannot read": (
        whole_hf,
        [*HF, "segmenter.model=sam", "prompts.text=cup"],
        r"prompts\.text: sam \(sam\) cannot read text, expected SAM 3: hf download facebook/sam3",
    ),
    "text without hf": (nothing, ["prompts.text=cup"], r"prompts\.text: segmenter=grabcut cannot read text"),
    "unknown segmenter": (nothing, ["segmenter=knife", *AT], r"segmenter=knife: no such option"),
}


@pytest.mark.parametrize("case", CLICKS)
def test_bad_clicks(box: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    prepare, arguments, message = CLICKS[case]
    if case.startswith("hf"):
        library()  # its absence would be said first
    prepare(box)
    before = sorted(path for path in Path().rglob("*"))
    assert main([*TINY, "segmenter=grabcut", *arguments]) == 2
    assert re.search(message, one_line(capfd))
    kept = [path for path in Path().rglob("*") if ".cache" not in path.parts]  # embeddings serve the next try
    assert sorted(kept) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_no_cuda(box: Path, capfd: pytest.CaptureFixture[str], device: str) -> None:
    assert main([*TINY, f"device={device}"]) == 2
    assert f"device: expected a device of this machine, got {device}" in one_line(capfd)
    assert not Path("run").exists()


def test_the_masks_are_missing_unless_none_are_asked_for(box: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(box / "mask")
    assert main(TINY) == 2
    assert "pass scene.masks=none" in one_line(capfd)
    assert main([*TINY, "scene.masks=none"]) == 0


def other_levels(run: Path) -> None:
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["encoding"]["levels"] = 5
    (run / "config.yaml").write_text(yaml.safe_dump(tree))


def foreign_scalars(run: Path) -> None:
    (run / "scalars.csv").write_text("a,b\n1,2\n")


def without_optimizer(run: Path) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["optimizer"]
    torch.save(state, run / "checkpoint.pt")


def empty_weights(run: Path) -> None:
    (run / "checkpoint.pt").write_bytes(b"")


def cut_weights(run: Path) -> None:
    truncate(run / "checkpoint.pt")


def drop(name: str) -> Prepare:
    return lambda run: (run / name).unlink()


def write(name: str, text: str) -> Prepare:
    return lambda run: (run / name).write_text(text) and None


RESUMED: dict[str, tuple[Prepare, list[str], str]] = {
    "checkpoint of another config": (
        other_levels,
        [],
        r"checkpoint\.pt: checkpoint of another config: encoding\.levels",
    ),
    "truncated checkpoint": (cut_weights, [], r"checkpoint\.pt: expected a checkpoint, got a truncated"),
    "empty checkpoint": (empty_weights, [], r"checkpoint\.pt: expected a checkpoint, got a truncated"),
    "incomplete checkpoint": (without_optimizer, [], r"checkpoint\.pt: .*optimizer is missing"),
    "no checkpoint": (drop("checkpoint.pt"), [], r"run: cannot go on, it holds no checkpoint\.pt"),
    "no config": (drop("config.yaml"), [], r"run: expected the folder of a run, but it holds no config\.yaml"),
    "broken config": (write("config.yaml", "a: ["), [], r"run/config\.yaml: "),
    "config of another program": (write("config.yaml", "lr: 1"), [], r"run/config\.yaml: unknown key lr"),
    "broken run.json": (write("run.json", "{"), [], r"run/run\.json: expected the JSON"),
    "foreign scalars": (foreign_scalars, [], r"scalars\.csv: expected the columns"),
    "another value": (nothing, ["trainer.steps=9"], r"trainer\.steps=9: the checkpoint was made with 3"),
    "another group": (nothing, ["trainer=fast"], r"trainer=fast: a group cannot be chosen with resume"),
    "another output": (nothing, ["output=elsewhere"], r"output=elsewhere"),
    "the scene is gone": (nothing, ["scene.path=gone"], r"scene\.path: expected a folder, there is none at gone"),
}


@pytest.mark.parametrize("case", RESUMED)
def test_bad_resumes(finished: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    shutil.copytree(finished, ".", dirs_exist_ok=True)
    prepare, arguments, message = RESUMED[case]
    prepare(Path("run"))
    weights = Path("run/checkpoint.pt")
    before = weights.read_bytes() if weights.exists() else b""
    assert main(["resume=run", *arguments]) == 2
    assert re.search(message, one_line(capfd))
    assert (weights.read_bytes() if weights.exists() else b"") == before


def test_a_folder_that_holds_a_run_is_left_alone(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished, ".", dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert main(TINY) == 2
    assert "run already holds a run; go on with resume=run" in one_line(capfd)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", ["config.yaml", "run.json", "scalars.csv", "checkpoint.pt"])
def test_no_space_for_a_file_of_the_run(box: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    Path("run").mkdir()
    Path(f"run/.{name}.tmp").symlink_to("/dev/full")
    assert main([*TINY, "logger.tensorboard=true"]) == 2
    assert f"cannot write run/{name}: No space left on device" in one_line(capfd)
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["mesh.ply", "metrics.json"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_cannot_be_written_in_the_end_can_be_made_again(
    box: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(code, os.strerror(code))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    assert main(TINY) == 2
    line = one_line(capfd)
    assert name in line
    assert os.strerror(code) in line
    assert not Path(f"run/{name}").exists()
    assert not list(Path("run").glob(".*tmp*"))
    monkeypatch.undo()
    os.chdir(box.parent)
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert main(["resume=run"]) == 0  # the training is not lost
    assert Path(f"run/{name}").exists()
