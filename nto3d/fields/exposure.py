"""Exposure of the pictures: a gain and an offset a view and channel between the fields' colours and the pictures'."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DARKEST, BRIGHTEST = 0.5 / 255, 254.5 / 255  # colours beyond are clipped


class Exposure(nn.Module):
    """picture = gain * colour + offset for every view, learnt as corrections of an estimate.

    The mean of the corrections over the training views is taken off, so that the fields' own colours are those of the
    mean exposure (the gauge; with a mean of log gains and of offsets). Views that are not trained with keep the
    estimate.

    Args:
        gain, offset: [V, 3] the estimate, colours in 0..1 (`geometry.exposure.Exposures`).
        train: [V] bool, the views that are trained with.
    """

    start_gain: Tensor
    start_offset: Tensor
    train_views: Tensor

    def __init__(self, gain: Tensor, offset: Tensor, train: Tensor) -> None:
        super().__init__()
        self.register_buffer("start_gain", gain.float())
        self.register_buffer("start_offset", offset.float())
        self.register_buffer("train_views", train.bool())
        self.log_gain = nn.Parameter(torch.zeros_like(self.start_gain))  # beside the estimate's
        self.offset = nn.Parameter(torch.zeros_like(self.start_offset))

    def values(self) -> tuple[Tensor, Tensor]:
        """Gain and offset, [V, 3] each."""
        gain = self.start_gain * torch.exp(self._centered(self.log_gain))
        return gain, self.start_offset + self._centered(self.offset)

    def forward(self, rgb: Tensor, view: Tensor, picture: Tensor | None = None) -> Tensor:
        """Colours [R, 3] as the views [R] int64 picture them.

        Args:
            rgb: [R, 3] colours of the fields.
            picture: [R, 3] what the pictures have there. Where that is black or white it is clipped, and so is the
                result; elsewhere the result may lie outside of 0..1, which a loss can still pull back. None: clipped.
        """
        gain, offset = self.values()
        seen = gain[view] * rgb + offset[view]
        clipped = seen.clamp(0.0, 1.0)
        if picture is None:
            return clipped
        return torch.where((picture < DARKEST) | (picture > BRIGHTEST), clipped, seen)

    def departure(self) -> Tensor:
        """Mean square of the corrections, a scalar: how far the exposures are from the estimate."""
        return 0.5 * (self.log_gain.square().mean() + self.offset.square().mean())

    def _centered(self, values: Tensor) -> Tensor:
        """Corrections [V, 3] without their mean over the training views; 0 in other views."""
        trained = self.train_views[:, None].to(values.dtype)
        return trained * (values - (trained * values).sum(dim=0) / trained.sum())
