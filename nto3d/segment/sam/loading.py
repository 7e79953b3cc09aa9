"""SAM from a checkpoint: the architecture is read off the shapes of the weights, so every size loads the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nto3d.errors import InputError
from nto3d.parsers.tensors import is_state, read_torch
from nto3d.segment.embeddings import EmbeddingCache
from nto3d.segment.sam.library import sam_modeling
from nto3d.segment.sam.published import file_hash, find_checkpoint
from nto3d.segment.sam.segmenter import SamSegmenter

# What shapes do not tell is the same in every published SAM (segment_anything/build_sam.py)
DECODER_HEADS = 8
NORM_EPS = 1e-6
PIXEL_MEAN = (123.675, 116.28, 103.53)  # of RGB in 0..255
PIXEL_STD = (58.395, 57.12, 57.375)
# Of a size, so that nothing huge is made of a file that is none; the largest SAM is 1280 wide and 32 blocks deep
MOST = {
    **dict.fromkeys(("width", "prompt_width", "iou_width", "heads", "decoder_shrink"), 8192),
    **dict.fromkeys(("mlp_width", "decoder_mlp"), 65536),
    **dict.fromkeys(("patch", "grid", "window", "mask_channels", "masks"), 1024),
    **dict.fromkeys(("depth", "decoder_depth", "iou_depth"), 256),
}
_ENCODER, _PROMPT, _DECODER = "image_encoder", "prompt_encoder", "mask_decoder"


@dataclass(frozen=True)
class Architecture:
    """The sizes of a SAM.

    Attributes:
        width, depth, heads, mlp_width: of the picture encoder, a vision transformer. patch: pixels a token.
        grid: tokens along a side; the encoder sees grid * patch pixels. window: tokens along a side of an attention
            window. global_blocks: those of the blocks that attend to all tokens.
        prompt_width: channels of embeddings and prompts. mask_channels: hidden channels of the mask input.
        decoder_depth, decoder_mlp, decoder_shrink: the decoder's layers, their MLPs' width, and by what their attention
            is narrower. masks: how many masks answer an ambiguous prompt. iou_depth, iou_width: the MLP that scores.

    Raises:
        ValueError: one is less than 1 or more than `MOST`.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    patch: int
    grid: int
    window: int
    global_blocks: tuple[int, ...]
    prompt_width: int
    mask_channels: int
    decoder_depth: int
    decoder_mlp: int
    decoder_shrink: int
    masks: int
    iou_depth: int
    iou_width: int

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected 1 to {most}, got {getattr(self, name)}")


def open_sam(
    checkpoint: str | None, device: torch.device, dtype: torch.dtype = torch.float32, cache: Path | None = None
) -> SamSegmenter:
    """The segmenter of a checkpoint.

    Args:
        checkpoint: as `find_checkpoint` takes it.
        device, dtype: where it runs, and the arithmetic of the picture encoder.
        cache: folder for embeddings, or None to keep none.

    Raises:
        InputError: there is no such checkpoint, it is no SAM's, or the package segment-anything is missing.
    """
    path = find_checkpoint(checkpoint)
    model = load_sam(path, device)
    kept = None
    if cache is not None:
        kept = EmbeddingCache(cache, file_hash(path), {"precision": str(dtype).removeprefix("torch.")})
    return SamSegmenter(model, device, dtype, kept)


def load_sam(path: Path, device: torch.device | str) -> Any:
    """The `segment_anything.modeling.Sam` of a checkpoint, ready to answer (eval, no gradients).

    Raises:
        InputError: the file cannot be read or is no state dict of a SAM.
    """
    modeling = sam_modeling()
    state = _read(path)
    try:
        architecture = infer_architecture(state)
        _check_numbers(state)
        with torch.device("meta"):  # no memory and no random numbers for weights that are about to be replaced
            model = build_sam(modeling, architecture)
        model.load_state_dict(state, strict=True, assign=True)
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError) as error:
        # The package checks sizes by assertions
        reason = str(error).splitlines()[-1].strip()[:160] if str(error) else type(error).__name__
        raise InputError(f"{path}: expected the weights of a SAM of the package segment-anything; {reason}") from error
    for name, value in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):  # buffers that no checkpoint holds
        model.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)
    return model.float().requires_grad_(False).eval().to(device)


def _check_numbers(state: Mapping[str, Tensor]) -> None:
    """Whether all weights are finite.

    Raises:
        ValueError: one is not.
    """
    for name, value in state.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name}: expected finite numbers, got {value.dtype} with others")


def infer_architecture(state: Mapping[str, Tensor]) -> Architecture:
    """The sizes of the SAM whose state dict this is.

    Raises:
        ValueError: a weight that shows a size is missing, or has another shape than a SAM's.
    """

    def shape(key: str, dimensions: int) -> tuple[int, ...]:
        if key not in state:
            raise ValueError(f"{key} is missing")
        if state[key].ndim != dimensions or 0 in state[key].shape:
            raise ValueError(f"{key}: expected {dimensions} dimensions, got shape {tuple(state[key].shape)}")
        return tuple(state[key].shape)

    def count(prefix: str) -> int:
        numbers = {key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)}
        return len(numbers)

    width, _, patch, _ = shape(f"{_ENCODER}.patch_embed.proj.weight", 4)
    _, grid, _, _ = shape(f"{_ENCODER}.pos_embed", 4)
    depth = count(f"{_ENCODER}.blocks.")
    relative = [shape(f"{_ENCODER}.blocks.{block}.attn.rel_pos_h", 2) for block in range(depth)]
    if not relative:
        raise ValueError(f"{_ENCODER}.blocks are missing")
    reach = [(rows + 1) // 2 for rows, _ in relative]  # a window of n tokens has 2 n - 1 relative positions
    windows = sorted({size for size in reach if size != grid})
    if len(windows) > 1:
        raise ValueError(f"expected attention windows of one size, got {windows} tokens")
    layer = f"{_DECODER}.transformer.layers.0"
    prompt_width = shape(f"{_ENCODER}.neck.0.weight", 4)[0]
    narrow = shape(f"{layer}.cross_attn_token_to_image.q_proj.weight", 2)[0]
    return Architecture(
        width=width,
        depth=depth,
        heads=width // relative[0][1],
        mlp_width=shape(f"{_ENCODER}.blocks.0.mlp.lin1.weight", 2)[0],
        patch=patch,
        grid=grid,
        window=windows[0] if windows else grid,
        global_blocks=tuple(block for block, size in enumerate(reach) if size == grid),
        prompt_width=prompt_width,
        mask_channels=shape(f"{_PROMPT}.mask_downscaling.3.weight", 4)[0],
        decoder_depth=count(f"{_DECODER}.transformer.layers."),
        decoder_mlp=shape(f"{layer}.mlp.lin1.weight", 2)[0],
        decoder_shrink=prompt_width // narrow,
        masks=shape(f"{_DECODER}.mask_tokens.weight", 2)[0] - 1,
        iou_depth=count(f"{_DECODER}.iou_prediction_head.layers."),
        iou_width=shape(f"{_DECODER}.iou_prediction_head.layers.0.weight", 2)[0],
    )


def build_sam(modeling: Any, sizes: Architecture) -> Any:
    """A SAM with fresh weights, from the modules of `segment_anything.modeling`."""
    encoder = modeling.ImageEncoderViT(
        depth=sizes.depth,
        embed_dim=sizes.width,
        img_size=sizes.grid * sizes.patch,
        mlp_ratio=Fraction(sizes.mlp_width, sizes.width),  # exact, the package multiplies it out again
        norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
        num_heads=sizes.heads,
        patch_size=sizes.patch,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=sizes.global_blocks,
        window_size=sizes.window,
        out_chans=sizes.prompt_width,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=sizes.prompt_width,
        image_embedding_size=(sizes.grid, sizes.grid),
        input_image_size=(sizes.grid * sizes.patch, sizes.grid * sizes.patch),
        mask_in_chans=sizes.mask_channels,
    )
    decoder = modeling.MaskDecoder(
        num_multimask_outputs=sizes.masks,
        transformer=modeling.TwoWayTransformer(
            depth=sizes.decoder_depth,
            embedding_dim=sizes.prompt_width,
            mlp_dim=sizes.decoder_mlp,
            num_heads=DECODER_HEADS,
            attention_downsample_rate=sizes.decoder_shrink,
        ),
        transformer_dim=sizes.prompt_width,
        iou_head_depth=sizes.iou_depth,
        iou_head_hidden_dim=sizes.iou_width,
    )
    return modeling.Sam(encoder, prompts, decoder, list(PIXEL_MEAN), list(PIXEL_STD))


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU; nothing in the file is executed."""
    if not path.is_file():
        raise InputError(f"{path}: expected weights of SAM, found no such file")
    state = read_torch(path, "weights of SAM", legacy=True)
    if not is_state(state):
        raise InputError(f"{path}: expected the weights of a SAM, a dict of tensors, got another file of torch")
    return state
