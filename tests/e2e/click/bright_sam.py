"""A SAM whose answer is known: its weights are set by hand so that it takes everything brighter than a level.

All of it is the package's own modules, and the checkpoint loads like a published one. Blocks of attention add nothing
(their last layers are zero), so that what the first convolution sees goes straight to the mask: channel 0 carries
brightness minus the level, channel 1 its negative, and layer norms keep the signs. Prompts change nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from nto3d.segment.sam.loading import PIXEL_MEAN, PIXEL_STD
from tests.segment.tiny_sam import TINY, random_sam

BRIGHT = replace(TINY, depth=2, mlp_width=32, patch=2, grid=32, window=8, decoder_mlp=32)


@torch.no_grad()
def write_bright_sam(path: Path, level: float, score: float = 0.9) -> Path:
    """Save a SAM that segments what is brighter than `level` (0..255, mean of the channels); returns the path.

    Args:
        score: the IoU that it predicts for each of its masks.
    """
    model = random_sam(0, BRIGHT)
    encoder, decoder = model.image_encoder, model.mask_decoder
    _first_convolution(encoder, level)
    for block in encoder.blocks:
        for layer in (block.attn.proj, block.mlp.lin2):
            _zero(layer)
    encoder.pos_embed.zero_()
    _pass_on(encoder.neck[0].weight[:, :, 0, 0])
    _pass_on(encoder.neck[2].weight[:, :, 1, 1], encoder.neck[2].weight)
    model.prompt_encoder.no_mask_embed.weight.zero_()
    _zero(model.prompt_encoder.mask_downscaling[-1])
    for layer in decoder.transformer.layers:
        _zero(layer.cross_attn_image_to_token.out_proj)
    for convolution in (decoder.output_upscaling[0], decoder.output_upscaling[3]):
        convolution.bias.zero_()
        convolution.weight.zero_()
        convolution.weight[0, 0] = convolution.weight[1, 1] = 1.0
    for head in decoder.output_hypernetworks_mlps:
        _zero(head.layers[-1])
        head.layers[-1].bias[:2] = torch.tensor([5.0, -5.0])
    _zero(decoder.iou_prediction_head.layers[-1])
    decoder.iou_prediction_head.layers[-1].bias.fill_(score)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return path


def _first_convolution(encoder: torch.nn.Module, level: float) -> None:
    """Channel 0: the mean of a patch (its pixels come normalised by SAM's mean and deviation) minus the level."""
    convolution = encoder.patch_embed.proj
    _zero(convolution)
    deviation = torch.tensor(PIXEL_STD)
    share = deviation / (3 * convolution.weight[0, 0].numel())  # undoes the normalisation
    convolution.weight[0] = share[:, None, None]
    convolution.bias[0] = sum(PIXEL_MEAN) / 3 - level
    convolution.weight[1], convolution.bias[1] = -convolution.weight[0], -convolution.bias[0]


def _pass_on(center: torch.Tensor, whole: torch.Tensor | None = None) -> None:
    """Makes a convolution (`whole`, of which `center` is the middle [out, in]) hand its channels on."""
    if whole is not None:
        whole.zero_()
    center.copy_(torch.eye(len(center)))


def _zero(layer: torch.nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
