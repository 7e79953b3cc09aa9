"""Rays, the samples along them, and what rendering gives for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nto3d.types.arrays import expect

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RayBatch:
    """R rays through pixels, with what the pictures say there.

    Attributes:
        origins, directions: [R, 3] float32, normalized frame, unit directions.
        view: [R] int64. xy: [R, 2] float32 pixel coordinates (x, y).
        rgb: [R, 3] float32 in 0..1. mask: [R] float32 0/1, or None.
    """

    origins: Tensor
    directions: Tensor
    view: Tensor
    xy: Tensor
    rgb: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        rays = len(self.origins)
        for label, value, tail in (
            ("origins", self.origins, (3,)),
            ("directions", self.directions, (3,)),
            ("view", self.view, ()),
            ("xy", self.xy, (2,)),
            ("rgb", self.rgb, (3,)),
            ("mask", self.mask, ()),
        ):
            if value is not None:
                expect(tuple(value.shape) == (rays, *tail), f"{label} {[rays, *tail]}", tuple(value.shape))

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, part: slice | Tensor) -> RayBatch:
        mask = None if self.mask is None else self.mask[part]
        where = (self.origins[part], self.directions[part], self.view[part], self.xy[part])
        return RayBatch(*where, self.rgb[part], mask)


@dataclass(frozen=True)
class Samples:
    """Packed samples along rays: the samples of one ray lie together, near to far.

    Attributes:
        positions: [N, 3] normalized frame. ray: [N] int32, index of each sample's ray.
        t: [N] distance of the sample's middle from the ray origin. dt: [N] length of its interval.
        offsets: [R + 1] int32; the samples of ray r are offsets[r] .. offsets[r + 1] - 1.
    """

    positions: Tensor
    ray: Tensor
    t: Tensor
    dt: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        count = len(self.positions)
        expect(tuple(self.positions.shape) == (count, 3), "positions [N, 3]", tuple(self.positions.shape))
        for label, value in (("ray", self.ray), ("t", self.t), ("dt", self.dt)):
            expect(tuple(value.shape) == (count,), f"{label} [{count}]", tuple(value.shape))
        expect(self.offsets.ndim == 1 and len(self.offsets) >= 1, "offsets [R + 1]", tuple(self.offsets.shape))

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class RenderOutput:
    """What volume rendering gives for R rays (N samples behind them).

    Attributes:
        rgb: [R, 3] in 0..1, composited over the background where there is one. normal: [R, 3], not normalised.
        depth: [R] expected distance along the ray (0 where nothing is hit). opacity: [R] in 0..1.
        occupancy: [R] of the target field, or None. feature: [R, C], or None (straight from `render_surface`: sums of
            an embedding, [R, E]).
        positions: [N, 3] of the samples. sdf: [N] signed distance there. gradients: [N, 3] its gradient.
    """

    rgb: Tensor
    normal: Tensor
    depth: Tensor
    opacity: Tensor
    positions: Tensor
    sdf: Tensor
    gradients: Tensor
    occupancy: Tensor | None = None
    feature: Tensor | None = None

    @property
    def samples(self) -> int:
        """How many samples were evaluated, N."""
        return len(self.sdf)
