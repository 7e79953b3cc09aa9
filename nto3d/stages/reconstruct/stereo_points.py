"""Points of a stereo surface that training keeps to, where stereo was sure of them, and the free space before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.stages.model import SurfaceModel

MOST, CELL = 100_000, 1 / 64  # points that are kept, evenly over cells of this width (normalized units)
BATCH, LATER = 1024, 512  # points a step, while the pull is precise and when it is only coarse
# Normalized units: squared error below, no error beyond (stereo and pictures disagree there)
ROBUST, LOST = 0.004, 0.1
# When the pictures know better than stereo: how far the surface may be from its points, and the weight of the rest
SLACK, GROSS = 0.008, 0.3
FREE, CLEAR = 0.1, 1.0  # how far before a point there must not be a surface, and the weight of that
NAMES = ("positions", "normals", "towards", "confidence")  # of what a checkpoint has of the points
NORMAL = 0.02  # weight of the normals beside distances in normalized units


@dataclass(frozen=True)
class SurfacePoints:
    """Points that should lie on the surface.

    Attributes:
        positions: float32 [N, 3], normalized frame. normals: float32 [N, 3], unit, outwards.
        towards: float32 [N, 3], unit, to the camera that sees the point: nothing lies in between.
        confidence: float32 [N] in 0..1.
    """

    positions: Tensor
    normals: Tensor
    towards: Tensor
    confidence: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def chosen(self, index: Tensor) -> SurfacePoints:
        """Some of the points."""
        return SurfacePoints(*(values[index] for values in self._values()))

    def to(self, device: torch.device) -> SurfacePoints:
        """The points on a device."""
        return SurfacePoints(*(values.to(device) for values in self._values()))

    def _values(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, name) for name in NAMES)

    def before(self, share: Tensor) -> Tensor:
        """Places [N, 3] on the way to the camera, a share [N] (0..1) of `FREE` away."""
        return self.positions + self.towards * (SLACK + (FREE - SLACK) * share)[:, None]

    def thinned(self, most: int, seed: int) -> SurfacePoints:
        """At most so many of the points, drawn at random, as evenly over the cells of a lattice as they can be.

        What many views see has many points, and what few see would not be asked about.
        """
        if len(self) <= most:
            return self
        place = (self.positions / CELL).floor().long()
        x, y, z = (place - place.amin(dim=0)).unbind(dim=1)
        key = (x * (y.amax() + 1) + y) * (z.amax() + 1) + z
        _, cell = torch.unique(key, return_inverse=True)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator).to(cell.device)
        order = order[torch.argsort(cell[order], stable=True)]  # cell after cell, at random within
        count = torch.bincount(cell)
        rank = torch.arange(len(self), device=cell.device) - (count.cumsum(0) - count)[cell[order]]
        again = torch.randperm(len(self), generator=generator).to(cell.device)  # cells of the last rank are drawn, too
        order, rank = order[again], rank[again]
        return self.chosen(order[torch.argsort(rank, stable=True)[:most]].sort().values)


def point_losses(sdf: Tensor, gradient: Tensor, points: SurfacePoints, precise: float = 1.0) -> Tensor:
    """How far a field [N], with its gradient [N, 3], is from having the surface at N points, each [N], by confidence.

    Precisely: Huber's loss of the distance, and the difference of the normals. Coarsely: what of the distance is beyond
    `SLACK`. Beyond `LOST` both are constant.

    Args:
        precise: share of the precise loss, 0..1; the rest is the coarse one.
    """
    off = sdf.abs()
    distance = torch.where(off < ROBUST, 0.5 * off * off / ROBUST, off - 0.5 * ROBUST)
    turned = 1.0 - (functional.normalize(gradient, dim=1, eps=1e-6) * points.normals).sum(dim=1)
    counts = points.confidence * (off.detach() < LOST)
    return counts * (precise * (distance + NORMAL * turned) + (1.0 - precise) * GROSS * torch.relu(off - SLACK))


def free_losses(sdf: Tensor, points: SurfacePoints) -> Tensor:
    """How far inside the solid a field [N] has places that are seen through, see `SurfacePoints.before`, each [N]."""
    return CLEAR * points.confidence * torch.relu(-sdf)


class StereoTerm:
    """A loss that is precise at first and coarse later, when the pictures know better.

    It stays to the end: without it, surface that few views see may move away from where stereo saw it for good.

    Args:
        points: where stereo saw the surface; see `SurfacePoints.thinned`. weight: at the first step.
        steps: until the precise loss has faded out. seed: of the random choice.
    """

    def __init__(self, points: SurfacePoints, weight: float, steps: int, seed: int) -> None:
        self.points, self.weight, self.steps, self.seed = points, weight, steps, seed

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        points = {name: getattr(self.points, name) for name in NAMES}
        return {**points, "weight": self.weight, "steps": self.steps, "seed": self.seed}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StereoTerm:
        """Counterpart of `state_dict`.

        Raises:
            InputError: another version of nto3d wrote it, whose points say less.
        """
        for name in NAMES:
            if name not in state:
                raise InputError(
                    f"checkpoint: expected stereo points with {name}, found none (another version of nto3d)"
                )
        points = SurfacePoints(*(state[name] for name in NAMES))
        return cls(points, float(state["weight"]), int(state["steps"]), int(state["seed"]))

    def share(self, model: SurfaceModel, step: int, shard: int, shards: int) -> Tensor:
        """One of the `shards` parts of a step's loss, a scalar; they add up to the mean over a batch of points."""
        device = self.points.positions.device
        precise = max(0.0, 1.0 - step / self.steps) if self.steps else 0.0
        batch = BATCH if precise > 0.0 else LATER
        if self.weight == 0.0 or not len(self.points):
            return torch.zeros((), device=device)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        index = torch.randint(len(self.points), (batch,), generator=generator)
        share = torch.rand(batch, generator=generator)
        mine = slice(batch * shard // shards, batch * (shard + 1) // shards)
        part = self.points.chosen(index[mine].to(device))
        with model.autocast(device):
            sdf, gradient, _ = model.sdf(part.positions)
            before = model.sdf.sdf(part.before(share[mine].to(device)))
        kept = point_losses(sdf.float(), gradient.float(), part, precise) + free_losses(before.float(), part)
        return self.weight * kept.sum() / batch
