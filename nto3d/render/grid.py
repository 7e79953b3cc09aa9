"""Where rays need to look: an occupancy grid that follows the SDF."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from nto3d.kernels.march.march import Cells, Guide, march
from nto3d.types import Samples

LOGIT = 7.0  # sigmoid(-7) < 1e-3: beyond 7 standard widths a sample's opacity does not matter
RESOLVED = 2.0  # the guide's surface is at least a cell / RESOLVED wide: a thinner one could slip between corners
SOFTER = 0.6  # ... and softer than the field's, because the surface moves between two refreshes
CHUNK = 2**16  # corners evaluated at a time


class OccupancyGrid(nn.Module):
    """G^3 cells over [-1, 1]^3; rays take samples in occupied cells only.

    It starts as the hull (where cameras or masks allow a surface at all). A refresh keeps those cells of it in which
    the SDF comes near enough to zero to matter for a ray at the present sharpness. Every cell of the hull is looked at
    in every refresh, so a surface that moves takes its cells along, and a cell once dropped can come back.

    Along with the cells it keeps the SDF at their corners, as a guide: samples that do not count by it, in front of or
    behind the surface, are not taken. Outside the hull, where no surface is, the guide has the distance to the hull.

    Args:
        hull: bool [G, G, G], axes x, y, z.
        search_hull: let rays that find no surface by the guide look in the whole hull, not in the kept cells only; for
            hulls of masks, which are tight.
    """

    hull: Tensor
    cells: Tensor
    corners: Tensor
    distance: Tensor
    outside: Tensor

    def __init__(self, hull: Tensor, search_hull: bool = True) -> None:
        super().__init__()
        self.search_hull = search_hull
        self.register_buffer("hull", hull.to(torch.uint8).contiguous())
        self.register_buffer("cells", self.hull.clone())
        touched = functional.pad(hull.float(), (1, 1, 1, 1, 1, 1))[None, None]
        touched = functional.max_pool3d(touched, 2, stride=1)[0, 0]  # [G + 1]^3, corners of a cell of the hull
        self.register_buffer("corners", torch.nonzero(touched.flatten())[:, 0], persistent=False)
        outside = torch.from_numpy(ndimage.distance_transform_edt(touched.cpu().numpy() == 0)).to(touched)
        outside = torch.where(touched > 0, 1.0, outside * self.cell_size)
        self.register_buffer("outside", outside, persistent=False)
        self.register_buffer("distance", outside.clone())
        self._march_cells: tuple[Cells, Cells] | None = None  # of the kept cells and of the hull, made when needed
        self.sharpness = 0.0  # of the guide; 0: there is none yet

    def get_extra_state(self) -> dict[str, float]:
        """What a checkpoint holds besides the buffers."""
        return {"sharpness": self.sharpness}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Counterpart of `get_extra_state`."""
        self.sharpness = float(state["sharpness"])
        self._march_cells = None

    @property
    def resolution(self) -> int:
        """G."""
        return int(self.cells.shape[0])

    @property
    def cell_size(self) -> float:
        """Edge of a cell, normalized units."""
        return 2.0 / self.resolution

    def reach(self, inv_std: float) -> float:
        """Distance from the surface, normalized units, within which a refresh keeps cells at a sharpness."""
        return self.cell_size + LOGIT / inv_std

    @torch.no_grad()
    def refresh(
        self, sdf: Callable[[Tensor], Tensor], inv_std: float, near: float | None = None, stride: int = 1
    ) -> None:
        """Keep the hull's cells that lie within the sharpness's reach of the surface.

        Args:
            sdf: signed distance [N] at [N, 3]. inv_std: NeuS's s.
            near: look only at corners that were nearer than this to the surface the last time; None: at all.
            stride: evaluate every so many corners along an axis and interpolate between them; a cheap look at a surface
                that is still soft. Ignored where it does not divide G.
        """
        if stride > 1 and self.resolution % stride == 0:
            self._look_coarsely(sdf, stride)
        else:
            self._look(sdf, near)
        reach = self.reach(inv_std)
        nearest = -functional.max_pool3d(-self.distance.abs()[None, None], 2, stride=1)[0, 0]
        self.cells.copy_((nearest < reach) & (self.hull != 0))
        self._march_cells = None
        self.sharpness = min(SOFTER * inv_std, RESOLVED / self.cell_size)

    def _look(self, sdf: Callable[[Tensor], Tensor], near: float | None) -> None:
        corners = self.corners
        if near is not None:
            corners = corners[self.distance.view(-1)[corners].abs() < near]
        for part in corners.split(CHUNK):
            self.distance.view(-1)[part] = self._evaluate(sdf, part, self.resolution + 1)

    def _look_coarsely(self, sdf: Callable[[Tensor], Tensor], stride: int) -> None:
        side = self.resolution // stride + 1
        touched = torch.zeros_like(self.distance).view(-1)
        touched[self.corners] = 1.0
        grown = functional.max_pool3d(touched.view_as(self.distance)[None, None], 2 * stride - 1, stride, stride - 1)
        coarse = torch.ones(side**3, device=self.distance.device)
        for part in torch.nonzero(grown.flatten())[:, 0].split(CHUNK):
            coarse[part] = self._evaluate(sdf, part, side)
        fine = functional.interpolate(
            coarse.view(1, 1, side, side, side), self.distance.shape, mode="trilinear", align_corners=True
        )
        self.distance.copy_(torch.where(touched.view_as(self.distance) > 0, fine[0, 0], self.outside))

    def _evaluate(self, sdf: Callable[[Tensor], Tensor], index: Tensor, side: int) -> Tensor:
        axes = torch.stack([index // (side * side), index // side % side, index % side], dim=1)
        return sdf(axes.float() * (2.0 / (side - 1)) - 1.0).float()

    def samples(self, origins: Tensor, directions: Tensor, dt: float, jitter: Tensor, least: float) -> Samples:
        """Packed samples of rays (see `march`); `least`: the guide's threshold on a sample's weight."""
        if self._march_cells is None:
            self._march_cells = Cells.of(self.cells), Cells.of(self.hull)
        cells, hull = self._march_cells
        fallback = hull if self.search_hull else cells
        guide = Guide(self.distance, self.sharpness, least, fallback) if self.sharpness > 0.0 else None
        return march(origins, directions, cells, dt, jitter, guide=guide)
