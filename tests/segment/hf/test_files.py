"""Folders of segmenters: what is missing, damaged or of another kind is one line, before anything is loaded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nto3d.errors import InputError
from nto3d.segment.hf.files import find_folder
from nto3d.segment.hf.segmenter import open_hf
from tests.helpers import truncate
from tests.segment.tiny_hf import library, write_hf

CPU = torch.device("cpu")
FETCH = (
    r"hf download facebook/sam-vit-base --local-dir weights/sam-vit-base, then segmenter\.model=weights/sam-vit-base"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hf(tmp_path_factory.mktemp("hf") / "sam", "SamModel")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(whole, tmp_path / "sam"))


def refused(model: str | None, words: str) -> None:
    """Already `find_folder` refuses it, which loads nothing, in one line."""
    with pytest.raises(InputError, match=words) as caught:
        find_folder(model)
    assert "\n" not in str(caught.value)


def test_a_folder_is_found(folder: Path) -> None:
    found = find_folder(str(folder))
    assert (found.path, found.kind, found.weights) == (folder, "sam", (folder / "model.safetensors",))
    assert found.processing == {}
    assert found.hash() == find_folder(str(folder)).hash()
    (folder / "preprocessor_config.json").write_text('{"image_mean": [1, 2, 3]}')
    assert find_folder(str(folder)).processing["image_mean"] == [1, 2, 3]
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text('{"image_processor": {"image_std": [1, 2, 3]}, "other": 1}')
    assert find_folder(str(folder)).processing == {"image_std": [1, 2, 3]}


def test_no_model_and_no_such_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library()  # its absence would be said first
    monkeypatch.chdir(tmp_path)
    refused(None, r"segmenter\.model is missing: .*hf download facebook/sam2\.1-hiera-tiny --local-dir weights/sam2")
    refused("gone", r"segmenter\.model: expected a folder, there is none at gone; .*hf download")
    refused("/far/away", r"expected a folder, there is none at /far/away")
    refused("weights/sam3", r"expected a folder, there is none at weights/sam3; .*hf download facebook/")
    refused(
        "nobody/has-this", r"nobody/has-this is neither a folder nor .* cache; .*hf download nobody/has-this --local"
    )
    (tmp_path / "empty").mkdir()
    refused("empty", r"expected a folder with config\.json, there is none in empty")


def test_a_name_of_the_hub_is_taken_from_the_local_cache(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def cached(name: str, file: str) -> str | None:
        return str(whole / file) if name == "owner/tiny-sam" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert find_folder("owner/tiny-sam").path == whole


def test_another_kind_and_malformed_files(folder: Path) -> None:
    config = folder / "config.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps(whole | {"model_type": "bert"}))
    refused(str(folder), r"config\.json: expected a model_type of sam, .*sam3_video, sam3, got 'bert'")
    config.write_text("[]")
    refused(str(folder), r"config\.json: expected JSON, an object, got list")
    config.write_text("{")
    refused(str(folder), r"config\.json: expected JSON, it is damaged")


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        (
            "vision_config",
            "num_hidden_layers",
            10**7,
            r"config\.vision_config\.num_hidden_layers: expected at most 1024",
        ),
        ("vision_config", "hidden_size", 10**9, r"config\.vision_config\.hidden_size: expected at most 16777216"),
        ("mask_decoder_config", "depths", [1, 1 << 90], r"mask_decoder_config\.depths: .* got a number of 91 bits"),
        ("more", "x", json.loads("[" * 60 + "]" * 60), "nested at most 32 deep"),
    ],
)
def test_sizes_that_no_network_has(folder: Path, part: str, name: str, value: object, words: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.setdefault(part, {})[name] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(str(folder), rf"sam/config\.json: .*{words}")


def test_weights_that_are_missing_pickled_or_damaged(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    truncate(file)
    refused(str(folder), r"model\.safetensors: expected safetensors, (it is damaged|the file is empty)")
    file.write_bytes(b"no weights")
    refused(str(folder), r"model\.safetensors: expected safetensors, (it is damaged|the file is empty)")
    file.unlink()
    refused(str(folder), rf"model\.safetensors: expected the weights, found no such file; fetch them with: {FETCH}")
    (folder / "pytorch_model.bin").write_bytes(b"")
    refused(str(folder), r"found no such file; pickled weights \(\.bin, \.pt\) are never loaded; fetch")

    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    (folder / "model-1.safetensors").write_bytes(whole)
    refused(str(folder), r"model-2\.safetensors: expected the weights, found no such file")
    (folder / "model-2.safetensors").write_bytes(whole)
    assert len(find_folder(str(folder)).weights) == 2
    index.write_text(json.dumps({"weight_map": {"a": "../sam/model-1.safetensors"}}))
    refused(str(folder), r"expected the weights, found no such file")
    index.write_text("{}")
    refused(str(folder), r"index\.json: expected a weight_map")


def test_a_missing_package_is_said_with_the_line_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(
        str(folder), r"segmenter=hf need the package transformers, which is not installed: pip install transformers=="
    )


def test_incomplete_weights_are_refused(folder: Path) -> None:
    """Where transformers would warn and go on with random numbers."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    kept = {name: value for name, value in weights.items() if "iou_prediction_head" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"expected all weights of SamModel, missing mask_decoder\.iou_.* and \d more"):
        open_hf(str(folder), CPU)
    save_file(weights | {"mask_decoder.iou_token.weight": torch.zeros(7, 7)}, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="cannot be loaded as SamModel"):
        open_hf(str(folder), CPU)


def test_a_processor_that_cannot_be(folder: Path) -> None:
    file = folder / "preprocessor_config.json"
    for content, words in (
        ({"size": {"longest_edge": 1024}}, r"size: expected 64 pixels as in config\.json, got \[1024\]"),
        ({"image_std": [0.2, 0, 0.2]}, "expected image_mean and image_std, positive, of 3 colours"),
        ({"image_mean": "grey"}, "cannot be understood"),
        ({"resample": 99}, "cannot be understood"),
    ):
        file.write_text(json.dumps(content))
        with pytest.raises(InputError, match=words):
            open_hf(str(folder), CPU)


def test_the_detector_of_sam_3_alone_takes_no_points(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "sam3", "Sam3Model")
    with pytest.raises(InputError, match=r"the detector of SAM 3 alone, which takes no points; .*facebook/sam3"):
        open_hf(str(folder), CPU)


def test_edgetam_without_timm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_hf(tmp_path / "edgetam", "EdgeTamModel")

    def refuse(*_: object, **__: object) -> None:
        raise ImportError("\nTimmWrapperModel requires the timm library but it was not found")

    monkeypatch.setattr(library().EdgeTamModel, "from_pretrained", refuse)
    with pytest.raises(InputError, match=r"EdgeTamModel needs the package timm, .*: pip install timm$"):
        open_hf(str(folder), CPU)
