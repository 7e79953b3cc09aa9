"""The reconstruction stage: fit surface and colour to the pictures and masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from nto3d.config import ColorLoss, TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.stages.model import SurfaceModel
from nto3d.training import losses
from nto3d.training.parallel import Losses, Shard
from nto3d.types import RayBatch, RenderOutput

FULL_REFRESH = 8  # every so many refreshes of the grid look at the whole hull
NEAR = 0.12  # the others look at corners within this distance of the surface, normalized units
FEWEST_RAYS = 64
CRISP = 100.0  # sharpness from which on the surface counts as crisp: it moves slowly, its weight sits in few samples
SOFT_OFTEN, SOFT_STRIDE = 4, 2  # until then the grid is refreshed so many times as often, at every other corner


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
        self._crisp = False  # whether a fine refresh has seen the whole hull
        self._pending: tuple[int, list[int]] = (0, [])  # rays of the last step and the samples of its shards

    def state_dict(self) -> dict[str, float]:
        """What the next step depends on besides the model."""
        self._settle()
        return {"samples_per_ray": self._samples_per_ray, "crisp": float(self._crisp)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Counterpart of `state_dict`."""
        self._samples_per_ray = float(state["samples_per_ray"])
        self._crisp = bool(state["crisp"])

    def prepare(self, step: int) -> None:
        """Coarse-to-fine levels, and the occupancy grid."""
        config, spec = self.config, self.model.sdf.encoding.spec
        progress = min(1.0, step / config.coarse_to_fine_steps) if config.coarse_to_fine_steps else 1.0
        first = min(config.start_levels, spec.levels)
        self.model.sdf.encoding.set_active_levels(first + (spec.levels - first) * progress)
        if step >= config.grid_start:
            self._follow_surface(step)

    def _follow_surface(self, step: int) -> None:
        """Refresh the grid: often and coarsely while the surface is soft and moves fast, later seldom and finely."""
        every = self.config.grid_every
        if float(self.model.inv_std.detach()) < CRISP:
            if step % max(1, every // SOFT_OFTEN) == 0:
                self.model.refresh_grid(stride=SOFT_STRIDE)
        elif step % every == 0:
            whole = step // every % FULL_REFRESH == 0 or not self._crisp
            self.model.refresh_grid(near=None if whole else NEAR)
            self._crisp = True

    def shards(self, step: int, count: int) -> list[Shard]:
        """The losses of one batch of rays, in `count` parts."""
        config = self.config
        rays = self.sampler.sample(self._ray_count(), step)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        jitter = torch.rand(len(rays), generator=generator).to(rays.origins.device)
        anneal = min(1.0, step / config.anneal_steps) if config.anneal_steps else 1.0
        size = self.step_size()
        least = config.least_weight * min(1.0, max(0.2, float(self.model.inv_std.detach()) / CRISP))
        inside = float(rays.mask.sum()) + 1e-6 if rays.mask is not None else float(len(rays))
        self._settle()
        samples = [0] * count
        self._pending = (len(rays), samples)

        def shard(number: int, part: slice) -> Losses:
            some = rays[part]
            out = self.model.render(some, size, jitter[part], anneal, least)
            samples[number] = out.samples
            return self._weigh(some, out, inside, len(rays), count)

        bounds = [len(rays) * number // count for number in range(count + 1)]
        return [partial(shard, number, slice(bounds[number], bounds[number + 1])) for number in range(count)]

    def _ray_count(self) -> int:
        wanted = int(self.config.samples_per_step / self._samples_per_ray)
        return max(min(FEWEST_RAYS, self.config.max_rays), min(self.config.max_rays, wanted))

    def step_size(self) -> float:
        """Sample length: as long as the surface is wide, between the configured bounds."""
        width = 1.0 / float(self.model.inv_std.detach())
        return min(max(width, self.config.step_size), self.config.max_step_size)

    def _settle(self) -> None:
        """Learn from the last step how many samples a ray has."""
        rays, samples = self._pending
        if rays:
            self._rays += rays
            self._samples += sum(samples)
            self._samples_per_ray += 0.1 * (max(1.0, sum(samples) / rays) - self._samples_per_ray)
        self._pending = (0, [])

    def _weigh(self, rays: RayBatch, out: RenderOutput, inside: float, whole: int, shards: int) -> Losses:
        """The share of the loss of some rays of a batch of `whole` rays, `inside` of which see the target."""
        weights = self.config.loss
        per_ray = losses.color_huber if weights.color is ColorLoss.huber else losses.color_l1
        color = per_ray(out.rgb, rays.rgb)
        squared = ((out.rgb.detach() - rays.rgb) ** 2).mean(dim=1)
        mask = color.new_zeros(())
        if rays.mask is not None:
            color, squared = color * rays.mask, squared * rays.mask
            mask = losses.mask_bce(out.opacity, rays.mask).sum() / whole
        color, error = color.sum() / inside, squared.sum() / inside
        slope = losses.eikonal(out.gradients).sum() / (max(out.samples, 1) * shards)
        total = weights.color_weight * color + weights.mask_weight * mask + weights.eikonal_weight * slope
        sharpness = self.model.inv_std.detach() / shards
        shares = {"color": color, "mask": mask, "eikonal": slope, "squared_error": error, "inv_std": sharpness}
        return total, {name: value.detach() for name, value in shares.items()}

    def summary(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """What to log of a step's scalars."""
        values = dict(scalars)
        return {"psnr": -10.0 * math.log10(max(values.pop("squared_error"), 1e-10)), **values}

    def counts(self) -> tuple[int, int]:
        """Rays and samples since the last call."""
        self._settle()
        counts = (self._rays, self._samples)
        self._rays = self._samples = 0
        return counts

    def pictures(self) -> Mapping[str, Any]:
        """Pictures for TensorBoard."""
        return self._pictures() if self._pictures is not None else {}
