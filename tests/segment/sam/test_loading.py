"""Loading SAM: one function for every size, from the shapes alone; wrong files are one line."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.errors import InputError
from nto3d.segment.sam import published as sam_weights
from nto3d.segment.sam.library import sam_modeling
from nto3d.segment.sam.loading import Architecture, build_sam, infer_architecture, load_sam, open_sam
from nto3d.segment.sam.published import find_checkpoint, published_name
from nto3d.types import Prompts
from tests.helpers import ROOT
from tests.segment.tiny_sam import TINY, VIT_B, random_sam, write_sam

VIT_L = dataclasses.replace(VIT_B, width=1024, depth=24, heads=16, mlp_width=4096, global_blocks=(5, 11, 17, 23))
VIT_H = dataclasses.replace(VIT_B, width=1280, depth=32, heads=16, mlp_width=5120, global_blocks=(7, 15, 23, 31))


def test_loads_what_was_saved(tmp_path: Path) -> None:
    model = load_sam(write_sam(tmp_path / "tiny.pth", seed=3), "cpu")
    expected = random_sam(seed=3)
    assert set(model.state_dict()) == set(expected.state_dict())
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert torch.equal(model.pixel_mean, expected.pixel_mean)
    assert torch.equal(model.pixel_std, expected.pixel_std)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.image_encoder(picture), expected.image_encoder(picture))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_encoder.blocks.0.attn.rel_pos_h", torch.zeros(5, 64), "heads: expected 1 to 8192, got 0"),
        ("image_encoder.patch_embed.proj.weight", torch.zeros(32, 3, 2000, 1), "patch: expected 1 to 1024, got 2000"),
        (
            "mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight",
            torch.zeros(64, 32),
            "decoder_shrink: expected 1 to 8192, got 0",
        ),
        ("image_encoder.pos_embed", torch.full((1, 8, 8, 32), torch.nan), "pos_embed: expected finite numbers"),
        ("image_encoder.pos_embed", torch.zeros(1, 8, 8, 32, dtype=torch.int64), "expected finite numbers"),
        ("image_encoder.pos_embed", torch.zeros(1).expand(1, 8, 8, 10**10), "over 4 bytes"),
        (3, torch.zeros(1), "a dict of tensors"),
    ],
)
def test_sizes_and_numbers_that_no_sam_has_are_one_line(tmp_path: Path, name: str, value: Tensor, words: str) -> None:
    torch.save({**random_sam().state_dict(), name: value}, tmp_path / "sam.pth")
    with pytest.raises(InputError, match=rf"sam\.pth: expected .*{words}") as caught:
        load_sam(tmp_path / "sam.pth", "cpu")
    assert "\n" not in str(caught.value)


def test_more_blocks_than_any_sam_has_are_not_made(tmp_path: Path) -> None:
    blocks = {f"image_encoder.blocks.{number}.attn.rel_pos_h": torch.zeros(5, 16) for number in range(300)}
    torch.save({**random_sam().state_dict(), **blocks}, tmp_path / "sam.pth")
    with pytest.raises(InputError, match="depth: expected 1 to 256, got 300"):
        load_sam(tmp_path / "sam.pth", "cpu")


@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        dataclasses.replace(TINY, depth=1, global_blocks=(), window=4, heads=4, mlp_width=48),
        dataclasses.replace(TINY, global_blocks=(0, 1, 2), window=8, patch=4, masks=2, iou_depth=2, decoder_depth=1),
        dataclasses.replace(TINY, grid=4, prompt_width=64, decoder_shrink=4, mask_channels=8, iou_width=16),
        VIT_B,
        VIT_L,
        VIT_H,
    ],
    ids=["tiny", "windows", "global", "small", "vit_b", "vit_l", "vit_h"],
)
def test_sizes_are_read_off_the_shapes(sizes: Architecture) -> None:
    with torch.device("meta"):  # shapes only: vit_h would take 2.6 GB
        model = build_sam(sam_modeling(), sizes)
    assert infer_architecture(model.state_dict()) == sizes


@pytest.mark.parametrize(("sizes", "millions"), [(VIT_B, 93.7), (VIT_L, 312.3), (VIT_H, 641.1)])
def test_published_sizes_have_the_published_number_of_parameters(sizes: Architecture, millions: float) -> None:
    with torch.device("meta"):
        model = build_sam(sam_modeling(), sizes)
    count = sum(weight.numel() for weight in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_imports_without_torchvision_and_leaves_the_package_alone() -> None:
    code = """
import sys
sys.modules["torchvision"] = None  # its import fails, as it does beside another build of torch
from nto3d.segment.sam.library import sam_modeling
assert sam_modeling() is sam_modeling()
assert sam_modeling().Sam.mask_threshold == 0.0
assert "segment_anything" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in [name for name in sys.modules if name.startswith("nto3d_segment_anything")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"segment-anything, which is not installed: pip install segment-anything"):
        sam_modeling()


def _without(key: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in random_sam().state_dict().items() if name != key}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no weights", "cut short or foreign"),
        (b"", "the file is empty"),
        ([1, 2], "a dict of tensors"),
        ({"model": {"a": torch.zeros(1)}}, "a dict of tensors"),
        ({}, "patch_embed.proj.weight is missing"),
        ({"image_encoder.patch_embed.proj.weight": torch.zeros(3)}, "expected 4 dimensions"),
        (_without("image_encoder.neck.2.weight"), "image_encoder.neck.2.weight"),
        (_without("image_encoder.blocks.1.attn.rel_pos_h"), "rel_pos_h is missing"),
        (_without("mask_decoder.iou_token.weight"), "mask_decoder.iou_token.weight"),
        ({**random_sam().state_dict(), "more": torch.zeros(1)}, "more"),
        ({**random_sam().state_dict(), "mask_decoder.iou_token.weight": torch.zeros(1, 3)}, "iou_token"),
        ({**random_sam().state_dict(), "image_encoder.blocks.0.attn.rel_pos_h": torch.zeros(9, 16)}, "windows of one"),
        ({**random_sam().state_dict(), "image_encoder.neck.0.weight": torch.zeros(3, 32, 1, 1)}, "SAM"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "wrong.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError) as caught:
        load_sam(path, "cpu")
    message = str(caught.value)
    assert message.startswith(f"{path}: expected")
    assert words in message
    assert len(message) < 400


def test_damage_anywhere_is_found(tmp_path: Path) -> None:
    content = write_sam(tmp_path / "tiny.pth").read_bytes()
    broken = tmp_path / "broken.pth"
    for place in range(200, len(content), len(content) // 25):
        broken.write_bytes(content[:place])
        with pytest.raises(InputError, match=r"broken\.pth: expected weights of SAM"):
            load_sam(broken, "cpu")
    middle = len(content) // 2
    broken.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    with pytest.raises(InputError, match="check sum"):
        load_sam(broken, "cpu")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match=r"trap\.pth"):
        load_sam(tmp_path / "trap.pth", "cpu")
    assert not (tmp_path / "sprung").exists()


def test_where_checkpoints_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, here = tmp_path / "weights", tmp_path / "here"
    weights.mkdir()
    here.mkdir()
    monkeypatch.setattr(sam_weights, "WEIGHTS_FOLDER", weights)
    monkeypatch.chdir(here)
    for name in (None, ""):
        with pytest.raises(InputError, match=r"segmenter\.checkpoint is missing.*fetch_weights\.py sam_vit_b_01ec64"):
            find_checkpoint(name)
    with pytest.raises(InputError, match=r"own\.pth is neither in the current folder nor in .*weights$"):
        find_checkpoint("own.pth")
    with pytest.raises(InputError, match=r"vit_h is neither.*fetch_weights\.py sam_vit_h_4b8939$"):
        find_checkpoint("vit_h")
    with pytest.raises(InputError, match=r"deep/sam_vit_l_0b3195\.pth is no file"):
        find_checkpoint("deep/sam_vit_l_0b3195.pth")
    (weights / "own.pth").touch()
    assert find_checkpoint("own.pth") == weights / "own.pth"
    (here / "own.pth").touch()
    assert find_checkpoint("own.pth").resolve() == here / "own.pth"
    assert find_checkpoint(str(weights / "own.pth")) == weights / "own.pth"
    (weights / "sam_vit_h_4b8939.pth").touch()
    for name in ("vit_h", "sam_vit_h", "sam_vit_h_4b8939", "sam_vit_h_4b8939.pth"):
        assert find_checkpoint(name) == weights / "sam_vit_h_4b8939.pth"


def test_the_folder_lies_beside_train_py() -> None:
    assert (sam_weights.WEIGHTS_FOLDER.parent / "train.py").is_file()
    assert published_name("vit_b") == "sam_vit_b_01ec64"
    assert published_name("vit_x") is None


@pytest.mark.slow
def test_vit_b_at_1024_pixels(tmp_path: Path) -> None:
    path = write_sam(tmp_path / "vit_b.pth", sizes=VIT_B)
    image = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    segmenter = open_sam(str(path), device, cache=tmp_path / "cache")
    loaded, busy = time.perf_counter(), time.process_time()
    embedded = segmenter.embed(image)
    done, busy = time.perf_counter(), time.process_time() - busy
    mask = segmenter.segment(embedded, Prompts(2, np.array([[512.0, 300.0]]), np.array([1])))
    answered = time.perf_counter()
    assert embedded.features.shape == (256, 64, 64)
    assert embedded.extent == (48.0, 64.0)
    assert mask.pixels.shape == (768, 1024)
    assert 0.0 <= mask.score <= 1.0
    again = open_sam(str(path), device, cache=tmp_path / "cache").embed(image)  # from the cache
    assert torch.equal(again.features, embedded.features)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    gpu = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    print(
        f"\nvit_b on {device}: load {loaded - started:.1f} s, embed {done - loaded:.1f} s ({busy:.1f} s of CPU), "
        f"three passes {answered - done:.2f} s, peak memory {peak:.1f} GB (GPU {gpu:.1f} GB)"
    )
