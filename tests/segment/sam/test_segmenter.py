"""The SAM segmenter: against the package's own forward pass, and with models whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.segment.base import Segmenter
from nto3d.segment.sam.segmenter import SamEmbedding, SamSegmenter
from nto3d.types import FloatArray, Prompts
from tests.segment.sam.scripted import CPU, SIZES, ScriptedSam, click, disc_at, disc_at_click, iou, picture
from tests.segment.tiny_sam import random_sam


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


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    image, prompts = picture(50, 64), click((30, 20), box=np.array([10.0, 10.0, 50.0, 40.0]))
    cpu, cuda = SamSegmenter(random_sam(), CPU), SamSegmenter(random_sam(), torch.device("cuda"))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has a third of float32's digits
        here, there = cpu.embed(image), cuda.embed(image)
    assert there.features.device.type == "cpu"
    assert torch.allclose(here.features, there.features, atol=1e-3)
    assert iou(cpu.segment(here, prompts).pixels, cuda.segment(there, prompts).pixels) > 0.98
