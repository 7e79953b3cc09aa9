"""Segment Anything (Kirillov et al. 2023): a picture is embedded once, then answers prompts in three cascaded passes.

SAM works in a frame of its own: the picture is resized so that its longer side has S pixels (1024 for the published
weights), and padded with zeros at the right and at the bottom to [S, S]. How it is asked stands in `passes`.

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

from nto3d.segment.base import check_picture
from nto3d.segment.embeddings import EmbeddingCache, image_hash
from nto3d.segment.passes import Frame, Points, ask_in_passes
from nto3d.types import ByteArray, Mask, Prompts
from nto3d.types.feature_maps import FeatureMaps


@dataclass(frozen=True)
class SamEmbedding:
    """A picture as SAM's encoder sees it.

    Attributes:
        features: [C, G, G] float32 on the CPU. The picture fills the upper left part, see `extent`.
        frame: where the picture lies in what the encoder saw.
    """

    features: Tensor
    frame: Frame

    @property
    def input_size(self) -> tuple[int, int]:
        """The picture's height and width in SAM's frame, without padding."""
        return self.frame.input_size

    @property
    def extent(self) -> tuple[float, float]:
        """How many rows and columns of `features` show the picture, in 0..G; what lies beyond is padding.

        The feature of the pixel (x, y), pixel centres at integers in picture and features alike, lies at
        ((x + 0.5) / W * columns - 0.5, (y + 0.5) / H * rows - 0.5).
        """
        return self.frame.extent(self.features.shape[-1])


class SamSegmenter:
    """Masks from points, a box or a prior, by a SAM model.

    Args:
        model: a `segment_anything.modeling.Sam`, of any size; see `loading.load_sam`. It is moved to the device.
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
        prompts = self.model.prompt_encoder
        frame = Frame.padded((image.shape[0], image.shape[1]), int(self.model.image_encoder.img_size))
        features = None
        if self.cache is None:
            features = self._encode(image, frame.input_size)
        else:
            name = image_hash(image)
            features = self.cache.load(name, (prompts.embed_dim, *prompts.image_embedding_size))
            if features is None:
                features = self._encode(image, frame.input_size)
                self.cache.store(name, features)
        return SamEmbedding(torch.from_numpy(features), frame)

    @torch.no_grad()
    def segment(self, embedded: SamEmbedding, prompts: Prompts) -> Mask:
        """The target in an embedded picture; the score is SAM's own prediction of the IoU, in 0..1.

        How it is asked, and what it answers to a prior that expects nothing: see `passes.ask_in_passes`.

        Raises:
            ValueError: the prior is not of the picture's size, or something is not finite.
        """
        features = embedded.features.to(self.device)[None]
        return ask_in_passes(_Decoder(self.model, self.device), features, embedded.frame, prompts)

    @torch.no_grad()
    def _encode(self, image: ByteArray, input_size: tuple[int, int]) -> NDArray[np.float32]:
        """Features [C, G, G] of a picture."""
        resized = Image.fromarray(image).resize(input_size[::-1], Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).to(self.device, torch.float32)
        whole = self.model.preprocess(pixels[None])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = self.model.image_encoder(whole)
        return features[0].float().cpu().numpy()


@dataclass(frozen=True)
class _Decoder:
    """The package's decoder as `passes.PromptedNetwork`; features are [1, C, G, G]."""

    model: Any
    device: torch.device

    @property
    def low_size(self) -> tuple[int, int]:
        height, width = self.model.prompt_encoder.mask_input_size
        return height, width

    @property
    def mask_threshold(self) -> float:
        return float(self.model.mask_threshold)

    def candidates(
        self, features: Tensor, points: Points | None, box: Tensor | None, logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self.model.prompt_encoder(
            points=None if points is None else (points.xy, points.labels),
            boxes=None if box is None else box[None],
            masks=None if logits is None else logits[None, None],
        )
        masks, scores = self.model.mask_decoder(
            image_embeddings=features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return masks[0], scores[0]

    def enlarge(self, logits: Tensor, frame: Frame) -> Tensor:
        whole: Tensor = self.model.postprocess_masks(logits[None, None], frame.input_size, frame.size)[0, 0]
        return whole


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
