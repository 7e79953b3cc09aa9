"""Segment Anything through `train.py`, with a tiny SAM whose answer is known; no picture is encoded twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.cli import main
from nto3d.segment.sam.loading import open_sam
from nto3d.segment.sam.segmenter import SamSegmenter, sam_features
from nto3d.types import ByteArray
from tests.e2e.click.bright_sam import write_bright_sam
from tests.helpers import WrittenScene, write_dtu_scene
from tests.scripts.conftest import Script, script

__all__ = ["script"]  # the fixture

VIEWS = 9
LEVEL = 60.0  # between the ball and what is behind it
RUN = (
    *("scene=dtu", "scene.path=ball", "segmenter=sam", "segmenter.checkpoint=sam.pth", "trainer=smoke", "device=cpu"),
    *("prompts.view=0", "prompts.points=[[32,24]]", "threads=1", "logger=none", "trainer.steps=3"),
    *("export.resolution=24", "evaluate.report=false", "evaluate.enabled=false"),
    *("field.start=sphere", "field.sphere_radius=0.5"),  # saves the comparison of neighbouring pictures
)


SHORT = ("lift.max_rounds=0", "lift.scene_steps=20", "trainer.steps=1", "export.resolution=16")


@pytest.fixture
def ball(tmp_path: Path) -> WrittenScene:
    """A ball that is brighter than what is behind it, without masks, and `sam.pth`."""
    write_bright_sam(tmp_path / "sam.pth", LEVEL)
    return write_dtu_scene(tmp_path / "ball", views=VIEWS, size=(48, 64), masks=False)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every picture that SAM's encoder looks at."""
    calls: list[int] = []
    encode = SamSegmenter._encode

    def counted(self: SamSegmenter, image: ByteArray, input_size: tuple[int, int]) -> object:
        calls.append(int(image.sum()))
        return encode(self, image, input_size)

    monkeypatch.setattr(SamSegmenter, "_encode", counted)
    return calls


def masks(run: str) -> list[np.ndarray]:
    return [np.array(Image.open(Path(run) / "masks" / f"{view:03d}.png")) > 0 for view in range(VIEWS)]


@pytest.mark.slow
def test_what_was_encoded_is_not_encoded_again(ball: WrittenScene, encoded: list[int]) -> None:
    assert main([*RUN, *SHORT, "output=first"]) == 0
    assert sorted(encoded) == sorted(int(image.sum()) for image in ball.images)

    encoded.clear()
    assert main([*RUN, *SHORT, "output=second"]) == 0
    assert encoded == []
    for mask, again in zip(masks("first"), masks("second"), strict=True):
        assert np.array_equal(mask, again)

    ball.images[3, 0, 0] += 1
    Image.fromarray(ball.images[3]).save("ball/image/003.png")
    assert main([*RUN, *SHORT, "output=third"]) == 0
    assert encoded == [int(ball.images[3].sum())]

    encoded.clear()
    write_bright_sam(Path("sam.pth"), LEVEL, score=0.8)
    assert main([*RUN, *SHORT, "output=fourth"]) == 0
    assert len(encoded) == VIEWS


def test_from_a_click_to_mesh_and_features_with_every_picture_encoded_once(
    ball: WrittenScene, encoded: list[int], script: Script
) -> None:
    """Encoder, cache, masks, lift, colours of the mesh: all from one pass over the pictures; and then a question."""
    rest = ("field=neus_feature", "trainer.steps=40", "evaluate.enabled=true", "evaluate.report=true")
    assert main([*RUN, *rest, "output=run"]) == 0
    assert sorted(encoded) == sorted(int(image.sum()) for image in ball.images)
    for mask, true in zip(masks("run"), ball.masks, strict=True):
        assert (mask & true).sum() > 0.75 * (mask | true).sum()  # SAM sees 32 tokens along the longer side
    assert Path("run/mesh.ply").stat().st_size > 0
    with np.load("run/features.npz", allow_pickle=False) as stored:
        assert stored["features"].shape[1] == 32  # of the tiny SAM
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["lift_rounds"] == 1.0
    assert "lift_mask_iou" not in metrics  # there is nothing to compare with
    assert 0.5 < metrics["feature_cosine"] <= 1.0
    assert "<h2>Features</h2>" in Path("run/report.html").read_text()

    assert script("query_features", "run=run", "view=0", "point=[32,24]", "views=[0,4]") == 0
    with np.load("run/query/similarity.npz", allow_pickle=False) as answer:
        asked = torch.from_numpy(answer["feature"])
    there = sam_features(open_sam("sam.pth", torch.device("cpu"), cache=ball.path / ".cache" / "sam"), ball.images[:1])
    expected = there.at(torch.zeros(1, dtype=torch.int64), torch.tensor([[32.0, 24.0]]))[0]
    assert float(torch.nn.functional.cosine_similarity(asked, expected, dim=0)) > 0.95
    assert len(encoded) == VIEWS

    encoded.clear()
    given = [value for value in RUN if "prompts" not in value and value != "segmenter=sam"]
    for view, mask in enumerate(ball.masks):  # with given masks, and features of SAM all the same
        (ball.path / "mask").mkdir(exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(ball.path / "mask" / f"{view:03d}.png")
    rest = ("field=neus_feature", "segmenter=precomputed", "segmenter.checkpoint=sam.pth", "field.feature_source=sam")
    assert main([*given, *rest, "output=given"]) == 0
    assert encoded == []


def test_without_a_cache_nothing_is_kept(ball: WrittenScene, encoded: list[int]) -> None:
    before = sorted(path for path in ball.path.rglob("*"))
    assert main([*RUN, *SHORT, "output=run", "segmenter.cache=false"]) == 0
    assert len(encoded) == VIEWS
    assert sorted(path for path in ball.path.rglob("*")) == before
