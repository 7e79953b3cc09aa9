"""What is trained: the fields of a scene with their occupancy grid, rendered together."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.fields.background import BackgroundField
from nto3d.fields.color import ColorField
from nto3d.fields.exposure import Exposure
from nto3d.fields.feature import FeatureField
from nto3d.fields.occupancy import OccupancyField
from nto3d.fields.sdf import SdfField
from nto3d.render.grid import OccupancyGrid
from nto3d.render.volume import Color, Sharpness, Target, partly, render_background, render_surface
from nto3d.types import RayBatch, RenderOutput

BLENDED, FAVOUR = 6, 10.0  # cameras that a vertex colour mixes, and how much more those count that face it better
Geometry = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class SurfaceModel(nn.Module):
    """An SDF with colour inside the unit sphere, and a background model outside it where there is one.

    Args:
        sdf: `fields.SdfField`. color: `fields.ColorField`. background: `fields.BackgroundField`, or None (black).
        grid: where rays look for the surface. features: `fields.FeatureField`, or None.
        exposure: of the pictures, or None where they are all alike.
        viewpoints: [V, 3] centres of the training cameras, normalized frame.
        init_inv_std: initial sharpness s, 1 / normalized unit; it is learned as exp(10 v) (NeuS).
        precision: dtype of the MLPs on CUDA.
    """

    viewpoints: Tensor

    def __init__(
        self,
        sdf: SdfField,
        color: ColorField,
        grid: OccupancyGrid,
        viewpoints: Tensor,
        background: BackgroundField | None = None,
        target: OccupancyField | None = None,
        features: FeatureField | None = None,
        exposure: Exposure | None = None,
        *,
        init_inv_std: float = 20.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.sdf, self.color, self.grid, self.background, self.target = sdf, color, grid, background, target
        self.features, self.exposure = features, exposure
        self.target_gradient = 0.0
        self.register_buffer("viewpoints", viewpoints.float())
        self.variance = nn.Parameter(torch.zeros(()))
        self.sharpen(init_inv_std)
        self.precision = precision

    @property
    def inv_std(self) -> Tensor:
        """NeuS's s, a scalar tensor that carries gradients."""
        return torch.exp(10.0 * self.variance).clamp(1.0, 1e5)

    def sharpen(self, inv_std: float) -> None:
        """Set NeuS's s."""
        with torch.no_grad():
            self.variance.fill_(math.log(inv_std) / 10.0)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Reduced precision on CUDA; the CPU always computes in float32."""
        enabled = device.type == "cuda" and self.precision != torch.float32
        return torch.autocast(device.type, dtype=self.precision if enabled else torch.bfloat16, enabled=enabled)

    def render(
        self,
        rays: RayBatch,
        dt: float,
        jitter: Tensor,
        anneal: float = 1.0,
        least: float = 0.003,
        *,
        features: bool = False,
        feature_gradient: float = 1.0,
    ) -> RenderOutput:
        """Render rays.

        Args:
            rays: R rays. dt: sample length, normalized units. jitter: [R] in 0..1. anneal: NeuS's cosine annealing.
            least: samples of less weight (by the grid's rough SDF) are left out.
            features: render the feature field, too (there must be one).
            feature_gradient: share of its gradient that reaches geometry and colour.
        """
        samples = self.grid.samples(rays.origins, rays.directions, dt, jitter, least)
        with self.autocast(rays.origins.device):
            sharpness = Sharpness(self.inv_std, anneal)
            target = None if self.target is None else Target(self.target, self.target_gradient)
            color = partial(self._color_and_embedding, feature_gradient=feature_gradient) if features else self.color
            out, left = render_surface(
                rays.origins, rays.directions, samples, self.sdf, color, sharpness, target, feature_gradient
            )
            if features:
                assert self.features is not None
                assert out.feature is not None
                out = replace(
                    out, feature=self.features.decode(out.feature, partly(out.opacity, feature_gradient)).float()
                )
            if self.background is None:
                return out
            behind = render_background(rays.origins, rays.directions, self.background, jitter)
        return replace(out, rgb=out.rgb + left[:, None] * behind)

    def pictured(self, rgb: Tensor, view: Tensor, picture: Tensor | None = None) -> Tensor:
        """Rendered colours [R, 3] as the views [R] picture them, see `fields.Exposure`."""
        return rgb if self.exposure is None else self.exposure(rgb, view, picture)

    def render_inside(self, rays: RayBatch, dt: float, jitter: Tensor) -> RenderOutput:
        """Like `render`, for what needs no colours: no background, rgb is black."""
        samples = self.grid.samples(rays.origins, rays.directions, dt, jitter, 0.003)

        def black(positions: Tensor, *_: Tensor) -> Tensor:
            return torch.zeros_like(positions)

        with self.autocast(rays.origins.device):
            target = None if self.target is None else Target(self.target)
            sharpness = Sharpness(self.inv_std)
            return render_surface(rays.origins, rays.directions, samples, self.sdf, black, sharpness, target)[0]

    def refresh_grid(self, near: float | None = None, stride: int = 1) -> None:
        """Let the occupancy grid follow the SDF (see `OccupancyGrid.refresh`)."""
        with torch.no_grad(), self.autocast(self.variance.device):
            self.grid.refresh(self.sdf.sdf, float(self.inv_std), near, stride)

    def _color_and_embedding(
        self, positions: Tensor, normals: Tensor, directions: Tensor, feature: Tensor, feature_gradient: float = 1.0
    ) -> Tensor:
        """Colours and the feature field's hidden layer, [N, 3 + E]; see `ColorField.hidden` and `render`."""
        assert self.features is not None
        hidden = self.color.hidden(positions, normals, directions, feature)
        embedded = self.features.embed(positions, partly(feature, feature_gradient), partly(hidden, feature_gradient))
        return torch.cat([self.color.rgb(hidden), embedded], dim=1)

    def surface_color(self, positions: Tensor) -> Tensor:
        """Colours [N, 3] of surface points [N, 3]: a mean of what the training cameras that face them best see."""
        return self._from_best_views(positions, self.color)

    def surface_features(self, positions: Tensor) -> Tensor:
        """Features [N, C] of surface points [N, 3], likewise; there must be a feature field."""
        assert self.features is not None
        embedded = self._from_best_views(positions, self._color_and_embedding)[:, 3:]
        with self.autocast(positions.device):
            return self.features.decode(embedded, embedded.new_ones(len(embedded))).float()

    def _from_best_views(self, positions: Tensor, seen: Color) -> Tensor:
        """A mean [N, 3 + E] of what is seen of surface points [N, 3] from the training cameras that face them best."""
        with self.autocast(positions.device):
            _, gradient, feature = self.sdf(positions)
            normal = functional.normalize(gradient.float(), dim=1, eps=1e-6)
            towards = functional.normalize(self.viewpoints[None] - positions[:, None], dim=2)  # [N, V, 3]
            facing = (towards * normal[:, None]).sum(dim=2)  # [N, V]
            best, views = facing.topk(min(BLENDED, facing.shape[1]), dim=1)
            weights = functional.softmax(best * FAVOUR, dim=1)
            rows = torch.arange(len(positions), device=positions.device)
            mean = None
            for rank in range(best.shape[1]):
                direction = -towards[rows, views[:, rank]]
                one = weights[:, rank, None] * seen(positions, normal, direction, feature).float()
                mean = one if mean is None else mean + one
        assert mean is not None
        return mean
