"""The reconstruction stage: fit surface and colour to the pictures and masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nto3d.config.trainer import ColorLoss, TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.stages.features.term import FeatureTerm
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.photometric import PhotometricTerm
from nto3d.stages.reconstruct.start import distance_at
from nto3d.stages.reconstruct.stereo_points import StereoTerm
from nto3d.stages.reconstruct.surface import SurfaceTerms
from nto3d.training import losses
from nto3d.training.parallel import Losses, Shard
from nto3d.types import RayBatch, RenderOutput

FULL_REFRESH = 8  # every so many refreshes of the grid look at the whole hull
NEAR, REACHES = 0.12, 1.5  # the others look at corners so near to the surface: normalized units, and `grid.reach`
FEWEST_RAYS = 64
CRISP = 100.0  # sharpness from which on the surface counts as crisp: it moves slowly, its weight sits in few samples
SOFT_OFTEN, SOFT_STRIDE = 4, 2  # until then the grid is refreshed so many times as often, at every other corner


class Reconstruction:
    """The objective of the stage (see `training.loop.Objective`).

    Args:
        model: what is trained. sampler: gives the rays; with masks where there are any.
        config: the trainer's values. seed: of the random numbers.
        pictures: renders pictures for TensorBoard, or None.
        start: [G, G, G] signed distance that the surface keeps to at first (see `stages.reconstruct.start`), or None.
        features: what is asked of the model's feature field, or None.
        photometric: compares patches of the pictures over the surface, or None.
        pull: points of a stereo surface to keep to at first, or None.
    """

    def __init__(
        self,
        model: SurfaceModel,
        sampler: RaySampler,
        config: TrainerConfig,
        seed: int,
        pictures: Callable[[], Mapping[str, Any]] | None = None,
        start: Tensor | None = None,
        features: FeatureTerm | None = None,
        photometric: PhotometricTerm | None = None,
        pull: StereoTerm | None = None,
    ) -> None:
        self.model, self.sampler, self.config, self.seed = model, sampler, config, seed
        self._pictures = pictures
        self._start, self._fade = start, 0.0
        self._stereo = pull
        self._features, self._feature_weight, self._feature_gradient = features, 0.0, 0.0
        self._surface = SurfaceTerms(model, photometric, sampler.pixel)
        self._with_patches, self._patch_weight, self._level = photometric is not None, 0.0, 0
        self._samples_per_ray = 2.0 / config.max_step_size
        self._rays = self._samples = 0
        self._crisp = False  # whether a fine refresh has seen the whole hull
        self._pending: tuple[int, list[int]] = (0, [])  # rays of the last step and the samples of its shards

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on besides the model."""
        self._settle()
        stereo = None if self._stereo is None else self._stereo.state_dict()
        return {"samples_per_ray": self._samples_per_ray, "crisp": self._crisp, "start": self._start, "stereo": stereo}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        self._samples_per_ray = float(state["samples_per_ray"])
        self._crisp = bool(state["crisp"])
        self._start = state["start"]
        stereo = state.get("stereo")
        self._stereo = None if stereo is None else StereoTerm.from_state(stereo)

    def prepare(self, step: int) -> None:
        """Coarse-to-fine levels, and the occupancy grid."""
        config, spec = self.config, self.model.sdf.encoding.spec
        progress = min(1.0, step / config.coarse_to_fine_steps) if config.coarse_to_fine_steps else 1.0
        first = min(config.start_levels, spec.levels)
        self.model.sdf.encoding.set_active_levels(first + (spec.levels - first) * progress)
        if step >= config.start_steps:
            self._start = None  # nothing pulls any more; checkpoints need not keep it
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
            near = min(NEAR, REACHES * self.model.grid.reach(float(self.model.inv_std.detach())))
            self.model.refresh_grid(near=None if whole else near)
            self._crisp = True

    def shards(self, step: int, count: int) -> list[Shard]:
        """The losses of one batch of rays, in `count` parts."""
        config = self.config
        self._fade = max(0.0, 1.0 - step / config.start_steps) if config.start_steps else 0.0
        if self._features is not None:
            self._feature_weight, self._feature_gradient = (
                self._features.weight(step),
                self._features.gradient_share(step),
            )
        asked = self._feature_weight > 0.0
        if self._with_patches:
            ramp = (step - config.patch_start) / max(1, config.patch_ramp)
            self._level = int(step < config.patch_fine)
            self._patch_weight = config.loss.patch_weight * min(1.0, max(0.0, ramp))
        self._settle()  # before the rays are counted: a checkpoint or a log line in between must not make a difference
        rays = self.sampler.sample(self._ray_count(), step)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        jitter = torch.rand(len(rays), generator=generator).to(rays.origins.device)
        anneal = min(1.0, step / config.anneal_steps) if config.anneal_steps else 1.0
        size = self.step_size()
        least = config.least_weight * min(1.0, max(0.2, float(self.model.inv_std.detach()) / CRISP))
        inside = self._inside(rays)
        more, patches = None, 0.0
        if self._patch_weight > 0.0:
            more = self.sampler.sample(config.patch_rays, step, stream=1)
            patches = inside + self._inside(more)
        samples = [0] * count
        self._pending = (len(rays), samples)

        def shard(number: int, part: slice, further: slice) -> Losses:
            some = rays[part]
            out = self.model.render(
                some, size, jitter[part], anneal, least, features=asked, feature_gradient=self._feature_gradient
            )
            samples[number] = out.samples
            rest = None if more is None else more[further]
            total, shares = self._weigh(some, out, rest, inside, patches, len(rays), count)
            if self._stereo is not None:
                pull = self._stereo.share(self.model, step, number, count)
                total, shares = total + pull, {**shares, "stereo": pull.detach()}
            return total, shares

        parts, others = _parts(len(rays), count), _parts(0 if more is None else len(more), count)
        return [partial(shard, number, parts[number], others[number]) for number in range(count)]

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

    def _weigh(
        self,
        rays: RayBatch,
        out: RenderOutput,
        more: RayBatch | None,
        inside: float,
        patches: float,
        whole: int,
        shards: int,
    ) -> Losses:
        """The share of the loss of some rays of a batch of `whole` rays, `inside` of which see the target."""
        weights = self.config.loss
        per_ray = losses.color_huber if weights.color is ColorLoss.huber else losses.color_l1
        rgb = self.model.pictured(out.rgb, rays.view, rays.rgb)
        color = per_ray(rgb, rays.rgb)
        squared = ((rgb.detach() - rays.rgb) ** 2).mean(dim=1)
        counts = self._color_counts(rays)
        if counts is not None:
            color, squared = color * counts, squared * counts
        mask = self._mask_loss(rays, out).sum() / whole
        color, error = color.sum() / inside, squared.sum() / inside
        slope = losses.eikonal(out.gradients).sum() / (max(out.samples, 1) * shards)
        total = weights.color_weight * color + weights.mask_weight * mask + weights.eikonal_weight * slope
        if not self.sampler.with_masks:
            # A surface painted like the sky, once there, looks as right as the sky behind it
            total = total + weights.empty_weight * out.opacity.sum() / whole
        surface = self._surface.losses(rays, out, more, self._level, weights.curvature_weight > 0.0)
        bend, patch = surface.bend / whole, surface.patch / max(patches, 1.0)
        pull = self._pull(out, shards)
        feature = self._feature_loss(rays, out) / inside
        total = total + weights.curvature_weight * bend + pull + self._feature_weight * feature
        total = total + self._patch_weight * patch
        total = total + self._departure(shards)
        sharpness = self.model.inv_std.detach() / shards
        shares = {
            "color": color,
            "mask": mask,
            "eikonal": slope,
            "curvature": bend,
            "start": pull,
            "patch": patch,
            "squared_error": error,
            "inv_std": sharpness,
        }
        if self._features is not None:
            shares["feature"] = feature
        return total, {name: value.detach() for name, value in shares.items()}

    def _color_counts(self, rays: RayBatch) -> Tensor | None:
        """How much the colour of each ray counts, [R]; None: all alike."""
        return rays.mask

    def _inside(self, rays: RayBatch) -> float:
        """How many rays of a batch have a colour that counts."""
        counts = self._color_counts(rays)
        return float(counts.sum()) + 1e-6 if counts is not None else float(len(rays))

    def _mask_loss(self, rays: RayBatch, out: RenderOutput) -> Tensor:
        """Disagreement with the masks, [R]."""
        if rays.mask is None:
            return out.opacity.new_zeros(len(rays))
        return losses.mask_bce(out.opacity, rays.mask)

    def _feature_loss(self, rays: RayBatch, out: RenderOutput) -> Tensor:
        """Sum over some rays of how far rendered features are from the pictures', where the target is seen."""
        if self._features is None or out.feature is None:
            return out.rgb.new_zeros(())
        counts = self._color_counts(rays)
        if counts is None:
            counts = out.opacity.detach()
        chosen = torch.nonzero(counts > 0.0)[:, 0]
        return (self._features.distance(rays[chosen], out.feature[chosen]) * counts[chosen]).sum()

    def _pull(self, out: RenderOutput, shards: int) -> Tensor:
        """Towards what training starts from: until the colours are good, they would push the surface around."""
        weight = self.config.loss.start_weight * self._fade
        if weight == 0.0 or self._start is None:
            return out.sdf.new_zeros(())
        off = (out.sdf - distance_at(self._start, out.positions)).abs().sum() / (max(out.samples, 1) * shards)
        return weight * off

    def _departure(self, shards: int) -> Tensor | float:
        """A shard's share of the loss of exposures that are not as estimated."""
        exposure, weight = self.model.exposure, self.config.loss.exposure_weight
        return 0.0 if exposure is None or weight == 0.0 else weight * exposure.departure() / shards

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


def _parts(length: int, count: int) -> list[slice]:
    """Slices that divide a length into `count` parts."""
    bounds = [length * number // count for number in range(count + 1)]
    return [slice(bounds[number], bounds[number + 1]) for number in range(count)]
