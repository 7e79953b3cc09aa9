"""A SAM of the package segment-anything as a `SamModel` of transformers: the same weights under other names."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from nto3d.segment.sam.loading import DECODER_HEADS, Architecture
from tests.segment.tiny_hf import library

RENAMED = (
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_image_embedding.positional_embedding"),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(head|mlps\.\d)\.layers\.0\.", r"\1.proj_in."),
    (r"(head|mlps\.\d)\.layers\.1\.", r"\1.layers.0."),
    (r"(head|mlps\.\d)\.layers\.2\.", r"\1.proj_out."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
)


def write_converted(folder: Path, state: dict[str, Tensor], sizes: Architecture) -> Path:
    """Save the state dict of a package's SAM (with heads of three layers) as transformers does; returns the folder."""
    made = library()
    side = sizes.grid * sizes.patch
    vision = {
        **{"hidden_size": sizes.width, "output_channels": sizes.prompt_width, "num_hidden_layers": sizes.depth},
        **{"num_attention_heads": sizes.heads, "image_size": side, "patch_size": sizes.patch},
        **{"mlp_dim": sizes.mlp_width, "window_size": sizes.window, "num_pos_feats": sizes.prompt_width // 2},
        **{"global_attn_indexes": list(sizes.global_blocks)},
    }
    prompts = {"hidden_size": sizes.prompt_width, "image_size": side, "patch_size": sizes.patch}
    decoder = {
        **{"hidden_size": sizes.prompt_width, "mlp_dim": sizes.decoder_mlp, "num_attention_heads": DECODER_HEADS},
        **{"num_hidden_layers": sizes.decoder_depth, "attention_downsample_rate": sizes.decoder_shrink},
        **{"num_multimask_outputs": sizes.masks, "iou_head_hidden_dim": sizes.iou_width, "layer_norm_eps": 1e-5},
    }
    config = made.SamConfig(
        vision_config=vision,
        prompt_encoder_config=prompts | {"mask_input_channels": sizes.mask_channels},
        mask_decoder_config=decoder,
    )
    model = made.SamModel(config)
    renamed = {}
    for name, weight in state.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = weight
    renamed["prompt_encoder.shared_embedding.positional_embedding"] = renamed[
        "shared_image_embedding.positional_embedding"
    ]
    model.load_state_dict(renamed, strict=True)
    model.save_pretrained(folder)
    return folder
