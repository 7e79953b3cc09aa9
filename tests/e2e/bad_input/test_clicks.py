"""Bad clicks and segmenters without weights: exit code 2, one line that names the file or key, and nothing is left."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.cli import main
from tests.e2e.bad_input.conftest import Prepare, nothing, one_line
from tests.e2e.click.bright_sam import write_bright_sam
from tests.e2e.conftest import TINY
from tests.helpers import truncate
from tests.segment.tiny_hf import library, write_hf


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
    "no such file": (nothing, ["prompts.file=gone.json"], r"gone\.json: .*there is no such file"),
    "malformed JSON": (
        prompts_file('{"frames": [{'),
        [],
        r"box/prompts\.json: expected prompts as JSON, it is damaged",
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
        r"sam\.pth: expected weights of SAM, it is damaged, cut short",
    ),
    "sam: unknown device": (nothing, [*SAM, "segmenter.device=tpu"], r"segmenter\.device: expected auto, cpu, cuda"),
    "hf: no model": (nothing, HF, r"segmenter\.model is missing: .*hf download facebook/sam2"),
    "hf: no such folder": (nothing, [*HF, "segmenter.model=/gone"], r"segmenter\.model: expected a folder, .* /gone"),
    "hf: not fetched": (nothing, [*HF, "segmenter.model=no/body"], r"hf download no/body --local-dir weights/body"),
    "hf: no weights": (no_weights, [*HF, "segmenter.model=sam"], r"model\.safetensors: expected the weights, found no"),
    "hf: truncated": (
        cut_hf,
        [*HF, "segmenter.model=sam"],
        r"model\.safetensors: expected safetensors, it is damaged, cut short",
    ),
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
