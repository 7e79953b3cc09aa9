"""Surface that no ray meets: nothing says where it is, so it should at least be smooth.

What lies below an object or inside a leg is bounded by the hull and by whatever the network happens to say there. The
cells that rays hit are remembered; in the others that hold surface the bending of a thin plate is a loss, so that seen
surface goes on smoothly where it is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.stages.model import SurfaceModel

POINTS = 256  # a step
PIXELS = 3.0  # to either side, between the normals that are compared
FARTHEST = 1.5  # cells that a point may be moved to lie on the surface


class HiddenSurface:
    """Which cells of a model's grid hold surface that no ray has met, and a loss there.

    Args:
        model: its grid and SDF. pixel: width of a pixel on the surface, normalized units. seed: of the points.
    """

    def __init__(self, model: SurfaceModel, pixel: float, seed: int) -> None:
        self._model, self._length, self._seed = model, PIXELS * pixel, seed
        self._met = torch.zeros_like(model.grid.cells)  # uint8 [G, G, G]
        self._cells = torch.zeros(0, dtype=torch.long, device=self._met.device)

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on."""
        return {"met": self._met, "cells": self._cells}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        self._met.copy_(state["met"])
        self._cells = state["cells"].to(self._met.device)

    def meet(self, points: Tensor) -> None:
        """Remember surface points [N, 3] that rays have met; may be called from several threads."""
        side = len(self._met)
        place = ((points.detach() + 1.0) * (side / 2)).long().clamp(0, side - 1)
        self._met.view(-1)[(place[:, 0] * side + place[:, 1]) * side + place[:, 2]] = 1

    @torch.no_grad()
    def refresh(self) -> None:
        """Look for the cells anew; to be called when the grid has followed the surface."""
        distance = self._model.grid.distance[None, None]
        highest = functional.max_pool3d(distance, 2, stride=1)[0, 0]
        lowest = -functional.max_pool3d(-distance, 2, stride=1)[0, 0]
        near = functional.max_pool3d(self._met[None, None].float(), 3, stride=1, padding=1)[0, 0]
        hidden = (lowest < 0) & (highest > 0) & (self._model.grid.hull != 0) & (near == 0)
        self._cells = torch.nonzero(hidden.flatten())[:, 0]

    def share(self, step: int, shard: int, shards: int) -> Tensor:
        """One of the `shards` parts of a step's loss, a scalar; they add up to a mean over points.

        The squared difference of the unit normals at two near points, weighted by the share of surface cells that the
        hidden ones are of a full batch's number.
        """
        count = min(POINTS, len(self._cells))
        points = self._points(step, count)[count * shard // shards : count * (shard + 1) // shards]
        if not len(points):
            return torch.zeros((), device=self._met.device)
        with self._model.autocast(points.device):
            with torch.no_grad():
                sdf, gradient, _ = self._model.sdf(points)
                normal = functional.normalize(gradient.float(), dim=1, eps=1e-6)
                longest = FARTHEST * self._model.grid.cell_size
                points = points - normal * sdf.float().clamp(-longest, longest)[:, None]
                axes = torch.eye(3, device=points.device)[torch.arange(len(points), device=points.device) % 3]
                aside = self._length * functional.normalize(torch.linalg.cross(normal, axes), dim=1, eps=1e-6)
            _, gradients, _ = self._model.sdf(torch.cat([points, points + aside]))
        here, there = functional.normalize(gradients.float(), dim=1, eps=1e-6).chunk(2)
        return ((here - there) ** 2).sum() / POINTS

    def _points(self, step: int, count: int) -> Tensor:
        """Places [count, 3] in hidden cells; they depend on seed and step only."""
        side, generator = len(self._met), torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        if not count:
            return torch.zeros(0, 3, device=self._met.device)
        index = self._cells[torch.randint(len(self._cells), (count,), generator=generator).to(self._cells.device)]
        corner = torch.stack([index // (side * side), index // side % side, index % side], dim=1)
        offset = torch.rand(count, 3, generator=generator).to(index.device)
        return (corner + offset) * (2.0 / side) - 1.0
