"""Segmenters of transformers through `train.py`: a tiny SAM whose answer is known, and a noun with a tiny SAM 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.cli import main
from nto3d.config.compose import compose_config
from nto3d.data.load import load_scene
from nto3d.runs import single as run_single
from nto3d.segment.base import Instances
from nto3d.segment.hf.models import HfNetwork
from nto3d.segment.hf.segmenter import open_hf
from nto3d.segment.hf.text import Sam3Finder
from nto3d.types import BoolArray, ByteArray
from tests.e2e.click.bright_sam import BRIGHT, write_bright_sam
from tests.helpers import WrittenScene, write_dtu_scene
from tests.segment.converted_sam import write_converted
from tests.segment.tiny_hf import write_hf

VIEWS = 9
LEVEL = 60.0  # between the ball and what is behind it
RUN = (
    *("scene=dtu", "scene.path=ball", "segmenter=hf", "trainer=smoke", "device=cpu", "threads=1", "logger=none"),
    *("trainer.steps=2", "lift.max_rounds=0", "export.resolution=16"),
    *("evaluate.report=false", "evaluate.enabled=false", "field.start=sphere", "field.sphere_radius=0.5"),
)


@pytest.fixture
def ball(tmp_path: Path) -> WrittenScene:
    """A ball that is brighter than what is behind it, without masks."""
    return write_dtu_scene(tmp_path / "ball", views=VIEWS, size=(48, 64), masks=False)


def masks_of(run: str) -> list[BoolArray]:
    return [np.array(Image.open(Path(run) / "masks" / f"{view:03d}.png")) > 0 for view in range(VIEWS)]


def mean_iou(run: str, ball: WrittenScene) -> float:
    pairs = zip(masks_of(run), ball.masks, strict=True)
    return float(np.mean([(mask & true).sum() / (mask | true).sum() for mask, true in pairs]))


def test_from_a_click_to_the_mesh_with_every_picture_encoded_once(
    ball: WrittenScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    encode = HfNetwork.encode

    def counted(self: HfNetwork, image: ByteArray) -> Any:
        calls.append(int(image.sum()))
        return encode(self, image)

    monkeypatch.setattr(HfNetwork, "encode", counted)
    state = torch.load(write_bright_sam(Path("sam.pth"), LEVEL), weights_only=True)
    write_converted(Path("bright"), state, BRIGHT)
    click = ("segmenter.model=bright", "prompts.view=0", "prompts.points=[[32,24]]")
    assert main([*RUN, *click, "output=first"]) == 0
    assert sorted(calls) == sorted(int(image.sum()) for image in ball.images)
    assert mean_iou("first", ball) > 0.75  # the network sees 32 tokens along the longer side
    assert Path("first/mesh.ply").stat().st_size > 0
    calls.clear()
    again = open_hf("bright", torch.device("cpu"), cache=ball.path / ".cache" / "hf")
    for image in ball.images:
        again.embed(image)
    assert calls == []


@pytest.mark.parametrize("clicked", [False, True])
def test_a_noun_in_one_picture(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch, clicked: bool) -> None:
    class Halves:
        """Names everything left of the middle, and with a lower score the ball."""

        def instances(self, image: ByteArray, text: str) -> Instances:
            left = np.zeros(image.shape[:2], dtype=bool)
            left[:, :12] = True
            return Instances(np.stack([left, image.mean(axis=2) > LEVEL]), np.array([0.9, 0.8]))

    monkeypatch.setattr(run_single, "build_finder", lambda _: Halves())
    click = ("prompts.view=1", "prompts.points=[[32,24]]") if clicked else ()
    config = compose_config([*RUN, "mode=single", "scene.view=1", "prompts.text=ball", "output=run", *click])
    mask, prompts = run_single.target_mask(config, load_scene(config.scene, config.segmenter.name))
    assert (prompts is not None) == clicked
    assert bool(mask[:, 0].any()) == (not clicked)


def test_from_a_noun_to_the_mesh(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector's answers are given; the tracker is random, so the lift believes what the views agree on."""
    write_hf(Path("sam3"), "Sam3VideoModel")
    asked: list[str] = []

    def found(self: Sam3Finder, image: ByteArray, text: str) -> Instances:
        asked.append(text)
        return Instances((image.mean(axis=2) > LEVEL)[None], np.array([0.9]))

    monkeypatch.setattr(Sam3Finder, "instances", found)
    noun = ("segmenter.model=sam3", "prompts.text=ball", "lift.transfer_views=3", "segmenter.cache=false")
    assert main([*RUN, *noun, "output=run"]) == 0
    assert asked == ["ball"] * 4
    assert mean_iou("run", ball) > 0.75
    assert not (ball.path / ".cache").exists()
    assert Path("run/mesh.ply").stat().st_size > 0
