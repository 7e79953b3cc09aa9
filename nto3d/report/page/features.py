"""The part of the report that shows features: the encoder's and the rendered ones, in the same colours."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from nto3d.report.page.figures import figure, legend
from nto3d.report.page.plots import number
from nto3d.report.pictures import color_map, to_bytes
from nto3d.types import BoolArray, ByteArray, FloatArray

COSINE_MAP = cv2.COLORMAP_MAGMA
LEAST = 0.5  # cosine at the dark end of the map


@dataclass(frozen=True)
class FeaturePictures:
    """What the page shows of the features of one view.

    Attributes:
        name: shown above the row. picture: uint8 [h, w, 3].
        encoded, rendered: [h, w, 3] in 0..1, features as colours of one basis: the encoder's, and the field's.
        cosine: [h, w] between the two. inside: bool [h, w], where the target is seen.
    """

    name: str
    picture: ByteArray
    encoded: FloatArray
    rendered: FloatArray
    cosine: FloatArray
    inside: BoolArray

    def __post_init__(self) -> None:
        shape = self.picture.shape
        if self.encoded.shape != shape or self.rendered.shape != shape:
            raise ValueError(f"expected features {shape}, got {self.encoded.shape} and {self.rendered.shape}")
        if self.cosine.shape != shape[:2] or self.inside.shape != shape[:2]:
            raise ValueError(f"expected maps {shape[:2]}, got {self.cosine.shape} and {self.inside.shape}")

    @property
    def mean(self) -> float:
        """Mean cosine where the target is seen; 0 where it is out of sight."""
        return float(self.cosine[self.inside].mean()) if self.inside.any() else 0.0


def features_section(views: Sequence[FeaturePictures]) -> str:
    """A row of pictures for each view; empty without views."""
    return "".join(_row(view) for view in views)


def _row(view: FeaturePictures) -> str:
    cosine = color_map(view.cosine, LEAST, 1.0, COSINE_MAP, view.inside)
    figures = (
        figure("picture", view.picture)
        + figure("encoder's features", to_bytes(view.encoded))
        + figure("rendered features", to_bytes(view.rendered))
        + figure("cosine", cosine, legend(LEAST, 1.0, COSINE_MAP))
    )
    heading = f"<h3>{html.escape(view.name)}<span>mean cosine {number(view.mean)}</span></h3>"
    return f'<div class="card view">{heading}<div class="pictures">{figures}</div></div>'
