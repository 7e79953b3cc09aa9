"""The network: against an attention over everything with a mask, by hand, and against the published model's answer."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.mcc.attention import Block
from nto3d.mcc.model import FAR, Mcc, MccSizes, position_table, pulled_in, waves
from nto3d.mcc.weights import load_mcc, save_mcc
from tests.helpers import ROOT
from tests.mcc.formula import SMALL as SHALLOW
from tests.mcc.formula import formula_weights, wave

REFERENCE = ROOT.parent / "shared" / "mcc"
SMALL = dataclasses.replace(SHALLOW, depth=2, decoder_depth=3)


def small_model() -> Mcc:
    model = Mcc(SMALL)
    model.load_state_dict(formula_weights(model))
    return model.eval()


def view(sizes: MccSizes = SMALL, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, sizes.image, sizes.image, generator=generator)
    points = torch.randn(batch, sizes.points, sizes.points, 3, generator=generator)
    return images, points, torch.rand(batch, sizes.points, sizes.points, generator=generator) > 0.3


def masked_block(block: Block, tokens: Tensor, seen: int) -> Tensor:
    """The twin: attention over all N tokens with a mask; those after the first `seen` see them and themselves."""
    count = tokens.shape[1]
    allowed = torch.zeros(count, count, dtype=torch.bool)
    allowed[:, :seen] = True
    allowed |= torch.eye(count, dtype=torch.bool)
    batch, _, width = tokens.shape
    heads = block.attn.heads
    parts = block.attn.qkv(block.norm1(tokens)).reshape(batch, count, 3, heads, width // heads)
    query, key, value = parts.permute(2, 0, 3, 1, 4)
    scores = (query @ key.transpose(2, 3)) / math.sqrt(width // heads)
    shares = scores.masked_fill(~allowed, -math.inf).softmax(dim=3)
    tokens = tokens + block.attn.proj((shares @ value).transpose(1, 2).flatten(2))
    twin: Tensor = tokens + block.mlp(block.norm2(tokens))
    return twin


def masked_answer(model: Mcc, latent: Tensor, places: Tensor) -> Tensor:
    """Logits of the twin."""
    tokens = model.decoder_embed(latent) + model.decoder_pos_embed
    seen = tokens.shape[1]
    tokens = torch.cat([tokens, model.decoder_xyz_pos_embed(pulled_in(places))], dim=1)
    for block in model.decoder_blocks:
        assert isinstance(block, Block)
        tokens = masked_block(block, tokens, seen)
    logits: Tensor = model.decoder_pred(model.decoder_norm(tokens))[:, seen:]
    return logits


@torch.no_grad()
def test_answers_equal_those_of_masked_attention_over_everything() -> None:
    model = small_model()
    latent = model.encode(*view())
    places = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(1)) * 6
    torch.testing.assert_close(
        model.answer(model.remember(latent), places), masked_answer(model, latent, places), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
def test_a_place_is_answered_alike_whatever_else_is_asked() -> None:
    model = small_model()
    memory = model.remember(model.encode(*view()))
    places = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2))
    whole = model.answer(memory, places)
    parts = torch.cat([model.answer(memory, some) for some in places.split(7, dim=1)], dim=1)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_what_lies_where_no_point_is_does_not_matter() -> None:
    model = small_model()
    images, points, valid = view()
    other = torch.where(valid[..., None], points, torch.full_like(points, math.nan))
    assert torch.equal(model.encode(images, points, valid), model.encode(images, other, valid))
    assert not torch.equal(model.encode(images, points, valid), model.encode(images, points, torch.ones_like(valid)))


@torch.no_grad()
def test_a_window_of_points_reaches_one_token_of_the_first_layer() -> None:
    embed = small_model().xyz_pos_embed
    _, points, valid = view()
    before = embed(points, valid)
    points[0, 5, 14] += 1.0  # row 5, column 14: the second row of windows, the fourth column
    valid[0, 5, 14] = True
    changed = (embed(points, valid) != before).any(dim=2)
    assert changed.nonzero().tolist() == [[0, 1 * 4 + 3]]


def test_far_places_are_pulled_in_by_hand() -> None:
    places = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, -20.0], [6.0, 8.0, 0.0], [0.0, 40.0, 0.0], [0.0, 0.0, 0.0]])
    moved = pulled_in(places)
    expected = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, -15.0], [6.0, 8.0, 0.0], [0.0, 17.5, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(moved, expected)
    assert float(pulled_in(torch.tensor([[1e9, 0.0, 0.0]])).norm()) <= 2 * FAR


def test_the_table_of_positions_by_hand() -> None:
    table = position_table(8, 3)[0]
    assert table.shape == (10, 8)
    assert not table[0].any()
    column, row = 2.0, 1.0  # token 5 of a 3 x 3 grid
    rates = [1.0, 0.01]
    expected = [f(place * rate) for place in (column, row) for f in (math.sin, math.cos) for rate in rates]
    assert table[1 + 5].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "sizes", [{"image": 30}, {"points": 20}, {"points": 56}, {"width": 30}], ids=["patch", "window", "grids", "width"]
)
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        MccSizes(**sizes)


def published() -> Mcc:
    """Of the published size, with weights by formula."""
    if not REFERENCE.is_dir():
        pytest.skip(f"needs the reference vectors in {REFERENCE.name}")
    model = Mcc()
    model.load_state_dict(formula_weights(model))
    return model.eval()


def test_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    model = published()
    schema = json.loads((REFERENCE / "state_dict_schema.json").read_text())
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == schema


@torch.no_grad()
def test_the_answer_is_that_of_the_published_model() -> None:
    model = published()
    with np.load(REFERENCE / "parity.npz", allow_pickle=False) as reference:
        large = wave((1, 3, 800, 800), 0.01371)
        images = functional.interpolate(large, scale_factor=224 / 800, mode="bilinear", align_corners=False)
        points = (wave((1, 112, 112, 3), 0.02713) - 0.5) * 4
        valid = torch.from_numpy(reference["valid"])
        places = torch.from_numpy(reference["queries"])
        assert float(places.norm(dim=2).max()) > FAR
        latent = model.encode(images, points, valid)
        assert np.abs(latent[0].mean(dim=0).numpy() - reference["latent_mean"]).max() < 1e-4
        logits = model.answer(model.remember(latent), places).numpy()
        np.testing.assert_allclose(logits, reference["logits"], atol=2e-3, rtol=1e-3)
        assert np.abs(logits - reference["logits"]).max() < 1e-4  # in fact


@pytest.mark.slow
@torch.no_grad()
def test_two_thousand_queries_are_three_times_as_fast_as_masked_attention() -> None:
    model = Mcc().eval()
    latent, places = torch.randn(1, 197, 1536), torch.randn(1, 2000, 3)
    memory = model.remember(latent)
    seconds: dict[str, list[float]] = {"own": [], "twin": []}
    for _ in range(3):
        for name in seconds:
            begun = time.perf_counter()
            found = model.answer(memory, places) if name == "own" else masked_answer(model, latent, places)
            seconds[name].append(time.perf_counter() - begun)
            if name == "own":
                own = found
    torch.testing.assert_close(own, found, rtol=1e-4, atol=1e-4)
    print(f"2,000 queries: {min(seconds['own']):.2f} s, masked attention {min(seconds['twin']):.2f} s")
    assert min(seconds["twin"]) > 3.0 * min(seconds["own"])


def test_waves_by_hand() -> None:
    told = waves(torch.tensor([[3.0, -6.0, 1.0]]), 2)[0]
    assert told[:3].tolist() == [3.0, -6.0, 1.0]
    # wave lengths 12 and 6: a quarter and a half of a wave at x = 3, a half (backwards) and a whole one at y = -6
    assert told[3:9].tolist() == pytest.approx([1.0, 0.0, 0.5, 0.0, 0.0, math.sqrt(0.75)], abs=1e-6)
    assert told[9:].tolist() == pytest.approx([0.0, -1.0, math.sqrt(0.75), -1.0, 1.0, 0.5], abs=1e-6)
    assert waves(told, 0) is told


def test_a_network_with_waves_is_saved_with_them(tmp_path: Path) -> None:
    model = Mcc(dataclasses.replace(SMALL, frequencies=3)).eval()
    assert model.decoder_xyz_pos_embed.pos_embed.weight.shape == (SMALL.decoder_width, 21)
    assert model.xyz_pos_embed.pos_embed.weight.shape == (SMALL.width, 21)
    save_mcc(model, tmp_path / "a.safetensors", torch.float32)
    loaded = load_mcc(tmp_path / "a.safetensors")
    view = torch.rand(1, 3, SMALL.image, SMALL.image), torch.randn(1, SMALL.points, SMALL.points, 3)
    valid, places = torch.rand(1, SMALL.points, SMALL.points) < 0.5, torch.randn(1, 5, 3)
    with torch.no_grad():
        assert torch.equal(loaded(*view, valid, places), model(*view, valid, places))
