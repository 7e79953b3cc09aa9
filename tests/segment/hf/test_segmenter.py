"""Segmenters of transformers: tiny random networks of every class, their frames, passes and caches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nto3d.segment.base import Segmenter
from nto3d.segment.embeddings import EmbeddingCache
from nto3d.segment.hf.files import HfFolder
from nto3d.segment.hf.models import FAMILIES, HALF, SAM, SAM2, SAM3_TRACKER, HfNetwork, Processing
from nto3d.segment.hf.segmenter import HfEmbedding, HfSegmenter, open_hf
from nto3d.segment.passes import Frame, Points
from nto3d.segment.sam.segmenter import SamSegmenter
from nto3d.types import ByteArray, FloatArray, Prompts
from tests.segment.converted_sam import write_converted
from tests.segment.tiny_hf import KINDS, SIDE, SIDE_3, VIDEO, library, made, write_hf
from tests.segment.tiny_sam import TINY, random_sam

CPU = torch.device("cpu")
SIZES = [(48, 80), (90, 33)]


def picture(height: int, width: int, seed: int = 0) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def prompts_of(kind: str, size: tuple[int, int]) -> Prompts:
    height, width = size
    box: FloatArray | None = np.array([0.0, 0.0, width / 2, height / 2]) if kind in ("box", "all") else None
    prior = np.random.default_rng(0).random(size).astype(np.float32) if kind in ("prior", "all") else None
    points = np.array([(width / 3, height / 3), (width - 1.0, 0.0)]) if kind in ("points", "all") else np.zeros((0, 2))
    return Prompts(2, points, np.array([1, 0])[: len(points)], box, prior)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of every class, and of the models of videos that are published in their place."""
    base = tmp_path_factory.mktemp("hf")
    return {kind: write_hf(base / kind, kind) for kind in (*KINDS, "Sam2VideoModel", "Sam3VideoModel")}


@pytest.mark.parametrize("kind", [*KINDS, "Sam2VideoModel", "Sam3VideoModel"])
def test_every_class_answers_every_kind_of_prompt(folders: dict[str, Path], kind: str) -> None:
    opened = open_hf(str(folders[kind]), CPU)
    segmenter: Segmenter[HfEmbedding] = opened
    expected = {"Sam2VideoModel": "Sam2Model", "Sam3VideoModel": "Sam3TrackerModel"}.get(kind, kind)
    assert type(opened.network.model).__name__ == expected
    assert not opened.network.model.training
    for size in SIZES:
        embedded = segmenter.embed(picture(*size))
        assert {name: tuple(part.shape) for name, part in embedded.parts.items()} == opened.network.shapes
        answers = []
        for what in ("points", "box", "prior", "all"):
            mask = segmenter.segment(embedded, prompts_of(what, size))
            assert (mask.view, mask.pixels.shape, mask.pixels.dtype) == (2, size, np.bool_)
            assert 0.0 <= mask.score <= 1.0
            answers.append((mask.score, mask.pixels.sum()))
        assert len(set(answers)) > 1  # prompts matter
        nothing = Prompts(0, np.zeros((0, 2)), np.zeros(0, int), prior=np.zeros(size, dtype=np.float32))
        assert segmenter.segment(embedded, nothing).score == 0.0


def test_the_same_weights_give_the_masks_of_the_package_segment_anything(tmp_path: Path) -> None:
    """Resizing, colours, padding, prompts, passes and the way back: one SAM through both libraries."""
    package = random_sam(3)
    theirs = SamSegmenter(package, CPU)
    ours = open_hf(str(write_converted(tmp_path / "sam", package.state_dict(), TINY)), CPU)
    for size in SIZES:
        image = picture(*size)
        here, there = ours.embed(image), theirs.embed(image)
        torch.testing.assert_close(here.parts["features"], there.features, rtol=1e-3, atol=1e-3)
        for what in ("points", "box", "prior", "all"):
            mask = ours.segment(here, prompts_of(what, size))
            true = theirs.segment(there, prompts_of(what, size))
            assert (mask.pixels == true.pixels).mean() > 0.99
            assert mask.score == pytest.approx(true.score, abs=2e-3)


@pytest.mark.parametrize("kind", ["Sam2Model", "EdgeTamModel"])
def test_the_pyramid_is_what_transformers_makes_itself(folders: dict[str, Path], kind: str) -> None:
    network = open_hf(str(folders[kind]), CPU).network
    image = picture(48, 80)
    with torch.no_grad():
        expected = network.model.get_image_embeddings(network.processing.pixels(image))
    for found, level in zip(network.encode(image).values(), expected, strict=True):
        np.testing.assert_array_equal(found, level[0].numpy())


def test_the_pyramid_of_sam_3_has_no_memory_added_where_its_decoder_reads(folders: dict[str, Path]) -> None:
    """As its model of videos does, whose pyramid is cut before; the tracker of transformers adds it to a lost level."""
    network = open_hf(str(folders["Sam3VideoModel"]), CPU).network
    pixels = network.processing.pixels(picture(48, 80))
    video = library().Sam3VideoModel(library().AutoConfig.from_pretrained(folders["Sam3VideoModel"]))
    tracker = network.model
    video.tracker_neck.load_state_dict(tracker.vision_encoder.neck.state_dict())
    video.tracker_model.mask_decoder.load_state_dict(tracker.mask_decoder.state_dict())
    with torch.no_grad():
        levels, _ = video.eval().get_vision_features_for_tracker(tracker.vision_encoder(pixels))
        last = (levels[-1] + tracker.no_memory_embedding)[:, 0].T
    assert float(tracker.no_memory_embedding.abs().max()) > 0.1
    torch.testing.assert_close(torch.from_numpy(network.encode(picture(48, 80))["level_2"]).flatten(1), last)


def test_the_weights_of_sam_3_come_from_the_file_of_both(folders: dict[str, Path]) -> None:
    from safetensors.torch import load_file

    model = open_hf(str(folders["Sam3VideoModel"]), CPU).network.model
    stored = load_file(folders["Sam3VideoModel"] / "model.safetensors")
    pairs = {
        "vision_encoder.neck.fpn_layers.0.proj1.weight": "tracker_neck.fpn_layers.0.proj1.weight",
        "mask_decoder.iou_token.weight": "tracker_model.mask_decoder.iou_token.weight",
        "vision_encoder.backbone.layers.0.mlp.fc1.weight": (
            "detector_model.vision_encoder.backbone.layers.0.mlp.fc1.weight"
        ),
    }
    for name, source in pairs.items():
        assert torch.equal(model.state_dict()[name], stored[source])


class Scripted:
    """A network in the place of one of transformers, which notes what it is asked and answers with one disc."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.config = made("Sam2Model").config

    def __call__(self, **asked: Any) -> Any:
        self.asked.append(asked)
        row, column = torch.meshgrid(torch.arange(16) * 4 + 1.5, torch.arange(16) * 4 + 1.5, indexing="ij")
        x, y = asked["input_points"][0, 0, 0].tolist()
        logits = 100.0 * (12.0 - torch.hypot(column - x, row - y))
        found = type("Answer", (), {})()
        found.pred_masks, found.iou_scores = logits.expand(1, 1, 3, 16, 16), torch.tensor([[[0.1, 0.9, 0.3]]])
        return found


def test_shapes_of_prompts_and_the_frame_of_sam_2() -> None:
    """Both sides are stretched to the frame; half pixels are kept; the logits that are passed on are limited."""
    scripted = Scripted()
    processing = Processing(SIDE, True, 2, 1 / 255, *HALF)
    segmenter = HfSegmenter(HfNetwork(scripted, SAM2, processing, CPU, torch.float32))
    size = (32, 128)
    parts = {f"level_{number}": torch.zeros(1, 1, 1) for number in range(3)}
    embedded = HfEmbedding(parts, processing.frame(size))
    mask = segmenter.segment(embedded, Prompts(0, np.array([[80.0, 10.0], [0.0, 0.0]]), np.array([1, 0])))
    first, second, third = scripted.asked
    np.testing.assert_allclose(first["input_points"], [[[[39.75, 20.5], [-0.25, 0.5]]]])
    assert first["input_labels"].tolist() == [[[1, 0]]]
    assert first["input_boxes"] is None
    assert first["input_masks"] is None
    assert second["input_masks"].shape == (1, 1, 16, 16)
    assert float(second["input_masks"].abs().max()) == 32.0
    assert third["input_boxes"].shape == (1, 1, 4)
    assert [len(first["image_embeddings"]), first["multimask_output"]] == [3, True]
    y, x = np.mgrid[:32, :128]
    true = np.hypot((x + 0.5) / 2 - 0.5 - 39.75, (y + 0.5) * 2 - 0.5 - 20.5) < 12
    assert (mask.pixels & true).sum() > 0.85 * (mask.pixels | true).sum()
    assert mask.score == pytest.approx(0.9)


def test_what_is_cached_gives_the_same_bits(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    encode = HfNetwork.encode

    def counted(self: HfNetwork, image: ByteArray) -> Any:
        calls.append(1)
        return encode(self, image)

    monkeypatch.setattr(HfNetwork, "encode", counted)
    image, asked = picture(48, 80), prompts_of("all", (48, 80))
    for kind in ("SamHQModel", "Sam2Model"):
        folder = str(folders[kind])
        fresh = open_hf(folder, CPU)
        expected = fresh.segment(fresh.embed(image), asked)
        for number in range(2):
            calls.clear()
            segmenter = open_hf(folder, CPU, cache=tmp_path / kind)
            embedded = segmenter.embed(image)
            mask = segmenter.segment(embedded, asked)
            assert (mask.pixels == expected.pixels).all()
            assert mask.score == expected.score
            for name, part in fresh.embed(image).parts.items():
                assert torch.equal(embedded.parts[name], part)
            assert len(calls) == (2 if number == 0 else 1)
        calls.clear()
        half = open_hf(folder, CPU, torch.bfloat16, tmp_path / kind).embed(image)  # other settings
        assert len(calls) == 1
        assert all(part.dtype == torch.float32 for part in half.parts.values())


def test_other_weights_or_another_processor_make_new_embeddings(folders: dict[str, Path], tmp_path: Path) -> None:
    def cache_of(folder: Path) -> EmbeddingCache:
        cache = open_hf(str(folder), CPU, cache=tmp_path / "cache").cache
        assert cache is not None
        return cache

    first = cache_of(folders["SamModel"])
    other = cache_of(write_hf(tmp_path / "other", "SamModel", seed=1))
    assert first.checkpoint != other.checkpoint
    (tmp_path / "other" / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    assert cache_of(tmp_path / "other").settings != other.settings


def test_many_views_can_be_asked_at_once(folders: dict[str, Path]) -> None:
    segmenter = open_hf(str(folders["Sam3TrackerModel"]), CPU)
    images = [picture(24, 40, seed) for seed in range(4)]

    def answer(image: ByteArray) -> Any:
        return segmenter.segment(segmenter.embed(image), prompts_of("points", (24, 40)))

    with ThreadPoolExecutor(2) as pool:
        for mask, image in zip(pool.map(answer, images), images, strict=True):
            assert (mask.pixels == answer(image).pixels).all()


def folder_with(processing: dict[str, Any]) -> HfFolder:
    return HfFolder(Path("somewhere"), {"model_type": "sam"}, (), processing)


def test_pictures_are_prepared_as_by_transformers_itself() -> None:
    processor = library().SamImageProcessorPil
    sizes: dict[str, Any] = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    for more in ({}, {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}, {"resample": 3}):
        made_by = processor(**sizes, **more)
        ours = Processing.of(folder_with(made_by.to_dict()), SIDE, SAM)
        for size in [*SIZES, (SIDE, SIDE), (31, 200)]:
            image = picture(*size)
            theirs = made_by(images=image, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
            torch.testing.assert_close(ours.pixels(image), theirs, rtol=1e-5, atol=1e-5)


def test_what_the_folder_does_not_say_is_as_the_class_does_it() -> None:
    for family, side in ((SAM, SIDE), (SAM3_TRACKER, SIDE_3)):
        assert Processing.of(folder_with({}), side, family) == Processing(
            side, family.filled, 2, 1 / 255, *family.colors
        )
    plain = Processing.of(folder_with({"do_rescale": False, "do_normalize": False}), SIDE, SAM)
    assert (plain.scale, plain.mean, plain.deviation) == (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    grey = Processing.of(folder_with({}), SIDE_3, SAM3_TRACKER).pixels(np.full((10, 30, 3), 255, np.uint8))
    assert grey.shape == (1, 3, SIDE_3, SIDE_3)
    torch.testing.assert_close(grey, torch.ones_like(grey))


def test_a_frame_that_is_filled_keeps_corners_and_boxes() -> None:
    frame = Frame.filled((50, 100), 64)
    corners = np.array([[-0.5, -0.5], [99.5, 49.5]])
    np.testing.assert_allclose(frame.from_picture(corners), [[-0.5, -0.5], [63.5, 63.5]])
    assert frame.extent(8) == (8.0, 8.0)
    inside = np.zeros((16, 16), dtype=bool)
    inside[4:8, 2:6] = True
    box = frame.box_around(inside)
    assert box is not None
    np.testing.assert_allclose(box, [3.5, 11.5, 27.5, 35.5])  # a low-res pixel of margin: 4 of the frame's


def test_every_published_kind_has_a_family_and_shapes() -> None:
    assert {family.model for family in FAMILIES.values()} == set(KINDS)
    assert set(VIDEO) >= {"Sam2VideoModel", "Sam3VideoModel"}
    assert Points(torch.zeros(1, 1, 2), torch.ones(1, 1), True).decide
