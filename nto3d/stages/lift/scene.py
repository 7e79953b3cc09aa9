"""What the scene stage of a lift leaves: geometry and colour of everything, on which any target can be clicked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nto3d.geometry.exposure import Exposures
from nto3d.stages.views.projection import Projection


@dataclass(frozen=True)
class SceneFit:
    """Geometry and colour of everything in a scene, without a target; it serves any number of clicks.

    Attributes:
        model, optimizer: state dicts after the scene stage.
        seen: what the geometry shows in every view. seconds: that the stage took.
        exposures: that the fields were learnt with; None: without, or not known (`state` leaves them to the model's).
        made_with: values by dotted key that shape the fields; None: not known (a checkpoint holds them elsewhere).
    """

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    seen: Mapping[int, Projection]
    seconds: float
    exposures: Exposures | None = None
    made_with: Mapping[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Plain values and tensors for a checkpoint."""
        maps = [self.seen[view] for view in sorted(self.seen)]
        return {
            "model": dict(self.model),
            "optimizer": dict(self.optimizer),
            "seconds": self.seconds,
            "views": torch.tensor([found.view for found in maps]),
            "depth": torch.from_numpy(np.stack([found.depth for found in maps])),
            "opacity": torch.from_numpy(np.stack([found.opacity for found in maps])),
            "differs": torch.from_numpy(np.stack([found.differs for found in maps])),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SceneFit:
        """The same again, from what `state` gave (its tensors may lie on any device).

        Raises:
            KeyError: something is missing.
        """
        depth, opacity, differs = (state[key].cpu().numpy() for key in ("depth", "opacity", "differs"))
        seen = {
            int(view): Projection(int(view), np.zeros_like(depth[row]), depth[row], opacity[row], differs[row])
            for row, view in enumerate(state["views"])
        }
        return cls(state["model"], state["optimizer"], seen, float(state["seconds"]))
