"""How a network that was trained on prompts is asked: three cascaded passes, whatever network it is.

Segment Anything and what came after it take points, a box and the logits of an earlier mask alike. What each pass gets
to see and which of several candidates is taken stands here, once; networks differ behind `PromptedNetwork`.

They all work in a square of their own, the frame: the picture is resized to lie in its upper left part, or to fill it.
Prompts come and masks go in the picture's own pixels. In both, integer coordinates are pixel centres.

Letters: H W picture, S side of the frame, L pixels along a side of the low-res logits that are answered and taken as a
mask prompt, K candidates that answer an ambiguous prompt, P points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.types import BoolArray, FloatArray, Mask, Prompts

BOX_MARGIN = 0.05  # of the mask's width and height, on each side of the box around it
LEAST_MARGIN = 1.0  # low-res pixels
PRIOR_LIMIT = 10.0  # logits: what SAM itself answers where it is sure

Features = TypeVar("Features", contravariant=True)


@dataclass(frozen=True)
class Frame:
    """Where a picture lies in the square that a network sees.

    Attributes:
        size: (H, W) of the picture. input_size: its height and width in the frame; the rest, at the right and at the
            bottom, is padding. side: S.
    """

    size: tuple[int, int]
    input_size: tuple[int, int]
    side: int

    @classmethod
    def padded(cls, size: tuple[int, int], side: int) -> Frame:
        """The picture's longer side is made S pixels long, the other one keeps its proportion."""
        longer = max(size)
        height, width = (max(1, int(length * side / longer + 0.5)) for length in size)
        return cls(size, (height, width), side)

    @classmethod
    def filled(cls, size: tuple[int, int], side: int) -> Frame:
        """Both sides are made S pixels long."""
        return cls(size, (side, side), side)

    def from_picture(self, xy: FloatArray) -> FloatArray:
        """Coordinates (x, y) of the picture, [..., 2] pixels, in the frame."""
        scale = np.array(self.input_size[::-1], dtype=np.float64) / np.array(self.size[::-1])
        return (np.asarray(xy, dtype=np.float64) + 0.5) * scale - 0.5

    def extent(self, cells: int) -> tuple[float, float]:
        """How many rows and columns of a grid over the frame, `cells` along a side, show the picture."""
        return self.input_size[0] / self.side * cells, self.input_size[1] / self.side * cells

    def prior_logits(self, prior: FloatArray, low_size: tuple[int, int]) -> Tensor:
        """A probability [H, W] as a mask prompt [L, L]; the padding is surely not the target."""
        share = torch.from_numpy(np.array(prior, dtype=np.float32, order="C"))[None, None]
        share = functional.interpolate(share, self.input_size, mode="bilinear", antialias=True)
        height, width = self.input_size
        share = functional.pad(share, (0, self.side - width, 0, self.side - height))
        share = functional.interpolate(share, low_size, mode="bilinear", antialias=True)
        return torch.logit(share.clamp(0.0, 1.0)).clamp(-PRIOR_LIMIT, PRIOR_LIMIT)[0, 0]

    def box_around(self, inside: BoolArray) -> Tensor | None:
        """The box [4] x0, y0, x1, y1 in the frame around a mask [L, L], with a margin; None for an empty mask."""
        cell = self.side / inside.shape[-1]
        rows, columns = (int(np.ceil(length / cell)) for length in self.input_size)
        inside = inside[:rows, :columns]
        if not inside.any():
            return None
        ys, xs = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        low = np.array([xs[0], ys[0]], dtype=np.float64)
        high = np.array([xs[-1] + 1, ys[-1] + 1], dtype=np.float64)
        margin = np.maximum(BOX_MARGIN * (high - low), LEAST_MARGIN)
        corners = np.stack([low - margin, high + margin]) * cell - 0.5
        return _corners(corners.clip(-0.5, np.array(self.input_size[::-1]) - 0.5))


@dataclass(frozen=True)
class Points:
    """Points [1, P, 2] in the frame with labels int32 [1, P]; `decide`: whether a candidate has to agree with them."""

    xy: Tensor
    labels: Tensor
    decide: bool


class PromptedNetwork(Protocol[Features]):
    """A network that answers prompts in its frame."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    @property
    def low_size(self) -> tuple[int, int]:
        """(L, L)."""
        ...

    @property
    def mask_threshold(self) -> float:
        """Logits above it are the target."""
        ...

    def candidates(
        self, features: Features, points: Points | None, box: Tensor | None, logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits [K, L, L] of the candidates and the IoU [K] that the network predicts for each.

        Args:
            features: of the picture, on the device. box: [4] x0, y0, x1, y1. logits: [L, L].
        """
        ...

    def enlarge(self, logits: Tensor, frame: Frame) -> Tensor:
        """Logits [L, L] over the frame as logits [H, W] over the picture."""
        ...


@dataclass(frozen=True)
class _Answer:
    """Low-res logits [L, L] of the chosen candidate, and the IoU that the network predicts for it."""

    logits: Tensor
    score: float


def ask_in_passes(network: PromptedNetwork[Features], features: Features, frame: Frame, prompts: Prompts) -> Mask:
    """The target in a picture; the score is the network's own prediction of the IoU, in 0..1.

    Pass 1 sees the points (the box only where there are none) and the prior as mask prompt; pass 2 the same with the
    logits of pass 1; pass 3 also the box, the given one or that of the mask so far.
    A prior alone that nowhere exceeds 0.5 gives an empty mask of score 0.

    Args:
        features: of the picture, on the network's device. frame: where the picture lies.

    Raises:
        ValueError: the prior is not of the picture's size, or something is not finite.
    """
    _check(prompts, frame.size)
    points = _points(network, frame, prompts)
    logits = None
    if prompts.prior is not None:
        logits = frame.prior_logits(prompts.prior, network.low_size).to(network.device)
    box = None if prompts.box is None else _corners(frame.from_picture(prompts.box.reshape(2, 2)))
    if points is None and box is None:
        assert logits is not None  # Prompts always point somehow
        box = _box_of(network, frame, logits)
        if box is None:
            return Mask(prompts.view, np.zeros(frame.size, dtype=np.bool_), 0.0)
    first_box = box if points is None else None
    answer = _ask(network, features, frame, points, first_box, logits)
    answer = _ask(network, features, frame, points, first_box, answer.logits)
    if box is None:
        box = _box_of(network, frame, answer.logits)
    answer = _ask(network, features, frame, points, box, answer.logits)
    whole = network.enlarge(answer.logits, frame)
    return Mask(prompts.view, (whole > network.mask_threshold).cpu().numpy(), answer.score)


def _ask(
    network: PromptedNetwork[Features],
    features: Features,
    frame: Frame,
    points: Points | None,
    box: Tensor | None,
    logits: Tensor | None,
) -> _Answer:
    """One pass: the best of the K candidates."""
    on_device = None if box is None else box.to(network.device)
    candidates, scores = network.candidates(features, points, on_device, logits)
    scores = scores.nan_to_num(0.0)
    best = _choose(candidates, scores, points, frame.side, network.mask_threshold)
    return _Answer(candidates[best], min(max(float(scores[best]), 0.0), 1.0))


def _choose(candidates: Tensor, scores: Tensor, points: Points | None, side: int, threshold: float) -> int:
    """Which of the candidates [K, L, L]: that of the highest predicted IoU [K].

    A click alone does not say whether it means a part or the whole; there a candidate that takes more points as they
    were meant goes before one that the network thinks better of.
    """
    agreeing = torch.zeros_like(scores)
    if points is not None and points.decide:
        where = 2.0 * (points.xy + 0.5) / side - 1.0  # -1..1 over the frame
        at_points = functional.grid_sample(
            candidates[None], where[None], padding_mode="border", align_corners=False
        )  # [1, K, 1, P]
        inside = at_points[0, :, 0] > threshold
        agreeing = (inside == (points.labels == 1)).sum(dim=1)
    order = np.lexsort((scores.cpu().numpy(), agreeing.cpu().numpy()))
    return int(order[-1])


def _points(network: PromptedNetwork[Features], frame: Frame, prompts: Prompts) -> Points | None:
    if not len(prompts.points):
        return None
    xy = torch.from_numpy(frame.from_picture(prompts.points)).to(network.device, torch.float32)
    labels = torch.from_numpy(np.array(prompts.labels)).to(network.device, torch.int32)
    return Points(xy[None], labels[None], prompts.box is None and prompts.prior is None)


def _box_of(network: PromptedNetwork[Features], frame: Frame, logits: Tensor) -> Tensor | None:
    return frame.box_around((logits > network.mask_threshold).cpu().numpy())


def _corners(corners: FloatArray) -> Tensor:
    """The box [4] of two corners [2, 2] (x, y), the lower coordinates first."""
    ordered = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return torch.from_numpy(ordered.astype(np.float32))


def _check(prompts: Prompts, size: tuple[int, int]) -> None:
    if prompts.prior is not None and prompts.prior.shape != size:
        raise ValueError(f"expected a prior of the picture's size {list(size)}, got {list(prompts.prior.shape)}")
    for label, values in (("points", prompts.points), ("box", prompts.box), ("prior", prompts.prior)):
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f"expected finite {label}, got NaN or infinity")
