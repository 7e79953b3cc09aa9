"""Weights come back as they were written, published ones as they are; anything else is one line that names it."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nto3d.errors import InputError
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.weights import BUNDLED, infer_sizes, load_mcc, save_mcc
from nto3d.parsers.tensors import CHECKSUM_KEY
from tests.mcc.formula import formula_weights

SIZES = MccSizes(
    image=32,
    patch=8,
    points=16,
    window=4,
    width=64,
    depth=1,
    heads=2,
    decoder_width=32,
    decoder_depth=1,
    decoder_heads=4,
)


def model(sizes: MccSizes = SIZES) -> Mcc:
    made = Mcc(sizes)
    made.load_state_dict(formula_weights(made))
    return made.eval()


def logits(network: Mcc) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images, points = torch.rand(1, 3, 32, 32, generator=generator), torch.randn(1, 16, 16, 3, generator=generator)
    with torch.no_grad():
        found: Tensor = network(images, points, torch.ones(1, 16, 16, dtype=torch.bool), points[:, 0])
    return found


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 0.0), (torch.float16, 1e-2)])
def test_our_own_file_holds_sizes_and_weights(tmp_path: Path, dtype: torch.dtype, close: float) -> None:
    save_mcc(model(), tmp_path / "small.safetensors", dtype)
    loaded = load_mcc(tmp_path / "small.safetensors")
    assert loaded.sizes == SIZES
    assert next(loaded.parameters()).dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training
    torch.testing.assert_close(logits(loaded), logits(model()), rtol=0, atol=close)
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize("beside", ["nothing", "arguments", "bare"])
def test_a_published_checkpoint_needs_no_sizes(tmp_path: Path, beside: str) -> None:
    sizes = MccSizes(32, 8, 16, 4, 128, 2, 2, 64, 3, 2)
    state: dict[str, Any] = {"model": model(sizes).state_dict()}
    if beside == "arguments":
        state |= {"args": argparse.Namespace(lr=1e-4, resume="x"), "epoch": 99, "scaler": {"scale": 1.0}}
    torch.save(state["model"] if beside == "bare" else state, tmp_path / "mcc.pth")
    loaded = load_mcc(tmp_path / "mcc.pth")
    assert loaded.sizes == sizes
    assert torch.equal(logits(loaded), logits(model(sizes)))


def test_the_published_sizes_are_the_defaults() -> None:
    with torch.device("meta"):
        assert infer_sizes(Mcc().state_dict()) == MccSizes()


def change(edit: Callable[[dict[str, Tensor]], Any]) -> dict[str, Tensor]:
    state = dict(model().state_dict())
    edit(state)
    return state


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (change(lambda s: s.pop("decoder_norm.bias")), "missing: decoder_norm.bias"),
        (change(lambda s: s.update({"decoder_norm.scale": torch.zeros(2)})), "too many: decoder_norm.scale"),
        (
            change(lambda s: s.update({"cls_token": torch.zeros(1, 1, 60)})),
            r"cls_token: expected a tensor \[1, 1, 64\]",
        ),
        (change(lambda s: s.pop("patch_embed.proj.weight")), "patch_embed.proj.weight is missing"),
        (change(lambda s: s.update({"pos_embed": torch.zeros(17, 64)})), "pos_embed: expected 3 dimensions"),
        ({"image_encoder.pos_embed": torch.zeros(1)}, "patch_embed.proj.weight is missing"),
        ({"model": [1, 2]}, "another file of torch"),
        ([1, 2], "another file of torch"),
    ],
    ids=["missing", "extra", "shape", "no-patch", "dimensions", "sam", "list-in-model", "list"],
)
def test_what_does_not_fit_is_named(tmp_path: Path, state: Any, words: str) -> None:
    torch.save(state, tmp_path / "mcc.pth")
    with pytest.raises(InputError, match=words) as caught:
        load_mcc(tmp_path / "mcc.pth")
    assert str(caught.value).startswith(str(tmp_path / "mcc.pth"))
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("kind", ["missing", "garbage.pth", "code.pth", "garbage.safetensors", "foreign.safetensors"])
def test_foreign_and_damaged_files_are_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    words = {"missing": "no such file", "foreign.safetensors": "mcc_sizes"}.get(kind, "cut short or foreign")
    if "garbage" in kind:
        path.write_bytes(b"garbage" * 100)
    elif kind == "code.pth":
        torch.save({"model": {}, "args": Evil()}, path)
    elif kind == "foreign.safetensors":
        save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=words) as caught:
        load_mcc(path)
    assert "\n" not in str(caught.value)


def test_impossible_sizes_in_our_own_file_are_one_line(tmp_path: Path) -> None:
    for text in ("{}x", '{"image": 30}', '{"depth_": 3}', "[]"):
        save_file({"a": torch.zeros(3)}, tmp_path / "own.safetensors", {"mcc_sizes": text})
        with pytest.raises(InputError, match="possible mcc_sizes"):
            load_mcc(tmp_path / "own.safetensors")


def test_any_flipped_bit_of_our_own_file_is_refused(tmp_path: Path) -> None:
    """Half of them in the header: sizes, names, the checksum and what it is called."""
    path = tmp_path / "own.safetensors"
    save_mcc(model(), path)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(200):
        first, end = (0, header) if number % 2 else (header, len(whole))
        bit = int(generator.integers(8 * first, 8 * end))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            load_mcc(path)
        assert "\n" not in str(caught.value)


def test_our_own_files_of_early_versions_have_no_checksum(tmp_path: Path) -> None:
    state = {name: value.contiguous() for name, value in model().state_dict().items()}
    save_file(state, tmp_path / "early.safetensors", {"mcc_sizes": json.dumps(vars(SIZES))})
    assert torch.equal(logits(load_mcc(tmp_path / "early.safetensors")), logits(model()))


def test_the_bundled_weights_have_one() -> None:
    with safe_open(BUNDLED, framework="pt") as file:
        assert set(file.metadata()) == {"mcc_sizes", CHECKSUM_KEY}
    assert load_mcc(BUNDLED).sizes.width == 160


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("heads", 0), ("heads", 3), ("heads", True), ("heads", 2.0), ("decoder_heads", "4"), ("decoder_heads", None)),
        *(("width", 10**9), ("width", 60), ("depth", 10**7), ("depth", 2), ("depth", -1), ("decoder_depth", 0)),
        *(("frequencies", 10**6), ("frequencies", -1), ("hints", 1), ("hints", "no"), ("image", 10**30), ("patch", 0)),
    ],
)
def test_sizes_are_bounded_before_a_network_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr("nto3d.mcc.weights.Mcc", None)
    state = {name: value.contiguous() for name, value in model().state_dict().items()}
    save_file(state, tmp_path / "own.safetensors", {"mcc_sizes": json.dumps({**vars(SIZES), name: value})})
    with pytest.raises(InputError, match=rf"own\.safetensors: expected possible mcc_sizes, got .*{name[-5:]}"):
        load_mcc(tmp_path / "own.safetensors")


@pytest.mark.parametrize("value", [torch.full((1, 1, 64), torch.nan), torch.zeros(1, 1, 64, dtype=torch.int64)])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path: Path, value: Tensor) -> None:
    torch.save(change(lambda s: s.update({"cls_token": value})), tmp_path / "mcc.pth")
    with pytest.raises(InputError, match=r"mcc\.pth: cls_token: expected finite numbers"):
        load_mcc(tmp_path / "mcc.pth")


def test_a_published_file_of_too_many_blocks_is_refused_at_once(tmp_path: Path) -> None:
    many = {f"blocks.{number}.norm1.bias": torch.zeros(1) for number in range(300)}
    torch.save(change(lambda s: s.update(many)), tmp_path / "mcc.pth")
    with pytest.raises(InputError, match=r"depth: expected a whole number, 1 to 256, got 300"):
        load_mcc(tmp_path / "mcc.pth")
