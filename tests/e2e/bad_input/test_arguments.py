"""Bad arguments: exit code 2, one line that names the file or key, and nothing half made is left."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.cli import main
from tests.e2e.bad_input.conftest import Prepare, nothing, one_line
from tests.e2e.conftest import TINY


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


def contradicting_masks(box: Path) -> None:
    """A dot that wanders over the picture: no place is inside all masks."""
    for view, (x, y) in enumerate([(1, 1), (30, 1), (1, 22), (30, 22), (16, 1), (1, 12)]):
        mask = np.zeros((24, 32), np.uint8)
        mask[y, x] = 255
        Image.fromarray(mask).save(box / "mask" / f"{view:03d}.png")


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_no_cuda(box: Path, capfd: pytest.CaptureFixture[str], device: str) -> None:
    assert main([*TINY, f"device={device}"]) == 2
    assert f"device: expected a device of this machine, got {device}" in one_line(capfd)
    assert not Path("run").exists()
