"""What a segmenter is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from nto3d.types import BoolArray, ByteArray, FloatArray, Mask, Prompts

Embedded = TypeVar("Embedded")


class Segmenter(Protocol[Embedded]):
    """Finds the target in single pictures. A picture is prepared once and may then be asked many times."""

    def embed(self, image: ByteArray) -> Embedded:
        """Prepare a picture, uint8 [H, W, 3] RGB."""
        ...

    def segment(self, embedded: Embedded, prompts: Prompts) -> Mask:
        """The mask of the target in a prepared picture; prompts and mask are in the picture's own pixels.

        Raises:
            InputError: the segmenter lacks something that the user can provide.
        """
        ...


@dataclass(frozen=True)
class Instances:
    """What a noun names in a picture.

    Attributes:
        masks: bool [N, H, W]. scores: [N] in 0..1, descending.
    """

    masks: BoolArray
    scores: FloatArray


class Finder(Protocol):
    """Finds what a noun names."""

    def instances(self, image: ByteArray, text: str) -> Instances:
        """What a noun names in a picture, uint8 [H, W, 3] RGB."""
        ...


def check_picture(image: ByteArray) -> None:
    """Whether something is a picture, uint8 [H, W, 3], and not empty.

    Raises:
        ValueError: it is none.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected a picture uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
