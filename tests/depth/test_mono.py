"""Depth from a network for single pictures; the networks here are tiny and random."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nto3d.depth.base import Depth
from nto3d.depth.mono import MonoDepth, to_picture
from nto3d.errors import InputError
from nto3d.weights.transformers_library import import_transformers

INTRINSICS = np.array([[40.0, 0.0, 25.0], [0.0, 40.0, 18.0], [0.0, 0.0, 1.0]])
PICTURE = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("the depth models need the package transformers")
    return import_transformers("tests")  # not directly: beside a torchvision that does not load, it has to be hidden


def with_random_weights(network: torch.nn.Module) -> Any:
    """The network with weights so large that its answer depends on the picture, and no two pixels are alike."""
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        weight.data.normal_(0, 0.3, generator=generator)
    return network.eval()


def zoe_folder(transformers: ModuleType, folder: Path, **processing: Any) -> Path:
    backbone = transformers.BeitConfig(
        image_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        num_relative_features=4,
        bottleneck_features=8,
        num_attractors=[2, 2, 2, 1],
        bin_embedding_dim=8,
        bin_configurations=[{"n_bins": 8, "min_depth": 0.5, "max_depth": 10.0}],
    )
    with_random_weights(transformers.ZoeDepthForDepthEstimation(config)).save_pretrained(folder)
    options = {"size": {"height": 64, "width": 96}, "ensure_multiple_of": 32, **processing}
    transformers.ZoeDepthImageProcessorPil(**options).save_pretrained(folder)
    return folder


def anything_folder(transformers: ModuleType, folder: Path, kind: str) -> Path:
    backbone = transformers.Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=1,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20,
    )
    with_random_weights(transformers.DepthAnythingForDepthEstimation(config)).save_pretrained(folder)
    size = {"height": 42, "width": 56}
    transformers.DPTImageProcessorPil(size=size, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def zoe(transformers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoe_folder(transformers, tmp_path_factory.mktemp("zoe"))


def copy_of(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_the_depth_of_a_picture_of_odd_sides(zoe: Path) -> None:
    source = MonoDepth(str(zoe))
    depth = source.depth(PICTURE)
    assert depth.shape == (37, 51)
    assert depth.std() > 1e-3
    torch.testing.assert_close(MonoDepth(str(zoe)).depth(PICTURE), depth, rtol=0, atol=0)
    assert not torch.allclose(source.depth(255 - PICTURE), depth, atol=1e-3)


def test_points_through_the_protocol(zoe: Path) -> None:
    model = MonoDepth(str(zoe), torch.device("cpu"))
    source: Depth = model
    found = source.point_map(PICTURE, INTRINSICS)
    z = model.depth(PICTURE).numpy()
    assert found.size == (37, 51)
    np.testing.assert_array_equal(found.valid, z > 0)
    assert found.valid.mean() > 0.5
    row, column = np.mgrid[0:37, 0:51]
    expected = np.stack([(column - 25) * z / 40, (row - 18) * z / 40, z], axis=-1)
    np.testing.assert_allclose(found.points[found.valid], expected[found.valid], atol=1e-5)


def test_the_answer_lies_on_the_picture_it_came_from(transformers: ModuleType, zoe: Path) -> None:
    """Step by step with other means: pad by reflection, resize with corners aligned, run, resize back, cut."""
    vertical, horizontal = int(np.sqrt(37 / 2) * 3), int(np.sqrt(51 / 2) * 3)
    padded = np.pad(PICTURE / 255.0, ((vertical, vertical), (horizontal, horizontal), (0, 0)), mode="reflect")
    values = torch.from_numpy(padded.transpose(2, 0, 1)[None]).float()
    # 61 x 81 pixels to about 64 x 96 at one scale for both sides: 64 / 61 is nearer to 1, so 64 x 85 -> 64 x 96
    values = torch.nn.functional.interpolate(values, size=(64, 96), mode="bilinear", align_corners=True)
    network = transformers.ZoeDepthForDepthEstimation.from_pretrained(zoe).eval()
    with torch.no_grad():
        answer = network(pixel_values=(values - 0.5) / 0.5).predicted_depth
    whole = torch.nn.functional.interpolate(answer[None], size=padded.shape[:2], mode="bicubic")[0, 0]
    expected = whole[vertical:-vertical, horizontal:-horizontal]
    torch.testing.assert_close(MonoDepth(str(zoe)).depth(PICTURE), expected, rtol=1e-4, atol=1e-4)


def test_a_processor_without_padding_cuts_nothing(transformers: ModuleType, tmp_path: Path) -> None:
    source = MonoDepth(str(zoe_folder(transformers, tmp_path, do_pad=False, keep_aspect_ratio=False)))
    small = PICTURE[:32, :32]
    values = torch.from_numpy(small.transpose(2, 0, 1)[None] / 255.0).float()
    values = torch.nn.functional.interpolate(values, size=(64, 96), mode="bilinear", align_corners=True)
    with torch.no_grad():
        answer = source._network(pixel_values=(values - 0.5) / 0.5).predicted_depth
    expected = torch.nn.functional.interpolate(answer[None], size=(32, 32), mode="bicubic")[0, 0]
    torch.testing.assert_close(source.depth(small), expected, rtol=1e-4, atol=1e-4)


def test_a_ramp_stays_in_place_when_it_grows() -> None:
    ramp = torch.arange(8.0).expand(1, 6, 8)  # value = column of the answer
    # without padding, columns 16 pixels wide become 2 each: pixel x lies at (x + 0.5) / 2 - 0.5
    found = to_picture(ramp, (12, 16), padded=False)
    expected = (torch.arange(16.0) + 0.5) / 2 - 0.5
    # torch's cubic (a = -0.75) leaves a straight line by up to 0.047 there; half a pixel off would be 0.25
    torch.testing.assert_close(found[0, :, 4:12], expected[4:12].expand(12, 8), rtol=0, atol=0.05)
    # a side of 8 is padded by int(3 * sqrt(4)) = 6 pixels: 20 in all; one of 18 by 9 pixels: 36
    found = to_picture(torch.arange(20.0).expand(1, 36, 20), (18, 8), padded=True)
    torch.testing.assert_close(found[0], torch.arange(6.0, 14.0).expand(18, 8))


def test_pictures_of_a_few_pixels(zoe: Path) -> None:
    source = MonoDepth(str(zoe))
    for height, width in ((1, 1), (2, 3), (5, 40)):
        assert source.depth(PICTURE[:height, :width]).shape == (height, width)


def test_metric_depth_anything_is_taken_and_relative_is_refused(transformers: ModuleType, tmp_path: Path) -> None:
    source = MonoDepth(str(anything_folder(transformers, tmp_path / "metric", "metric")))
    found = source.point_map(PICTURE, INTRINSICS)
    assert found.size == (37, 51)
    assert found.valid.mean() > 0.9
    inside = found.points[found.valid][:, 2]
    assert inside.max() < 25  # 20 m times a sigmoid; bicubic interpolation may overshoot
    assert inside.std() > 1e-3
    relative = anything_folder(transformers, tmp_path / "relative", "relative")
    with pytest.raises(InputError, match=r"metric depth .* got depth_anything with depth_estimation_type relative"):
        MonoDepth(str(relative))


def test_glpn_is_taken_but_not_a_picture_that_it_shrinks_to_nothing(transformers: ModuleType, tmp_path: Path) -> None:
    config = transformers.GLPNConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[4, 4, 8, 8], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=4
    )
    with_random_weights(transformers.GLPNForDepthEstimation(config)).save_pretrained(tmp_path)
    transformers.GLPNImageProcessorPil().save_pretrained(tmp_path)  # sides become multiples of 32, rounded down
    source = MonoDepth(str(tmp_path))
    depth = source.depth(PICTURE)
    assert depth.shape == (37, 51)
    assert 0 < depth.min() < depth.max() < 10.5  # 10 m times a sigmoid
    with pytest.raises(InputError, match="cannot take a picture of 51 x 20 pixels"):
        source.depth(PICTURE[:20])


def test_depth_above_0_nowhere_is_refused(zoe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = MonoDepth(str(zoe))
    monkeypatch.setattr(source, "depth", lambda image: torch.full(image.shape[:2], -1.0))
    with pytest.raises(InputError, match="expected depths above 0, got none in the whole picture"):
        source.point_map(PICTURE, INTRINSICS)


@pytest.mark.parametrize("config", ["DPTConfig", "BertConfig", "DepthProConfig"])
def test_networks_of_another_kind_are_refused(transformers: ModuleType, tmp_path: Path, config: str) -> None:
    kind = getattr(transformers, config)
    kind().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"expected a network of metric depth .*, got {kind.model_type}$"):
        MonoDepth(str(tmp_path))


def test_folders_without_a_model_are_refused(transformers: ModuleType, zoe: Path, tmp_path: Path) -> None:
    for gone in (str(tmp_path / "gone"), "./gone", str(zoe / "config.json")):
        with pytest.raises(InputError, match=r"expected a folder with a model of transformers, found no such folder"):
            MonoDepth(gone)
    with pytest.raises(InputError, match=r"expected a folder with config\.json, there is none"):
        MonoDepth(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="expected a depth model in this folder, it cannot be loaded"):
        MonoDepth(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such kind"}))
    with pytest.raises(InputError, match="expected a depth model in this folder, it cannot be loaded"):
        MonoDepth(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json"])
def test_folders_without_a_part_are_refused(zoe: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(zoe, tmp_path / "zoe")
    (folder / name).unlink()
    with pytest.raises(InputError, match="expected a depth model in this folder, it cannot be loaded") as caught:
        MonoDepth(str(folder))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_weights_are_refused(zoe: Path, tmp_path: Path) -> None:
    """Where transformers would warn and go on with random numbers."""
    folder = copy_of(zoe, tmp_path / "zoe")
    file = folder / "model.safetensors"
    weights = load_file(file)
    names = sorted(name for name in weights if name.startswith("metric_head"))
    assert len(names) > 5
    kept = {name: value for name, value in weights.items() if name not in names}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=f"all weights of ZoeDepthForDepthEstimation, missing .* {len(names) - 3} more"
    ):
        MonoDepth(str(folder))
    save_file({**weights, names[0]: torch.zeros(3, 2, 1)}, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="it cannot be loaded"):
        MonoDepth(str(folder))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="it cannot be loaded"):
        MonoDepth(str(folder))


def test_only_a_folder_is_loaded_without_the_network(
    transformers: ModuleType, zoe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def refuse(name: str, **options: Any) -> None:
        asked.append((name, options["local_files_only"]))
        raise OSError("no connection\nand a second line")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(InputError, match=r"a folder or a model on the Hugging Face hub, .*\(no connection\)$"):
        MonoDepth("owner/some-depth")
    with pytest.raises(InputError, match="a depth model in this folder"):
        MonoDepth(str(zoe))
    assert asked == [("owner/some-depth", False), (str(zoe), True)]


def test_loading_says_nothing_and_leaves_the_library_as_it_was(
    transformers: ModuleType, zoe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    MonoDepth(str(zoe))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
