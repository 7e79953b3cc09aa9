"""Checkpoints survive crashes, refuse what does not fit, and restore every random state."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nto3d.config.io import flatten, to_dict
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.training.checkpoint import (
    FORMAT,
    MODEL_KEYS,
    check_config,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from tests.helpers import write_to_full_device


def make_state(step: int = 7) -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "stage": "reconstruct",
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": random_state({"rays": torch.Generator().manual_seed(3), "views": np.random.default_rng(4)}),
        "config": tree(),
        "grid": torch.ones(4, dtype=torch.bool),
    }


def tree(**scene: Any) -> dict[str, Any]:
    config = Config(output="runs/x")
    config.scene.path = "datasets/sample"
    for name, value in scene.items():
        setattr(config.scene, name, value)
    return to_dict(config)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    state = make_state()
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (loaded["stage"], loaded["step"], loaded["config"]) == ("reconstruct", 7, state["config"])
    assert torch.equal(loaded["model"]["weight"], state["model"]["weight"])
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], state["optimizer"]["state"][0]["exp_avg"])
    assert torch.equal(loaded["grid"], state["grid"])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    state = make_state()
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    first = (tmp_path / "checkpoint.pt").read_bytes()
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    assert (tmp_path / "checkpoint.pt").read_bytes() == first


def test_random_numbers_go_on_where_they_stopped() -> None:
    rays, views = torch.Generator().manual_seed(1), np.random.default_rng(2)
    torch.manual_seed(3)
    saved = random_state({"rays": rays, "views": views})
    expected = (torch.rand(4), torch.rand(4, generator=rays), views.random(4))
    restore_random_state(saved, {"rays": rays, "views": views})
    again = (torch.rand(4), torch.rand(4, generator=rays), views.random(4))
    assert torch.equal(expected[0], again[0])
    assert torch.equal(expected[1], again[1])
    assert np.array_equal(expected[2], again[2])
    with pytest.raises(InputError, match="'other'"):
        restore_random_state(saved, {"other": rays})


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state(step=1))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", fail) if call == "fsync" else (Path, "replace", fail)))
    with pytest.raises(InputError, match=r"cannot write .*checkpoint\.pt: No space left on device"):
        save_checkpoint(path, make_state(step=2))
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_real_full_device_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    write_to_full_device(monkeypatch, "checkpoint.pt")
    with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
        save_checkpoint(tmp_path / "checkpoint.pt", make_state())
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        save_checkpoint(tmp_path / "gone" / "checkpoint.pt", make_state())


def test_a_state_without_its_parts_is_a_bug(tmp_path: Path) -> None:
    state = make_state()
    del state["optimizer"]
    with pytest.raises(KeyError, match="optimizer"):
        save_checkpoint(tmp_path / "checkpoint.pt", state)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        InputError, match=r"checkpoint\.pt: expected a checkpoint, (it is damaged, cut short|the file is empty)"
    ):
        load_checkpoint(path)


def test_a_damaged_tensor_is_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "checkpoint.pt", make_state()
    state["grid"] = torch.arange(4096, dtype=torch.int32)
    save_checkpoint(path, state)
    data = bytearray(path.read_bytes())
    at = bytes(data).find(state["grid"].numpy().tobytes()[:64])
    data[at + 8] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cut short or foreign"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage", "cut short or foreign"),
        ([1, 2], "another file of torch"),
        ({"model": {}}, "another file of torch"),
        ({"format": FORMAT + 1}, f"format {FORMAT}, got {FORMAT + 1}"),
        ({"format": FORMAT, "stage": "x", "step": 1}, "model is missing"),
        ({"format": FORMAT, "stage": Evil()}, "cut short or foreign"),
    ],
    ids=["bytes", "list", "weights", "version", "parts", "code"],
)
def test_foreign_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_the_same_config_passes_and_harmless_keys_may_differ() -> None:
    other = tree(path="elsewhere")
    other["threads"], other["export"]["resolution"], other["trainer"]["log_every"] = 1, 64, 3
    check_config(tree(), other, Path("checkpoint.pt"))


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [("encoding", "levels", 4), ("field", "hidden", 8), ("trainer", "steps", 5), ("scene", "downscale", 2)],
)
def test_another_config_is_refused_with_both_values(group: str, key: str, value: int) -> None:
    other = tree()
    was = other[group][key]
    other[group][key] = value
    with pytest.raises(InputError, match=rf"another config: {group}\.{key} was {was}, now it is {value}"):
        check_config(tree(), other, Path("checkpoint.pt"))
    if group in ("trainer", "scene"):  # of no concern to who only uses the model
        check_config(tree(), other, Path("checkpoint.pt"), MODEL_KEYS)


def test_a_key_that_an_older_version_lacks_counts_as_its_default() -> None:
    older, newer = tree(), tree()
    del older["encoding"]["levels"]
    newer["encoding"]["levels"] = Config().encoding.levels
    check_config(older, newer, Path("checkpoint.pt"))
    newer["encoding"]["levels"] += 1
    with pytest.raises(InputError, match=rf"encoding\.levels was {Config().encoding.levels}, now it is"):
        check_config(older, newer, Path("checkpoint.pt"))


def test_values_of_features_do_not_matter_where_none_are_learnt() -> None:
    other = tree()
    other["trainer"]["feature_ramp"] += 1
    other["trainer"]["loss"]["feature_weight"] += 1.0
    check_config(tree(), other, Path("checkpoint.pt"))
    stored = tree()
    for one in (stored, other):
        one["field"]["feature"] = True
    with pytest.raises(InputError, match=r"another config: trainer\.(feature_ramp|loss\.feature_weight)"):
        check_config(stored, other, Path("checkpoint.pt"))
    assert flatten(tree())["field.feature"] is False


def test_a_key_that_is_no_more_is_refused() -> None:
    older = tree()
    older["encoding"]["base"] = 3
    with pytest.raises(InputError, match=r"encoding\.base was 3, now it is None"):
        check_config(older, tree(), Path("checkpoint.pt"))


def test_random_states_that_are_none_are_refused() -> None:
    state, generator = random_state({"rays": torch.Generator()}), torch.Generator()
    with pytest.raises(InputError, match=r"random\.torch: expected the state of a random generator"):
        restore_random_state({**state, "torch": torch.zeros(5056, dtype=torch.uint8)[:7]}, {"rays": generator})
    with pytest.raises(InputError, match=r"random\.named\.rays: expected uint8, got 3"):
        restore_random_state({**state, "named": {"rays": 3}}, {"rays": generator})
