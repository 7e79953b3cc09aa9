"""The detector of SAM 3, tiny and random, and what is said where a network cannot read."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nto3d.errors import InputError
from nto3d.segment.base import Finder
from nto3d.segment.hf.text import Sam3Finder, open_finder
from tests.segment.tiny_hf import library, write_hf

CPU = torch.device("cpu")
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hf(tmp_path_factory.mktemp("hf") / "sam3", "Sam3VideoModel", seed=2)


def test_a_noun_is_read_and_instances_come_in_the_picture_s_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nto3d.segment.hf.text.LEAST_SCORE", 0.0)
    opened = open_finder(str(folder), CPU)
    finder: Finder = opened
    found = finder.instances(PICTURE, "cup")
    assert (found.masks.shape, found.masks.dtype) == ((5, 40, 70), np.bool_)
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert np.array_equal(finder.instances(PICTURE, "cup").masks, found.masks)
    assert not np.array_equal(finder.instances(PICTURE, "ball").scores, found.scores)
    assert len(finder.instances(PICTURE, "cup " * 100).scores) == 5  # more words than it can read

    tokens = library().AutoTokenizer.from_pretrained(folder)(
        "cup", return_tensors="pt", padding="max_length", max_length=32
    )
    with torch.no_grad():
        answer = opened.model(pixel_values=opened.processing.pixels(PICTURE), **tokens)
    scores = answer.pred_logits[0].sigmoid() * answer.presence_logits[0].sigmoid()
    np.testing.assert_allclose(found.scores, scores.sort(descending=True).values, rtol=1e-6)


def test_scores_sort_and_weak_ones_are_left_out(folder: Path) -> None:
    opened = open_finder(str(folder), CPU)
    logits = torch.full((1, 3, 8, 8), -1.0)
    for number in range(3):
        logits[0, number, :, 2 * number : 2 * number + 2] = 1.0

    def answer(**_: Any) -> Any:
        return SimpleNamespace(
            pred_logits=torch.tensor([[1.0, -1.0, 3.0]]), presence_logits=torch.tensor([[9.0]]), pred_masks=logits
        )

    scripted: Any = answer
    scripted.config = opened.model.config
    finder = Sam3Finder(scripted, opened.tokenizer, opened.processing, CPU)
    found = finder.instances(np.zeros((16, 32, 3), np.uint8), "cup")
    np.testing.assert_allclose(found.scores, [0.9525, 0.731], atol=1e-3)
    assert [set(np.flatnonzero(mask.all(axis=0))) for mask in found.masks] == [set(range(16, 24)), set(range(8))]
    weak: Any = lambda **_: SimpleNamespace(  # noqa: E731
        pred_logits=torch.zeros(1, 3), presence_logits=torch.zeros(1, 1), pred_masks=logits
    )
    weak.config = opened.model.config
    none = Sam3Finder(weak, opened.tokenizer, opened.processing, CPU).instances(PICTURE, "cup")
    assert (none.masks.shape, none.scores.shape) == ((0, 40, 70), (0,))


def test_what_cannot_read_is_said(tmp_path: Path, folder: Path) -> None:
    other = write_hf(tmp_path / "sam", "SamModel")
    with pytest.raises(InputError, match=r"prompts\.text: .*sam \(sam\) cannot read text, expected SAM 3: hf download"):
        open_finder(str(other), CPU)
    without = Path(shutil.copytree(folder, tmp_path / "without"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (without / name).unlink()
    for content, why in (
        (None, r"there is no tokenizer\.json; fetch it with: hf download facebook/sam3"),
        ("{", r".*"),
    ):
        if content is not None:
            (without / "tokenizer.json").write_text(content)
        with pytest.raises(InputError, match=f"expected the tokenizer of SAM 3 beside its weights, {why}") as caught:
            open_finder(str(without), CPU)
        assert "\n" not in str(caught.value)
