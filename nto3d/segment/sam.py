"""Segment Anything (Kirillov et al. 2023): a picture is embedded once, then answers prompts in three cascaded passes.

SAM works in a frame of its own: the picture is resized so that its longer side has S pixels (1024 for the published
weights), and padded with zeros at the right and at the bottom to [S, S]. Only this file knows that frame; prompts come
and masks go in the picture's own pixels. In both, integer coordinates are pixel centres.

Letters: H W picture, S side of SAM's frame, G tokens along a side (64), L = 4 G pixels along a side of the low-res
logits (256), C channels of an embedding (256), K candidates that answer an ambiguous prompt (3), P points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from nto3d.feature_maps import FeatureMaps
from nto3d.segment.base import check_picture
from nto3d.segment.embeddings import EmbeddingCache, image_hash
from nto3d.types import ByteArray, FloatArray, Mask, Prompts

BOX_MARGIN = 0.05  # of the mask's width and height, on each side of the box around it
LEAST_MARGIN = 1.0  # low-res pixels
PRIOR_LIMIT = 10.0  # logits: what SAM itself answers where it is sure


@dataclass(frozen=True)
class SamEmbedding:
    """A picture as SAM's encoder sees it.

    Attributes:
        features: [C, G, G] float32 on the CPU. The picture fills the upper left part, see `extent`.
        size: (H, W) of the picture. input_size: its height and width in SAM's frame, without padding.
        side: S, the side of SAM's frame.
    """

    features: Tensor
    size: tuple[int, int]
    input_size: tuple[int, int]
    side: int

    @property
    def extent(self) -> tuple[float, float]:
        """How many rows and columns of `features` show the picture, in 0..G; what lies beyond is padding.

        The feature of the pixel (x, y), pixel centres at integers in picture and features alike, lies at
        ((x + 0.5) / W * columns - 0.5, (y + 0.5) / H * rows - 0.5).
        """
        grid = self.features.shape[-1]
        return self.input_size[0] / self.side * grid, self.input_size[1] / self.side * grid

    def to_frame(self, xy: FloatArray) -> FloatArray:
        """Coordinates (x, y) of the picture, [..., 2] pixels, in SAM's frame."""
        scale = np.array(self.input_size[::-1], dtype=np.float64) / np.array(self.size[::-1])
        return (np.asarray(xy, dtype=np.float64) + 0.5) * scale - 0.5


@dataclass(frozen=True)
class _Answer:
    """Low-res logits [L, L] of the chosen candidate, and the IoU that SAM predicts for it."""

    logits: Tensor
    score: float


@dataclass(frozen=True)
class _Points:
    """Points [1, P, 2] in SAM's frame with labels [1, P]; `decide`: whether a candidate has to agree with them."""

    xy: Tensor
    labels: Tensor
    decide: bool


class SamSegmenter:
    """Masks from points, a box or a prior, by a SAM model.

    Args:
        model: a `segment_anything.modeling.Sam`, of any size; see `sam_loading.load_sam`. It is moved to the device.
        device: where it runs.
        dtype: arithmetic of the picture encoder (under autocast: what needs float32 keeps it).
        cache: where embeddings are kept, or None.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.model = model.to(device)
        self.device = device
        self.dtype = dtype
        self.cache = cache

    def embed(self, image: ByteArray) -> SamEmbedding:
        """Encode a picture, uint8 [H, W, 3] RGB, or take its embedding from the cache.

        Raises:
            ValueError: it is no such picture.
        """
        check_picture(image)
        side, prompts = int(self.model.image_encoder.img_size), self.model.prompt_encoder
        size = (image.shape[0], image.shape[1])
        input_size = _input_size(size, side)
        features = None
        if self.cache is None:
            features = self._encode(image, input_size)
        else:
            name = image_hash(image)
            features = self.cache.load(name, (prompts.embed_dim, *prompts.image_embedding_size))
            if features is None:
                features = self._encode(image, input_size)
                self.cache.store(name, features)
        return SamEmbedding(torch.from_numpy(features), size, input_size, side)

    @torch.no_grad()
    def segment(self, embedded: SamEmbedding, prompts: Prompts) -> Mask:
        """The target in an embedded picture; the score is SAM's own prediction of the IoU, in 0..1.

        Pass 1 sees the points (the box only where there are none) and the prior as mask input; pass 2 the same with
        the logits of pass 1; pass 3 also the box, the given one or that of the mask so far.
        A prior alone that nowhere exceeds 0.5 gives an empty mask of score 0.

        Raises:
            ValueError: the prior is not of the picture's size, or something is not finite.
        """
        _check(prompts, embedded.size)
        features = embedded.features.to(self.device)[None]
        points = self._points(embedded, prompts)
        logits = None if prompts.prior is None else self._prior_logits(embedded, prompts.prior)
        box = None if prompts.box is None else _corners(embedded.to_frame(prompts.box.reshape(2, 2)))
        if points is None and box is None:
            assert logits is not None  # Prompts always point somehow
            box = self._box_of(embedded, logits)
            if box is None:
                return Mask(prompts.view, np.zeros(embedded.size, dtype=np.bool_), 0.0)
        first_box = box if points is None else None
        answer = self._ask(features, points, first_box, logits)
        answer = self._ask(features, points, first_box, answer.logits)
        if box is None:
            box = self._box_of(embedded, answer.logits)
        answer = self._ask(features, points, box, answer.logits)
        whole = self.model.postprocess_masks(answer.logits[None, None], embedded.input_size, embedded.size)[0, 0]
        return Mask(prompts.view, (whole > self.model.mask_threshold).cpu().numpy(), answer.score)

    @torch.no_grad()
    def _encode(self, image: ByteArray, input_size: tuple[int, int]) -> NDArray[np.float32]:
        """Features [C, G, G] of a picture."""
        resized = Image.fromarray(image).resize(input_size[::-1], Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).to(self.device, torch.float32)
        whole = self.model.preprocess(pixels[None])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = self.model.image_encoder(whole)
        return features[0].float().cpu().numpy()

    def _ask(self, features: Tensor, points: _Points | None, box: Tensor | None, logits: Tensor | None) -> _Answer:
        """One pass: the best of the K candidates for prompts in SAM's frame, box [4], logits [L, L]."""
        sparse, dense = self.model.prompt_encoder(
            points=None if points is None else (points.xy, points.labels),
            boxes=None if box is None else box.to(self.device)[None],
            masks=None if logits is None else logits[None, None],
        )
        candidates, scores = self.model.mask_decoder(
            image_embeddings=features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        scores = scores[0].nan_to_num(0.0)
        best = self._choose(candidates[0], scores, points)
        return _Answer(candidates[0, best], min(max(float(scores[best]), 0.0), 1.0))

    def _choose(self, candidates: Tensor, scores: Tensor, points: _Points | None) -> int:
        """Which of the candidates [K, L, L]: that of the highest predicted IoU [K].

        A click alone does not say whether it means a part or the whole; there a candidate that takes more points as
        they were meant goes before one that SAM thinks better of.
        """
        agreeing = torch.zeros_like(scores)
        if points is not None and points.decide:
            where = 2.0 * (points.xy + 0.5) / self.model.image_encoder.img_size - 1.0  # -1..1 over the frame
            at_points = functional.grid_sample(
                candidates[None], where[None], padding_mode="border", align_corners=False
            )  # [1, K, 1, P]
            inside = at_points[0, :, 0] > self.model.mask_threshold
            agreeing = (inside == (points.labels == 1)).sum(dim=1)
        order = np.lexsort((scores.cpu().numpy(), agreeing.cpu().numpy()))
        return int(order[-1])

    def _points(self, embedded: SamEmbedding, prompts: Prompts) -> _Points | None:
        if not len(prompts.points):
            return None
        xy = torch.from_numpy(embedded.to_frame(prompts.points)).to(self.device, torch.float32)
        labels = torch.from_numpy(np.array(prompts.labels)).to(self.device, torch.int32)
        return _Points(xy[None], labels[None], prompts.box is None and prompts.prior is None)

    def _prior_logits(self, embedded: SamEmbedding, prior: FloatArray) -> Tensor:
        """A probability [H, W] as mask input [L, L]; the padding is surely not the target."""
        low_size = self.model.prompt_encoder.mask_input_size
        share = torch.from_numpy(np.array(prior, dtype=np.float32, order="C"))[None, None]
        share = functional.interpolate(share, embedded.input_size, mode="bilinear", antialias=True)
        height, width = embedded.input_size
        share = functional.pad(share, (0, embedded.side - width, 0, embedded.side - height))
        share = functional.interpolate(share, low_size, mode="bilinear", antialias=True)
        logits = torch.logit(share.clamp(0.0, 1.0)).clamp(-PRIOR_LIMIT, PRIOR_LIMIT)
        return logits[0, 0].to(self.device)

    def _box_of(self, embedded: SamEmbedding, logits: Tensor) -> Tensor | None:
        """The box [4] x0, y0, x1, y1 in SAM's frame around a mask [L, L], with a margin; None for an empty mask."""
        cell = embedded.side / logits.shape[-1]
        rows, columns = (int(np.ceil(length / cell)) for length in embedded.input_size)
        inside = (logits[:rows, :columns] > self.model.mask_threshold).cpu().numpy()
        if not inside.any():
            return None
        ys, xs = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        low = np.array([xs[0], ys[0]], dtype=np.float64)
        high = np.array([xs[-1] + 1, ys[-1] + 1], dtype=np.float64)
        margin = np.maximum(BOX_MARGIN * (high - low), LEAST_MARGIN)
        corners = np.stack([low - margin, high + margin]) * cell - 0.5
        return _corners(corners.clip(-0.5, np.array(embedded.input_size[::-1]) - 0.5))


def sam_features(segmenter: SamSegmenter, images: ByteArray) -> FeatureMaps:
    """SAM's embeddings of V pictures uint8 [V, H, W, 3], from the segmenter's cache where it has them.

    Returns:
        Maps of C channels; cells that are nothing but padding are left out.
    """
    values, extent = [], (0.0, 0.0)
    for image in images:
        embedded = segmenter.embed(image)
        extent = embedded.extent
        rows, columns = (math.ceil(length) for length in extent)
        values.append(embedded.features[:, :rows, :columns].permute(1, 2, 0).half())
    return FeatureMaps(torch.stack(values), extent, images.shape[1:3])


def _input_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of a picture (H, W) whose longer side is made `side` pixels long."""
    longer = max(size)
    height, width = (max(1, int(length * side / longer + 0.5)) for length in size)
    return height, width


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
