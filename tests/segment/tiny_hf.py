"""Networks of the library transformers that answer in milliseconds: every kind, of random weights, saved to a folder.

They see 64 pixels a side, those of SAM 3 112 (its patches have 14).
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nto3d.weights.transformers_library import import_transformers

WIDTH = 32  # channels of embeddings and prompts
SIDE, SIDE_3 = 64, 112
WORDS = (
    *("<|startoftext|>", "<|endoftext|>", "ball</w>", "cup</w>", "l</w>", "p</w>", "ba", "cu", "bal"),
    *"abcdefghijklmnopqrstuvwxyz",
)


def library() -> ModuleType:
    """transformers; skips the test where it is not installed."""
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("these segmenters need the package transformers")
    return import_transformers("tests")


def _decoder() -> dict[str, Any]:
    return {
        **{"hidden_size": WIDTH, "mlp_dim": WIDTH, "num_attention_heads": 2},
        **{"iou_head_hidden_dim": 16, "iou_head_depth": 2},
    }


def _prompts(side: int, patch: int) -> dict[str, Any]:
    return {"hidden_size": WIDTH, "image_size": side, "patch_size": patch, "mask_input_channels": 8}


def sam(kind: str = "Sam") -> Any:
    """A tiny SamModel or SamHQModel."""
    made = library()
    vision = {
        **{"hidden_size": WIDTH, "output_channels": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 2},
        **{"image_size": SIDE, "patch_size": 8, "mlp_dim": WIDTH, "window_size": 3, "global_attn_indexes": [1]},
        **{"num_pos_feats": WIDTH // 2, "initializer_range": 0.1},
    }
    decoder = _decoder() | ({"vit_dim": WIDTH} if kind == "SamHQ" else {})
    config = getattr(made, f"{kind}Config")(
        vision_config=vision, prompt_encoder_config=_prompts(SIDE, 8), mask_decoder_config=decoder
    )
    return getattr(made, f"{kind}Model")(config)


def _pyramid(backbone: Any) -> dict[str, Any]:
    return {
        "backbone_config": backbone,
        "backbone_channel_list": [24, 16, 12, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": WIDTH,
    }


def sam2(kind: str = "Sam2") -> Any:
    """A tiny Sam2Model, or a Sam2VideoModel, which is what published checkpoints hold."""
    made = library()
    backbone = made.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 12, 16, 24],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
        mlp_ratio=1.0,
    )
    more: dict[str, Any] = {}
    if kind == "Sam2Video":
        small = {"hidden_size": WIDTH, "feed_forward_hidden_size": 16, "rope_feat_sizes": [4, 4], "num_layers": 1}
        more = {f"memory_attention_{key}": value for key, value in small.items()}
        more |= {"memory_encoder_hidden_size": WIDTH, "memory_encoder_output_channels": 16}
        more |= {"mask_downsampler_embed_dim": WIDTH, "memory_fuser_embed_dim": WIDTH}
        more |= {"memory_fuser_num_layers": 1, "memory_fuser_intermediate_dim": 16}
    vision = made.Sam2VisionConfig(**_pyramid(backbone))
    config = getattr(made, f"{kind}Config")(
        vision_config=vision, prompt_encoder_config=_prompts(SIDE, 16), mask_decoder_config=_decoder(), **more
    )
    return getattr(made, f"{kind}Model")(config)


def _register_small_backbone(made: ModuleType) -> type:
    """A backbone of convolutions in the place of the published EdgeTAM's, which needs the package timm."""
    from transformers.modeling_outputs import BaseModelOutput

    class SmallBackboneConfig(made.PreTrainedConfig):
        model_type = "nto3d_small_backbone"

    class SmallBackbone(made.PreTrainedModel):
        config_class = SmallBackboneConfig
        main_input_name = "pixel_values"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            widths = [3, 8, 12, 16, 24]
            self.stages = nn.ModuleList(
                nn.Conv2d(one, other, 3, stride=4 if one == 3 else 2, padding=1)
                for one, other in itertools.pairwise(widths)
            )
            self.post_init()

        def forward(self, pixel_values: Tensor, **_: Any) -> Any:
            maps, value = [], pixel_values
            for stage in self.stages:
                value = stage(value).relu()
                maps.append(value)
            return BaseModelOutput(last_hidden_state=maps)

    made.AutoConfig.register(SmallBackboneConfig.model_type, SmallBackboneConfig, exist_ok=True)
    made.AutoModel.register(SmallBackboneConfig, SmallBackbone, exist_ok=True)
    return SmallBackboneConfig


def edgetam() -> Any:
    """A tiny EdgeTamModel."""
    made = library()
    vision = made.EdgeTamVisionConfig(**_pyramid(_register_small_backbone(made)()))
    config = made.EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=_prompts(SIDE, 16), mask_decoder_config=_decoder()
    )
    return made.EdgeTamModel(config)


def _vision_3() -> Any:
    made = library()
    backbone = made.Sam3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE_3,
        pretrain_image_size=56,
        window_size=4,
        global_attn_indexes=[1],
        initializer_range=0.2,
    )
    sizes = [[32, 32], [16, 16], [8, 8]]
    return made.Sam3VisionConfig(backbone_config=backbone, fpn_hidden_size=WIDTH, backbone_feature_sizes=sizes)


def _tracker_parts() -> dict[str, Any]:
    return {
        "vision_config": _vision_3(),
        "prompt_encoder_config": _prompts(SIDE_3, 14),
        "mask_decoder_config": _decoder(),
    }


def sam3_tracker() -> Any:
    """A tiny Sam3TrackerModel."""
    made = library()
    return made.Sam3TrackerModel(made.Sam3TrackerConfig(**_tracker_parts()))


def sam3_config() -> Any:
    """Of a tiny Sam3Model, the detector that reads nouns."""
    made = library()
    text = {
        **{"vocab_size": len(WORDS), "hidden_size": WIDTH, "intermediate_size": WIDTH, "projection_dim": 16},
        **{"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32},
        **{"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "model_type": "clip_text_model"},
    }
    layers = {"hidden_size": WIDTH, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": WIDTH}
    return made.Sam3Config(
        vision_config=_vision_3(),
        text_config=text,
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=layers | {"num_queries": 5},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 2},
    )


def sam3() -> Any:
    """A tiny Sam3Model alone."""
    return library().Sam3Model(sam3_config())


def sam3_video() -> Any:
    """Detector and tracker in one, as the published weights of SAM 3 hold them."""
    made = library()
    tracker = made.Sam3TrackerVideoConfig(
        **_tracker_parts(),
        image_size=SIDE_3,
        memory_attention_hidden_size=WIDTH,
        memory_attention_feed_forward_hidden_size=16,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_attention_num_layers=1,
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_num_layers=1,
        memory_fuser_intermediate_dim=16,
    )
    return made.Sam3VideoModel(made.Sam3VideoConfig(detector_config=sam3_config(), tracker_config=tracker))


KINDS = {
    "SamModel": sam,
    "SamHQModel": lambda: sam("SamHQ"),
    "Sam2Model": sam2,
    "EdgeTamModel": edgetam,
    "Sam3TrackerModel": sam3_tracker,
}
VIDEO = {"Sam2VideoModel": lambda: sam2("Sam2Video"), "Sam3VideoModel": sam3_video, "Sam3Model": sam3}


def made(kind: str, seed: int = 0) -> Any:
    """A network of a kind (see KINDS and VIDEO); weights that start small or at zero are random as well."""
    torch.manual_seed(seed)
    network = (KINDS | VIDEO)[kind]().eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" not in name and "positional_embedding" not in name:
                weight.normal_(std=0.2)
    return network


def write_hf(folder: Path, kind: str, seed: int = 0) -> Path:
    """Save a network as the published ones are; returns the folder. SAM 3 has a tokenizer of two words beside it."""
    made(kind, seed).save_pretrained(folder)
    file = folder / "model.safetensors"
    if kind == "Sam3VideoModel":  # saving sets the prefix twice, the published file has it once
        weights = {
            key.replace("tracker_model.tracker_model.", "tracker_model."): w for key, w in load_file(file).items()
        }
        save_file(weights, file, metadata={"format": "pt"})
    if kind in ("Sam3VideoModel", "Sam3Model"):
        words = {word: number for number, word in enumerate(WORDS)}
        merges = [("b", "a"), ("c", "u"), ("ba", "l"), ("bal", "l</w>"), ("cu", "p</w>")]
        library().CLIPTokenizer(vocab=words, merges=merges).save_pretrained(folder)
    return folder
