"""Photometric consistency: what one picture shows of the surface, its neighbours show, too.

The tangent plane at a surface point carries a patch of the picture into neighbouring views, where it must look the same
(Geo-NeuS, Fu et al. 2022; NeuralWarp, Darmon et al. 2022; PGSR, Chen et al. 2024). The point is on the *zero level set*
that is exported, not at the rendered depth: the gradient moves the surface and turns its normal.

Letters: V views, R rays, S source views a ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.patches.patches import Patches, PatchViews, patch_ncc
from nto3d.kernels.visibility import Watchers, unoccluded
from nto3d.types import BoolArray, Scene

NEAREST, FARTHEST, BEST = 3.0, 45.0, 12.0  # degrees between the directions to a view and to a source
FACING = 0.25  # least cosine between the normal and the direction to a source
PLAIN = 4.0  # grey values: a patch that varies so much counts half
# Weights within a patch, see `kernels.patches.patches.Patches`: a patch across an edge would pull the surface round it
ALIKE, NEAR = 10.0, 2 / 3  # grey values, and half widths of the patch
BAD = 1.0  # 1 - NCC beyond which a source says nothing
LEVELS = 2  # of the pictures' pyramid; a level halves the resolution


@dataclass(frozen=True)
class Agreement:
    """How well the surface at R points agrees with the pictures.

    Attributes:
        loss: [R] mean of 1 - NCC over the sources that count, 0 where there is none. Carries gradients.
        weight: [R] how much it counts: 0 for plain patches and where no source sees the point, up to 1.
    """

    loss: Tensor
    weight: Tensor


class PhotometricTerm:
    """The pictures as the term needs them.

    Args:
        scene: pictures and cameras. views: that serve as sources, the training views.
        masks: [V, H, W] of the target, or None: a source that shows something else there says nothing.
        device: where the rays are. half: pixels on either side of a patch's middle. sources: S.
    """

    def __init__(
        self,
        scene: Scene,
        views: Sequence[int],
        masks: BoolArray | None,
        device: torch.device,
        *,
        half: int = 3,
        sources: int,
    ) -> None:
        grey = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in scene.images])
        self._levels = []
        for level in range(LEVELS):
            if level:
                grey = np.stack([cv2.resize(one, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for one in grey])
            self._levels.append(PatchViews.of(scene.cameras, torch.from_numpy(grey).to(device), 2.0**level))
        self._half = half
        finest = self._levels[0]
        shown = np.empty((len(scene.images), 0, 0), np.uint8) if masks is None else masks.astype(np.uint8)
        self._watchers = Watchers(finest.project, finest.centers, torch.from_numpy(shown).to(device), FACING)
        self._neighbours = torch.from_numpy(neighbours(scene.cameras.outward, views, sources)).to(device)

    def agreement(
        self, view: Tensor, xy: Tensor, point: Tensor, gradient: Tensor, grid: Tensor, level: int = 0
    ) -> Agreement:
        """Compare patches with the sources that see them.

        Args:
            view: [R] int64 view of each ray. xy: [R, 2] its pixel. point: [R, 3] on the surface, gradient: [R, 3] of
                the SDF there; both carry gradients. grid: [G + 1]^3 signed distances, for what hides what.
            level: of the pyramid, 0 is the finest.
        """
        normal = functional.normalize(gradient, dim=1, eps=1e-6)
        sources = self._neighbours[view]
        seen = unoccluded(grid, point.detach(), normal.detach(), self._watchers, sources)
        sources = torch.where(seen, sources, -1)
        patches = Patches(
            view.int(), xy.contiguous(), sources, self._half, 2.0**level, alike=ALIKE, near=NEAR * self._half
        )
        ncc, valid, variance = patch_ncc(point, normal, self._levels[level], patches)
        loss = torch.where(valid, 1.0 - ncc, 2.0)
        count = valid.sum(dim=1)
        # Something that the grid does not know of may hide the patch from some: the better half counts
        rank = loss.detach().argsort(dim=1).argsort(dim=1)
        kept = valid & (rank < ((count + 1) // 2)[:, None]) & (loss.detach() < BAD)
        number = kept.sum(dim=1)
        mean = torch.where(kept, loss, 0.0).sum(dim=1) / number.clamp(min=1)
        textured = variance / (variance + PLAIN**2)
        return Agreement(mean, torch.where(number > 0, textured, 0.0))


def neighbours(outward: np.ndarray, views: Sequence[int], count: int) -> np.ndarray:
    """Sources int32 [V, count] of every view, those nearest to 12 degrees beside it; -1 where there are fewer.

    Args:
        outward: [V, 3] unit directions to the cameras. views: that may be sources.
    """
    known, result = set(views), np.full((len(outward), count), -1, dtype=np.int32)
    for view, direction in enumerate(outward):
        angle = np.degrees(np.arccos(np.clip(outward @ direction, -1.0, 1.0)))
        off = np.abs(np.log(np.maximum(angle, 1e-3) / BEST))
        off[(angle < NEAREST) | (angle > FARTHEST)] = np.inf
        allowed = [int(other) for other in np.argsort(off, kind="stable") if other in known and other != view]
        chosen = [other for other in allowed if np.isfinite(off[other])][:count]
        result[view, : len(chosen)] = chosen
    return result
