"""The SAM segmenter: against the package's own forward pass, with models whose answers are known, and its cache."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.segment.base import Segmenter
from nto3d.segment.embeddings import EmbeddingCache
from nto3d.segment.sam.library import sam_modeling
from nto3d.segment.sam.loading import open_sam
from nto3d.segment.sam.segmenter import SamEmbedding, SamSegmenter
from nto3d.types import BoolArray, ByteArray, FloatArray, Prompts
from tests.segment.tiny_sam import random_sam, write_sam

CPU = torch.device("cpu")
SIZES = [(64, 64), (200, 300), (300, 200), (24, 32), (20, 100), (500, 60), (1, 40), (333, 64)]


def picture(height: int, width: int, seed: int = 0) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def click(*points: tuple[float, float], labels: list[int] | None = None, **others: Any) -> Prompts:
    return Prompts(0, np.array(points, dtype=float).reshape(-1, 2), np.array(labels or [1] * len(points)), **others)


def iou(one: BoolArray, other: BoolArray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


class ScriptedSam(nn.Module):
    """A model in SAM's place whose answer is known: `answer(prompts)` gives logits [K, 32, 32] and scores [K].

    Its features are the mean brightness of 8 x 8 cells; what it is asked is kept in `asked`.
    """

    mask_threshold = 0.0

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[dict[str, Tensor | None]] = []
        self.image_encoder = _Brightness()
        self.prompt_encoder = _PassedOn()
        self.official = random_sam()

    def preprocess(self, pixels: Tensor) -> Tensor:
        return functional.pad(pixels, (0, 64 - pixels.shape[-1], 0, 64 - pixels.shape[-2]))

    def mask_decoder(self, image_embeddings: Tensor, sparse_prompt_embeddings: dict, **others: Any) -> tuple:
        self.asked.append(sparse_prompt_embeddings)
        logits, scores = self.answer({**sparse_prompt_embeddings, "features": image_embeddings[0]})
        return logits[None], scores[None]

    def postprocess_masks(self, *arguments: Any) -> Tensor:
        return self.official.postprocess_masks(*arguments)


class _Brightness(nn.Module):
    img_size = 64

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), 8)


class _PassedOn(nn.Module):
    embed_dim, image_embedding_size, mask_input_size = 1, (8, 8), (32, 32)

    def forward(self, points: Any, boxes: Tensor | None, masks: Tensor | None) -> tuple[dict, None]:
        xy, labels = (None, None) if points is None else (points[0][0], points[1][0])
        return {"xy": xy, "labels": labels, "box": boxes, "masks": masks}, None

    def get_dense_pe(self) -> None:
        return None


def disc_at(x: float, y: float, radius: float = 6.0) -> Tensor:
    """Low-res logits [32, 32] of a disc in the frame of 64 pixels, whose cells are 2 pixels wide."""
    ys, xs = torch.meshgrid(torch.arange(32) * 2 + 0.5, torch.arange(32) * 2 + 0.5, indexing="ij")
    return radius - torch.hypot(xs - x, ys - y)


def disc_at_click(asked: dict[str, Any]) -> tuple[Tensor, Tensor]:
    x, y = asked["xy"][0].tolist()
    return torch.stack([disc_at(x, y)] * 3), torch.tensor([0.5, 0.9, 0.4])


def test_agrees_with_the_package_where_no_resize_comes_between() -> None:
    model, image = random_sam(2), picture(64, 64)
    segmenter: Segmenter[SamEmbedding] = SamSegmenter(model, CPU)
    embedded = segmenter.embed(image)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float()
    with torch.no_grad():
        assert torch.equal(embedded.features, model.image_encoder(model.preprocess(pixels[None]))[0])
    assert embedded.extent == (8.0, 8.0)

    box = np.array([10.0, 12.0, 50.0, 40.0])
    points = torch.tensor([[[20.0, 30.0], [5.0, 6.0]]])
    asked: dict[str, Any] = {"image": pixels, "original_size": (64, 64), "point_coords": points}
    asked["point_labels"] = torch.tensor([[1, 0]])
    for number in range(3):
        if number == 2:
            asked["boxes"] = torch.from_numpy(box).float()[None]
        (answer,) = model([asked], multimask_output=True)
        best = int(answer["iou_predictions"][0].argmax())
        asked["mask_inputs"] = answer["low_res_logits"][:, best : best + 1]
    mask = segmenter.segment(embedded, click((20, 30), (5, 6), labels=[1, 0], box=box))
    assert (mask.pixels == answer["masks"][0, best].numpy()).all()
    assert mask.score == pytest.approx(float(answer["iou_predictions"][0, best].clamp(0, 1)), abs=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_clicked_disc_lies_around_the_click(size: tuple[int, int]) -> None:
    height, width = size
    segmenter = SamSegmenter(ScriptedSam(disc_at_click), CPU)
    embedded = segmenter.embed(picture(height, width))
    scale = max(size) / 64
    y, x = np.mgrid[:height, :width].astype(float)
    for at in ((0.5, 0.5), (0.3, 0.8), (0.97, 0.02)):
        center = at[0] * (width - 1), at[1] * (height - 1)
        mask = segmenter.segment(embedded, click(center))
        expected = np.hypot(x - center[0], y - center[1]) < 6 * scale
        assert mask.pixels.shape == size
        assert mask.pixels.dtype == np.bool_
        assert iou(mask.pixels, expected) > (0.85 if min(size) > 1 else 0.7)
        assert mask.score == pytest.approx(0.9)


@pytest.mark.parametrize("size", SIZES)
def test_a_prior_comes_back_in_its_own_pixels(size: tuple[int, int]) -> None:
    height, width = size
    model = ScriptedSam(lambda asked: (asked["masks"][0].expand(3, -1, -1), torch.tensor([0.2, 0.3, 0.4])))
    segmenter = SamSegmenter(model, CPU)
    prior = np.full(size, 0.1, dtype=np.float32)
    prior[int(0.25 * height) : int(np.ceil(0.75 * height)), int(0.4 * width) : int(0.9 * width)] = 0.9
    mask = segmenter.segment(segmenter.embed(picture(height, width)), click(prior=prior))
    assert iou(mask.pixels, prior > 0.5) > (0.9 if min(size) > 20 else 0.8)
    first = model.asked[0]
    assert first["xy"] is None
    assert first["masks"] is not None
    assert first["masks"].abs().max() <= 10.0
    if min(size) / max(size) > 0.15:  # thinner, and the padding's zeros blend in
        assert float(first["masks"].max()) == pytest.approx(np.log(0.9 / 0.1), abs=0.1)


def test_the_encoder_sees_the_picture_upright() -> None:
    def bright(asked: dict[str, Any]) -> tuple[Tensor, Tensor]:
        return functional.interpolate(asked["features"][None] - 100, (32, 32))[0].expand(3, -1, -1), torch.ones(3)

    image = np.zeros((40, 120, 3), dtype=np.uint8)
    image[:20, 90:] = 200
    segmenter = SamSegmenter(ScriptedSam(bright), CPU)
    embedded = segmenter.embed(image)
    assert embedded.input_size == (21, 64)
    assert embedded.extent == (21 / 8, 8.0)
    assert iou(segmenter.segment(embedded, click((100, 10))).pixels, image[..., 0] > 0) > 0.75


def test_the_passes_are_points_then_logits_then_a_box() -> None:
    model = ScriptedSam(disc_at_click)
    segmenter = SamSegmenter(model, CPU)
    embedded = segmenter.embed(picture(128, 128))
    segmenter.segment(embedded, click((80, 60), (3, 3), labels=[1, 0]))
    first, second, third = model.asked
    for asked in model.asked:
        assert asked["xy"] is not None
        np.testing.assert_allclose(asked["xy"], [[39.75, 29.75], [1.25, 1.25]])  # half the size, centres kept
        assert asked["labels"].tolist() == [1, 0]
    assert first["masks"] is None
    assert second["masks"] is not None
    assert torch.equal(second["masks"][0, 0], disc_at(39.75, 29.75))
    assert third["masks"] is not None
    assert first["box"] is None
    assert second["box"] is None
    assert third["box"] is not None
    np.testing.assert_allclose(third["box"][0], [31.75, 21.75, 47.75, 37.75], atol=2.1)  # the disc and a margin
    assert (third["box"][0, :2] < torch.tensor([33.8, 23.8])).all()


def test_a_given_box_is_used_in_the_third_pass_or_from_the_first_without_points() -> None:
    box = np.array([60.0, 20.0, 20.0, 100.0])  # corners in any order
    expected = [9.75, 9.75, 29.75, 49.75]
    model = ScriptedSam(disc_at_click)
    segmenter = SamSegmenter(model, CPU)
    embedded = segmenter.embed(picture(128, 128))
    segmenter.segment(embedded, click((30, 40), box=box))
    assert [asked["box"] is None for asked in model.asked] == [True, True, False]
    np.testing.assert_allclose(model.asked[2]["box"][0], expected)  # type: ignore[index]
    model = ScriptedSam(lambda asked: (torch.stack([disc_at(20, 30)] * 3), torch.ones(3)))
    mask = SamSegmenter(model, CPU).segment(embedded, click(box=box))
    assert mask.pixels.any()
    for asked in model.asked:
        assert asked["xy"] is None
        np.testing.assert_allclose(asked["box"][0], expected)  # type: ignore[index]


def test_a_click_takes_the_best_candidate_that_contains_it() -> None:
    candidates = torch.stack([disc_at(50, 50), disc_at(20, 20, 5), disc_at(20, 20, 9)])
    answer = candidates, torch.tensor([0.9, 0.6, 0.7])
    segmenter = SamSegmenter(ScriptedSam(lambda asked: answer), CPU)
    embedded = segmenter.embed(picture(64, 64))
    mask = segmenter.segment(embedded, click((20, 20)))
    assert mask.score == pytest.approx(0.7)  # the best is elsewhere
    assert mask.pixels.sum() == pytest.approx(np.pi * 81, rel=0.1)
    outside = click((20, 20), (27, 20), labels=[1, 0])
    assert segmenter.segment(embedded, outside).score == pytest.approx(0.6)
    boxed = click((20, 20), box=np.array([40.0, 40.0, 60.0, 60.0]))
    assert segmenter.segment(embedded, boxed).score == pytest.approx(0.9)  # the box says what is meant
    prior = np.full((64, 64), 0.5, dtype=np.float32)
    assert segmenter.segment(embedded, click((20, 20), prior=prior)).score == pytest.approx(0.9)


@pytest.mark.parametrize(("predicted", "score"), [(1.3, 1.0), (-0.2, 0.0), (float("nan"), 0.0), (0.25, 0.25)])
def test_scores_lie_in_0_to_1(predicted: float, score: float) -> None:
    model = ScriptedSam(lambda asked: (torch.stack([disc_at(20, 20)] * 3), torch.full((3,), predicted)))
    segmenter = SamSegmenter(model, CPU)
    assert segmenter.segment(segmenter.embed(picture(64, 64)), click((20, 20))).score == pytest.approx(score)


def test_nothing_found_is_an_empty_mask() -> None:
    model = ScriptedSam(lambda asked: (torch.full((3, 32, 32), -1.0), torch.full((3,), 0.1)))
    segmenter = SamSegmenter(model, CPU)
    embedded = segmenter.embed(picture(30, 64))
    assert not segmenter.segment(embedded, click((20, 20))).pixels.any()
    assert model.asked[2]["box"] is None
    count = len(model.asked)
    mask = segmenter.segment(embedded, Prompts(4, np.zeros((0, 2)), np.zeros(0, int), prior=np.zeros((30, 64))))
    assert (mask.view, mask.score, mask.pixels.any(), mask.pixels.shape) == (4, 0.0, False, (30, 64))
    assert len(model.asked) == count  # a prior that expects nothing asks nothing


def test_what_lies_in_the_padding_does_not_count() -> None:
    candidates = torch.stack([disc_at(20, 50), disc_at(20, 50), disc_at(20, 50)])  # below the picture
    model = ScriptedSam(lambda asked: (candidates, torch.ones(3)))
    segmenter = SamSegmenter(model, CPU)
    assert not segmenter.segment(segmenter.embed(picture(64, 128)), click((20, 20))).pixels.any()
    assert model.asked[2]["box"] is None


def test_prompts_that_cannot_be_meant() -> None:
    segmenter = SamSegmenter(random_sam(), CPU)
    embedded = segmenter.embed(picture(30, 64))
    with pytest.raises(ValueError, match="prior of the picture's size"):
        segmenter.segment(embedded, click((1, 1), prior=np.zeros((64, 30))))
    with pytest.raises(ValueError, match="finite points"):
        segmenter.segment(embedded, click((1, float("nan"))))
    for image in (picture(4, 4).astype(float), picture(4, 4)[..., :1], picture(4, 4)[:0], picture(4, 4)[0]):
        with pytest.raises(ValueError, match="expected a picture"):
            segmenter.embed(image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["points", "box", "prior", "all"])
def test_the_real_network_answers_every_kind_of_prompt(size: tuple[int, int], kind: str) -> None:
    height, width = size
    box: FloatArray | None = np.array([0.0, 0.0, width / 2, height / 2]) if kind in ("box", "all") else None
    prior = np.random.default_rng(0).random(size) if kind in ("prior", "all") else None
    points = [(width / 3, height / 3), (width - 1.0, 0.0)] if kind in ("points", "all") else []
    segmenter = SamSegmenter(random_sam(1), CPU)
    mask = segmenter.segment(
        segmenter.embed(picture(height, width)), click(*points, labels=[1, 0][: len(points)], box=box, prior=prior)
    )
    assert mask.pixels.shape == size
    assert mask.pixels.dtype == np.bool_
    assert 0.0 <= mask.score <= 1.0


def test_the_encoder_can_run_in_lower_precision() -> None:
    exact = SamSegmenter(random_sam(), CPU).embed(picture(64, 48)).features
    rough = SamSegmenter(random_sam(), CPU, torch.bfloat16).embed(picture(64, 48)).features
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert float((exact - rough).abs().mean()) < 0.05 * float(exact.abs().mean())


def test_a_second_run_makes_no_encoder_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, cache = write_sam(tmp_path / "tiny.pth"), tmp_path / "scene" / ".cache" / "sam"
    encoder = sam_modeling().ImageEncoderViT
    calls = SimpleNamespace(count=0)
    forward = encoder.forward

    def counted(self: Any, pixels: Tensor) -> Tensor:
        calls.count += 1
        return forward(self, pixels)

    monkeypatch.setattr(encoder, "forward", counted)
    images = [picture(40, 60, seed) for seed in range(3)]

    def run(dtype: torch.dtype = torch.float32) -> list[BoolArray]:
        calls.count = 0
        segmenter = open_sam(str(checkpoint), CPU, dtype, cache)
        return [segmenter.segment(segmenter.embed(image), click((30, 20))).pixels for image in images]

    first = run()
    assert calls.count == 3
    again = run()
    assert calls.count == 0
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    images[1] = picture(40, 60, seed=9)
    run()
    assert calls.count == 1  # the changed picture
    run(torch.bfloat16)
    assert calls.count == 3  # other settings
    write_sam(checkpoint, seed=5)
    run(torch.bfloat16)
    assert calls.count == 3  # another checkpoint under the same name
    run(torch.bfloat16)
    assert calls.count == 0
    for file in cache.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:-50])
    run(torch.bfloat16)
    assert calls.count == 3
    run(torch.bfloat16)
    assert calls.count == 0


def test_works_without_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = write_sam(tmp_path / "tiny.pth")
    expected = open_sam(str(checkpoint), CPU).embed(picture(40, 60)).features
    (tmp_path / "scene").touch()
    with caplog.at_level(logging.WARNING, logger="nto3d"):
        segmenter = open_sam(str(checkpoint), CPU, cache=tmp_path / "scene" / ".cache")
        for seed in range(3):
            segmenter.embed(picture(40, 60, seed))
    assert len(caplog.records) == 1
    assert torch.equal(segmenter.embed(picture(40, 60)).features, expected)
    assert isinstance(segmenter.cache, EmbeddingCache)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    image, prompts = picture(50, 64), click((30, 20), box=np.array([10.0, 10.0, 50.0, 40.0]))
    cpu, cuda = SamSegmenter(random_sam(), CPU), SamSegmenter(random_sam(), torch.device("cuda"))
    here, there = cpu.embed(image), cuda.embed(image)
    assert there.features.device.type == "cpu"
    assert torch.allclose(here.features, there.features, atol=1e-3)
    assert iou(cpu.segment(here, prompts).pixels, cuda.segment(there, prompts).pixels) > 0.98
