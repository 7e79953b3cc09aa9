"""What an MCC is trained to make small (Wu et al. 2023, section 3.4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from nto3d.mcc.model import LEVELS

OCCUPANCY_WEIGHT, COLOR_WEIGHT = 1.0, 0.01  # of the means, in the published training


def mcc_loss(logits: Tensor, occupied: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Per-element losses; the caller weighs and averages them.

    Args:
        logits: [B, Q, 1 + 3 * 256], the network's answer. occupied: bool [B, Q]. rgb: uint8 [B, Q, 3]; what it says
            about places that are not occupied does not matter.

    Returns:
        Binary cross entropy of occupancy, [B, Q] float32. Cross entropy of the colour classes, [K, 3] float32, of the
        K occupied places in the order of `occupied`; K may be 0, of which a mean is not a number.
    """
    expected = (*occupied.shape, 1 + 3 * LEVELS)
    if logits.shape != expected or rgb.shape != (*occupied.shape, 3):
        raise ValueError(
            f"expected logits {list(expected)} and colours {[*occupied.shape, 3]}, got {list(logits.shape)} and "
            f"{list(rgb.shape)}"
        )
    # float32 also where the network runs in half precision; only the occupied places' classes are converted
    occupancy = functional.binary_cross_entropy_with_logits(logits[..., 0].float(), occupied.float(), reduction="none")
    classes = logits[occupied][:, 1:].float().reshape(-1, LEVELS)
    color = functional.cross_entropy(classes, rgb[occupied].long().reshape(-1), reduction="none")
    return occupancy, color.reshape(-1, 3)
