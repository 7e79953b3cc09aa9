"""Files of tensors are what was written: a checksum in safetensors of ours, no views of more than is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from nto3d.errors import InputError
from nto3d.parsers.tensors import CHECKSUM_KEY, checksum_of, pack_safetensors, read_safetensors, read_torch

SHARED = torch.zeros(2**17)
STATE = {
    "a.weight": torch.arange(60, dtype=torch.float16).view(6, 10) / 7.0,
    "b": torch.tensor(3.5),
    "c": torch.arange(5),
    "empty": torch.zeros(0, 3),
}
METADATA = {"about": '{"width": 8, "heads": 2}'}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ours.safetensors"
    path.write_bytes(pack_safetensors(STATE, METADATA))
    return path


def test_what_is_packed_comes_back(file: Path) -> None:
    state, metadata = read_safetensors(file, "weights")
    assert metadata == METADATA
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], value) and state[name].dtype == value.dtype for name, value in STATE.items())
    assert load(file.read_bytes()).keys() == STATE.keys()  # others read it, too


def test_the_same_tensors_give_the_same_bytes() -> None:
    """Though the library hands out metadata in any order."""
    many = {str(number): str(number) for number in range(9)}
    packed = {pack_safetensors(STATE, dict(reversed(many.items())) if turn % 2 else many) for turn in range(6)}
    assert len(packed) == 1
    (data,) = packed
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert load(data).keys() == STATE.keys()


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bit_is_refused(file: Path, seed: int) -> None:
    """50 a seed; a flip that hides the checksum itself leaves metadata that `load_mcc` does not know."""
    whole, generator = file.read_bytes(), np.random.default_rng(seed)
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(50):
        first, end = (0, header) if number % 2 else (header, len(whole))
        bit = int(generator.integers(8 * first, 8 * end))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        assert refused(file) or read_safetensors(file, "weights")[1].keys() - METADATA.keys()


def refused(file: Path) -> bool:
    try:
        read_safetensors(file, "weights")
    except InputError as error:
        return str(error).startswith(str(file)) and "\n" not in str(error)
    return False


def test_the_checksum_is_of_names_types_shapes_and_bytes() -> None:
    same = checksum_of(STATE, METADATA)
    assert checksum_of(dict(reversed(STATE.items())), METADATA) == same
    others: list[tuple[dict[str, torch.Tensor], dict[str, str]]] = [
        ({**STATE, "b": torch.tensor(3.25)}, METADATA),
        ({**STATE, "b": torch.tensor([3.5])}, METADATA),
        ({**STATE, "b": torch.tensor(3.5).view(torch.int32)}, METADATA),
        ({**STATE, "d": torch.zeros(0)}, METADATA),
        (STATE, {"about": "{}"}),
        (STATE, {}),
    ]
    assert len({same, *(checksum_of(*other) for other in others)}) == len(others) + 1


def test_files_of_others_have_none(tmp_path: Path) -> None:
    save_file({"x": torch.ones(3)}, tmp_path / "theirs.safetensors", {"format": "pt"})
    state, metadata = read_safetensors(tmp_path / "theirs.safetensors", "weights")
    assert torch.equal(state["x"], torch.ones(3))
    assert metadata == {"format": "pt"}
    save_file({"x": torch.ones(3)}, tmp_path / "wrong.safetensors", {CHECKSUM_KEY: "0" * 64})
    with pytest.raises(InputError, match=r"wrong\.safetensors: expected weights with the checksum in its metadata"):
        read_safetensors(tmp_path / "wrong.safetensors", "weights")


def nested(depth: int) -> Any:
    tree: Any = 1
    for _ in range(depth):
        tree = [tree]
    return tree


def bomb(levels: int) -> Any:
    tree: Any = [1] * 10
    for _ in range(levels):
        tree = [tree] * 10
    return tree


def endless() -> Any:
    tree: list[Any] = []
    tree.append(tree)
    return tree


@pytest.mark.parametrize(
    "content",
    [
        {"x": torch.zeros(1).expand(10**12)},
        {"x": [(torch.zeros(2, 1).expand(2, 10**10),)]},
        {"x": torch.zeros(10**12, device="meta")},
        {str(number): SHARED for number in range(64)},
        {"x": torch.eye(3).to_sparse()},
        nested(200),
        bomb(9),
        endless(),
    ],
    ids=["expanded", "inner", "meta", "shared", "sparse", "deep", "bomb", "endless"],
)
def test_what_unfolds_to_more_than_the_file_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"x\.pt: expected weights, it is damaged, cut short or foreign \(ValueError"):
        read_torch(tmp_path / "x.pt", "weights")


def test_slices_and_turned_tensors_are_let_in(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    torch.save({"slice": whole[:, 1:3], "turned": whole.T, "shared": whole}, tmp_path / "x.pt")
    loaded = read_torch(tmp_path / "x.pt", "weights")
    assert torch.equal(loaded["slice"], whole[:, 1:3])
    assert torch.equal(loaded["turned"], whole.T)
