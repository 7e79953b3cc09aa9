"""The lift: masks of single views become a target field in space, on the geometry of the whole scene."""

from __future__ import annotations

from torch import Tensor

from nto3d.config.schema import TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.training import losses
from nto3d.types import RayBatch, RenderOutput


class Lift(Reconstruction):
    """Geometry and colour of everything, and the target field: p(ray) = sum_k w_k sigmoid(o_k) against the masks.

    Args:
        model: with a background and a target field. sampler: gives the rays, with masks from the second stage on.
        start: see `Reconstruction`.
        trust: [V] how much each view's mask counts, 0..1, or None where there are no masks yet.
    """

    def __init__(
        self,
        model: SurfaceModel,
        sampler: RaySampler,
        config: TrainerConfig,
        seed: int,
        start: Tensor | None = None,
        trust: Tensor | None = None,
    ) -> None:
        super().__init__(model, sampler, config, seed, start=start)
        self._trust = trust

    def _color_counts(self, rays: RayBatch) -> Tensor | None:
        return None  # everything is reconstructed

    def _mask_loss(self, rays: RayBatch, out: RenderOutput) -> Tensor:
        if rays.mask is None or self._trust is None or out.occupancy is None:
            return out.opacity.new_zeros(len(rays))
        trust: Tensor = self._trust[rays.view]
        return trust * losses.mask_bce(out.occupancy, rays.mask)
