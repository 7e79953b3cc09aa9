"""The reconstruction stage: fit surface and colour to the pictures and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nto3d.config import ColorLoss, TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.stages.model import SurfaceModel
from nto3d.training import losses
from nto3d.types import RayBatch, RenderOutput

FULL_REFRESH = 8  # every so many refreshes of the grid look at the whole hull
SETTLED = 100.0  # from this sharpness on; until then the surface moves too fast and all of them do
NEAR = 0.12  # the others look at corners within this distance of the surface, normalized units
FEWEST_RAYS = 64


class Reconstruction:
    """The objective of the stage (see `training.loop.Objective`).

    Args:
        model: what is trained. sampler: gives the rays; with masks where there are any.
        config: the trainer's values. seed: of the random numbers.
        pictures: renders pictures for TensorBoard, or None.
    """

    def __init__(
        self,
        model: SurfaceModel,
        sampler: RaySampler,
        config: TrainerConfig,
        seed: int,
        pictures: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self.model, self.sampler, self.config, self.seed = model, sampler, config, seed
        self._pictures = pictures
        self._samples_per_ray = 2.0 / config.max_step_size
        self._rays = self._samples = 0

    def state_dict(self) -> dict[str, float]:
        """What the next step depends on besides the model."""
        return {"samples_per_ray": self._samples_per_ray}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Counterpart of `state_dict`."""
        self._samples_per_ray = float(state["samples_per_ray"])

    def prepare(self, step: int) -> None:
        """Coarse-to-fine levels, and the occupancy grid."""
        config, spec = self.config, self.model.sdf.encoding.spec
        progress = min(1.0, step / config.coarse_to_fine_steps) if config.coarse_to_fine_steps else 1.0
        first = min(config.start_levels, spec.levels)
        self.model.sdf.encoding.set_active_levels(first + (spec.levels - first) * progress)
        if step >= config.grid_start and step % config.grid_every == 0:
            whole = step // config.grid_every % FULL_REFRESH == 0 or self.model.grid.sharpness < SETTLED
            self.model.refresh_grid(None if whole else NEAR)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted losses of one batch of rays."""
        config = self.config
        rays = self.sampler.sample(self._ray_count(), step)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        jitter = torch.rand(len(rays), generator=generator).to(rays.origins.device)
        anneal = min(1.0, step / config.anneal_steps) if config.anneal_steps else 1.0
        out = self.model.render(rays, self.step_size(), jitter, anneal, config.least_weight)
        self._rays += len(rays)
        self._samples += out.samples
        self._samples_per_ray += 0.1 * (max(1.0, out.samples / len(rays)) - self._samples_per_ray)
        return self._weigh(rays, out)

    def _ray_count(self) -> int:
        wanted = int(self.config.samples_per_step / self._samples_per_ray)
        return max(min(FEWEST_RAYS, self.config.max_rays), min(self.config.max_rays, wanted))

    def step_size(self) -> float:
        """Sample length: as long as the surface is wide, between the configured bounds."""
        width = 1.0 / float(self.model.inv_std.detach())
        return min(max(width, self.config.step_size), self.config.max_step_size)

    def _weigh(self, rays: RayBatch, out: RenderOutput) -> tuple[Tensor, dict[str, Tensor]]:
        weights = self.config.loss
        per_ray = losses.color_huber if weights.color is ColorLoss.huber else losses.color_l1
        color = per_ray(out.rgb, rays.rgb)
        slope = losses.eikonal(out.gradients).sum() / max(out.samples, 1)
        squared = ((out.rgb.detach() - rays.rgb) ** 2).mean(dim=1)
        if rays.mask is None:
            color, mask, error = color.mean(), color.new_zeros(()), squared.mean()
        else:
            inside = rays.mask.sum() + 1e-6
            color, error = (color * rays.mask).sum() / inside, (squared * rays.mask).sum() / inside
            mask = losses.mask_bce(out.opacity, rays.mask).mean()
        total = weights.color_weight * color + weights.mask_weight * mask + weights.eikonal_weight * slope
        scalars = {
            "color": color.detach(),
            "mask": mask.detach(),
            "eikonal": slope.detach(),
            "psnr": -10.0 * torch.log10(error.clamp(min=1e-10)),
            "inv_std": self.model.inv_std.detach(),
        }
        return total, scalars

    def counts(self) -> tuple[int, int]:
        """Rays and samples since the last call."""
        counts = (self._rays, self._samples)
        self._rays = self._samples = 0
        return counts

    def pictures(self) -> Mapping[str, Any]:
        """Pictures for TensorBoard."""
        return self._pictures() if self._pictures is not None else {}
