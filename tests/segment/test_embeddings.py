"""The disk cache: gives back what was kept, and nothing that was made from something else or is damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nto3d.segment.embeddings import EmbeddingCache, image_hash

SHAPE = (4, 3, 3)
IMAGE = "a" * 64
FEATURES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def make(folder: Path, checkpoint: str = "c" * 64, precision: str = "float32") -> EmbeddingCache:
    return EmbeddingCache(folder, checkpoint, {"precision": precision})


def only_file(folder: Path) -> Path:
    (file,) = folder.rglob("*.npz")
    return file


def test_gives_back_what_was_kept(tmp_path: Path) -> None:
    assert make(tmp_path).load(IMAGE, SHAPE) is None
    make(tmp_path).store(IMAGE, FEATURES)
    kept = make(tmp_path).load(IMAGE, SHAPE)
    assert kept is not None
    assert kept.dtype == np.float32
    assert (kept == FEATURES).all()
    assert [file.name for file in only_file(tmp_path).parent.iterdir()] == [only_file(tmp_path).name]  # no leftovers
    assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_another_picture_checkpoint_setting_or_shape_is_absent(tmp_path: Path) -> None:
    make(tmp_path).store(IMAGE, FEATURES)
    assert make(tmp_path).load("b" * 64, SHAPE) is None
    assert make(tmp_path, checkpoint="d" * 64).load(IMAGE, SHAPE) is None
    assert make(tmp_path, precision="bfloat16").load(IMAGE, SHAPE) is None
    assert make(tmp_path).load(IMAGE, (4, 3, 4)) is None
    assert make(tmp_path).load(IMAGE, SHAPE) is not None


def test_the_whole_hashes_count_not_only_the_file_name(tmp_path: Path) -> None:
    make(tmp_path).store(IMAGE, FEATURES)
    assert make(tmp_path, checkpoint="c" * 63 + "d").load(IMAGE, SHAPE) is None
    assert make(tmp_path).load("a" * 63 + "b", SHAPE) is None
    make(tmp_path, precision="bfloat16").store(IMAGE, FEATURES + 1)  # takes the place of the other
    assert make(tmp_path).load(IMAGE, SHAPE) is None
    only_file(tmp_path)


def test_damage_anywhere_is_found_and_mended(tmp_path: Path) -> None:
    make(tmp_path).store(IMAGE, FEATURES)
    file = only_file(tmp_path)
    whole = file.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        kept = make(tmp_path).load(IMAGE, SHAPE)
        assert kept is None or (kept == FEATURES).all()  # some bytes, such as a date, mean nothing
    for content in (b"", b"no archive", whole[:100], whole[:-30]):
        file.write_bytes(content)
        assert make(tmp_path).load(IMAGE, SHAPE) is None
    make(tmp_path).store(IMAGE, FEATURES)
    assert make(tmp_path).load(IMAGE, SHAPE) is not None


def test_other_content_is_not_taken(tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.store(IMAGE, FEATURES)
    file = only_file(tmp_path)
    with np.load(file) as archive:
        key = archive["key"]
    for content in ({"key": key}, {"features": FEATURES}, {"key": key, "features": FEATURES.astype(np.float64)}):
        np.savez(file, **content)
        assert cache.load(IMAGE, SHAPE) is None
    np.savez(file, key=key, features=np.array([{"a": 1}], dtype=object))  # pickled: never unpacked
    assert cache.load(IMAGE, SHAPE) is None
    with file.open("wb") as stream:
        np.save(stream, FEATURES)
    assert cache.load(IMAGE, SHAPE) is None


def test_what_is_not_finite_is_made_again(tmp_path: Path) -> None:
    broken = FEATURES.copy()
    broken[0, 0, 0] = np.nan
    make(tmp_path).store(IMAGE, broken)
    assert make(tmp_path).load(IMAGE, SHAPE) is None


def test_an_embedding_of_several_parts(tmp_path: Path) -> None:
    parts = {"fine": FEATURES, "coarse": FEATURES[:2, :1]}
    shapes = {name: part.shape for name, part in parts.items()}
    make(tmp_path).store_all(IMAGE, parts)
    kept = make(tmp_path).load_all(IMAGE, shapes)
    assert kept is not None
    assert all((kept[name] == part).all() for name, part in parts.items())
    assert make(tmp_path).load_all(IMAGE, {**shapes, "more": (1,)}) is None
    assert make(tmp_path).load_all(IMAGE, {**shapes, "coarse": (2, 1, 4)}) is None
    assert make(tmp_path).load(IMAGE, SHAPE) is None


def test_works_on_without_a_folder_to_write_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "blocked").touch()
    cache = make(tmp_path / "blocked" / "sam")
    with caplog.at_level(logging.WARNING, logger="nto3d"):
        cache.store(IMAGE, FEATURES)
        cache.store("b" * 64, FEATURES)
        assert cache.load(IMAGE, SHAPE) is None
    assert len(caplog.records) == 1
    assert "embeddings are not kept" in caplog.text


def test_every_pixel_and_the_shape_count() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    other = image.copy()
    other[5, 7, 2] ^= 1
    hashes = {image_hash(image), image_hash(other), image_hash(image.reshape(8, 6, 3)), image_hash(image[:, ::-1])}
    assert len(hashes) == 4
    assert image_hash(image) == image_hash(image.copy(order="F"))
