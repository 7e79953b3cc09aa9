"""Objects of a pool are the same whoever makes them, and whether they were kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nto3d.data.object_views import ObjectViews
from nto3d.data.synthetic.pool import PoolSpec, make_objects, one_object

SPEC = PoolSpec(views=2, side=24, points=300, cells=24)


def same(one: ObjectViews, other: ObjectViews) -> bool:
    arrays = ("images", "depths", "masks", "surface", "surface_rgb")
    cameras = ("intrinsics", "cam_to_world")
    return (
        one.name == other.name
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
        and all(np.array_equal(getattr(one.cameras, name), getattr(other.cameras, name)) for name in cameras)
        and one.cameras.size == other.cameras.size
    )


def test_a_kept_object_is_the_made_one(tmp_path: Path) -> None:
    kept = dataclasses.replace(SPEC, cache=tmp_path)
    made = one_object(5, SPEC)
    assert made.images.shape == (2, 24, 24, 3)
    for _ in range(2):  # written, then read
        assert same(one_object(5, kept), made)
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    other = one_object(5, dataclasses.replace(kept, side=32))
    assert other.images.shape == (2, 32, 32, 3)


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    kept = dataclasses.replace(SPEC, cache=tmp_path)
    made = one_object(6, kept)
    file = next(tmp_path.rglob("*.npz"))
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    flipped = []
    for place in rng.integers(len(whole), size=40):
        flipped.append(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    for damaged in (b"", whole[: len(whole) // 2], b"not an archive"):
        file.write_bytes(damaged)
        assert same(one_object(6, kept), made)
        assert file.read_bytes() == whole
    for damaged in flipped:  # some bytes do not matter; none ends the run
        file.write_bytes(damaged)
        assert one_object(6, kept).images.shape == made.images.shape


def test_what_is_kept_is_read_and_anything_else_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dataclasses.replace(SPEC, cache=tmp_path)
    made = one_object(7, kept)
    file = next(tmp_path.rglob("*.npz"))
    with np.load(file) as archive:
        arrays = dict(archive)
    wrong = {
        "depths": np.full_like(arrays["depths"], np.nan),
        "images": arrays["images"][:1],
        "surface": np.zeros((9, 3)),
    }
    for name, value in wrong.items():
        np.savez(file, **{**arrays, name: value})
        assert same(one_object(7, kept), made)
    monkeypatch.setattr("nto3d.data.synthetic.pool._made", None)
    assert same(one_object(7, kept), made)


@pytest.mark.parametrize("workers", [1, 2])
def test_objects_come_in_the_order_of_their_seeds(workers: int) -> None:
    found = list(make_objects(range(20, 26), SPEC, workers))
    assert len(found) == 6
    assert all(same(item, one_object(seed, SPEC)) for seed, item in zip(range(20, 26), found, strict=True))
