"""A segmenter of the library transformers, which answers points, a box or a prior; which ones: see `hf_models`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nto3d.segment.base import check_picture
from nto3d.segment.embeddings import EmbeddingCache, image_hash
from nto3d.segment.hf.files import find_folder
from nto3d.segment.hf.models import HfNetwork, load_network
from nto3d.segment.passes import Frame, ask_in_passes
from nto3d.types import ByteArray, Mask, Prompts


@dataclass(frozen=True)
class HfEmbedding:
    """A picture as a network's encoder sees it.

    Attributes:
        parts: float32 on the CPU, by name, see `hf_models`. frame: where the picture lies in what the encoder saw.
    """

    parts: Mapping[str, Tensor]
    frame: Frame


class HfSegmenter:
    """Masks from points, a box or a prior.

    Args:
        network: what answers. cache: where embeddings are kept, or None.
    """

    def __init__(self, network: HfNetwork, cache: EmbeddingCache | None = None) -> None:
        self.network, self.cache = network, cache

    def embed(self, image: ByteArray) -> HfEmbedding:
        """Encode a picture, uint8 [H, W, 3] RGB, or take its embedding from the cache.

        Raises:
            ValueError: it is no such picture.
        """
        check_picture(image)
        frame = self.network.processing.frame((image.shape[0], image.shape[1]))
        parts = None
        if self.cache is None:
            parts = self.network.encode(image)
        else:
            name = image_hash(image)
            parts = self.cache.load_all(name, self.network.shapes)
            if parts is None:
                parts = self.network.encode(image)
                self.cache.store_all(name, parts)
        return HfEmbedding({name: torch.from_numpy(part) for name, part in parts.items()}, frame)

    @torch.no_grad()
    def segment(self, embedded: HfEmbedding, prompts: Prompts) -> Mask:
        """The target in an embedded picture; the score is the network's own prediction of the IoU, in 0..1.

        How it is asked, and what it answers to a prior that expects nothing: see `passes.ask_in_passes`.

        Raises:
            ValueError: the prior is not of the picture's size, or something is not finite.
        """
        parts = {name: part.to(self.network.device) for name, part in embedded.parts.items()}
        return ask_in_passes(self.network, parts, embedded.frame, prompts)


def open_hf(
    model: str | None, device: torch.device, dtype: torch.dtype = torch.float32, cache: Path | None = None
) -> HfSegmenter:
    """The segmenter in a folder.

    Args:
        model: as `files.find_folder` takes it.
        device, dtype: where it runs, and the arithmetic of the picture encoder.
        cache: folder for embeddings, or None to keep none.

    Raises:
        InputError: there is no such model, it cannot be loaded, or the package transformers is missing.
    """
    folder = find_folder(model)
    network = load_network(folder, device, dtype)
    kept = None
    if cache is not None:
        settings = {"precision": str(dtype).removeprefix("torch."), "model": network.family.model}
        kept = EmbeddingCache(cache, folder.hash(), settings | dataclasses.asdict(network.processing))
    return HfSegmenter(network, kept)
