"""Losses on the surface itself: where rays meet it, how it bends there, and whether the pictures agree on it.

Volume rendering gives a depth that lies a little before or behind the zero level of the SDF, and only the zero level is
exported. So the points of these losses are looked for on it: from the rendered depth two steps of Newton's method along
the ray, of which the last carries gradients (as in IDR, Yariv et al. 2020, eq. 3).

Letters: R rays, H rays that hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.visibility import first_hits
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.photometric import PhotometricTerm
from nto3d.training import losses
from nto3d.types import RayBatch, RenderOutput

HIT = 0.9  # opacity of a ray that has met the surface
STEEPEST, LONGEST = 0.2, 0.05  # least cosine with the ray, and longest step (normalized units), of Newton's method
SLANT = 0.8  # cosine with the ray that the first step of it assumes
BEND_EVERY, BEND_PIXELS = 2, 2.0  # the curvature loss looks at every second hit, and so many pixels to either side
SHARP = 0.8  # share by which the curvature loss is less where the pictures are sure of the surface


@dataclass(frozen=True)
class SurfaceLosses:
    """Sums over some rays.

    Attributes:
        bend: of the curvature loss. patch: of the patches' disagreement. Both scalars that carry gradients.
    """

    bend: Tensor
    patch: Tensor


class SurfaceTerms:
    """The losses on the surface of a model.

    Args:
        model: whose surface. photometric: compares patches, or None.
        pixel: width of a pixel on the surface, normalized units.
    """

    def __init__(self, model: SurfaceModel, photometric: PhotometricTerm | None, pixel: float) -> None:
        self._model, self._photometric, self._length = model, photometric, BEND_PIXELS * pixel

    def losses(
        self, rays: RayBatch, out: RenderOutput, more: RayBatch | None, level: int, bending: bool
    ) -> SurfaceLosses:
        """The losses where rays meet the surface.

        Args:
            rays: R rays. out: what rendering them gave. bending: whether to look at how the surface bends.
            more: further rays, along which patches are compared without rendering them; None: no patches at all.
            level: of the pictures' pyramid for the patches, 0 is the finest.
        """
        met = torch.nonzero(out.opacity.detach() > HIT)[:, 0]
        depth = (out.depth[met] / out.opacity[met]).detach()
        bent = slice(None, len(met) if bending else 0, BEND_EVERY)
        aside = self._aside(out.normal.detach()[met[bent]])
        if self._photometric is None or more is None:
            points = rays.origins[met] + rays.directions[met] * depth[:, None]
            _, gradients = self._sdf(torch.cat([points[bent], points[bent] + aside, points[bent] - aside]))
            bend = (1.0 - SHARP) * losses.curvature(*gradients.chunk(3)).sum()
            return SurfaceLosses(bend * BEND_EVERY, out.rgb.new_zeros(()))
        grid = self._model.grid.distance
        distance = torch.cat([depth, first_hits(grid, more.origins, more.directions)])
        looks = joined(rays[met], more)
        looks, distance = looks[distance > 0.0], distance[distance > 0.0]
        points, count = self._nearer(looks.origins + looks.directions * distance[:, None], looks.directions), len(looks)
        sdf, gradients = self._sdf(torch.cat([points, points[bent] + aside, points[bent] - aside]))
        normals, around = gradients[:count], gradients[count:].chunk(2)
        slope = (normals * looks.directions).sum(dim=1).detach()
        step = (sdf[:count] / slope.clamp(max=-STEEPEST)).clamp(-LONGEST, LONGEST)
        points = points - looks.directions * step[:, None]
        found = self._photometric.agreement(looks.view, looks.xy, points, normals, grid, level)
        sure = found.weight * (1.0 - found.loss.detach()).clamp(min=0.0)
        bend = (1.0 - SHARP * sure[bent]) * losses.curvature(normals[bent], *around)
        weight = found.weight * (slope < 0.0)
        if looks.mask is not None:
            weight = weight * looks.mask
        return SurfaceLosses(bend.sum() * BEND_EVERY, (found.loss * weight).sum())

    def _aside(self, normals: Tensor) -> Tensor:
        """Ways [B, 3] along the surface with normals [B, 3], in changing directions."""
        axes = torch.eye(3, device=normals.device)[torch.arange(len(normals), device=normals.device) % 3]
        return self._length * functional.normalize(torch.linalg.cross(normals, axes), dim=1, eps=1e-6)

    def _sdf(self, points: Tensor) -> tuple[Tensor, Tensor]:
        with self._model.autocast(points.device):
            sdf, gradients, _ = self._model.sdf(points)
        return sdf.float(), gradients.float()

    @torch.no_grad()
    def _nearer(self, points: Tensor, directions: Tensor) -> Tensor:
        """Points moved along their rays towards the zero level, by a step for a surface that is met half aslant."""
        with self._model.autocast(points.device):
            sdf = self._model.sdf.sdf(points).float()
        return points + directions * (sdf / SLANT).clamp(-LONGEST, LONGEST)[:, None]


def joined(first: RayBatch, second: RayBatch) -> RayBatch:
    """Two batches in one."""
    mask = None
    if first.mask is not None and second.mask is not None:
        mask = torch.cat([first.mask, second.mask])
    origins, directions, rgb = (
        torch.cat([getattr(first, name), getattr(second, name)]) for name in ("origins", "directions", "rgb")
    )
    view, xy = torch.cat([first.view, second.view]), torch.cat([first.xy, second.xy])
    return RayBatch(origins, directions, view, xy, rgb, mask)
