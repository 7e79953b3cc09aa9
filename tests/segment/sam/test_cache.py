"""What SAM's encoder said of a picture is kept beside the scene."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nto3d.segment.embeddings import EmbeddingCache
from nto3d.segment.sam.library import sam_modeling
from nto3d.segment.sam.loading import open_sam
from nto3d.types import BoolArray
from tests.segment.sam.scripted import CPU, click, picture
from tests.segment.tiny_sam import write_sam


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
