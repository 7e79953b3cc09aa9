"""Render whole views of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nto3d.data.rays import full_view_rays
from nto3d.stages.model import SurfaceModel
from nto3d.types import BoolArray, ByteArray, FloatArray, Scene

CHUNK = 8192  # rays at a time


@dataclass(frozen=True)
class RenderedView:
    """One rendered picture.

    Attributes:
        rgb: uint8 [H, W, 3]. normal: float32 [H, W, 3], unit where there is a surface, normalized frame.
        depth: float32 [H, W], distance along the ray, normalized units, 0 = nothing. opacity: float32 [H, W].
    """

    rgb: ByteArray
    normal: FloatArray
    depth: FloatArray
    opacity: FloatArray

    @property
    def mask(self) -> BoolArray:
        """Where the surface covers at least half of the ray, [H, W]."""
        return self.opacity > 0.5


@torch.no_grad()
def render_view(model: SurfaceModel, scene: Scene, view: int, dt: float) -> RenderedView:
    """Render a view of a scene.

    Args:
        view: index of the view. dt: sample length, normalized units.
    """
    device = model.variance.device
    height, width = scene.cameras.size
    parts: list[torch.Tensor] = []
    for rays in full_view_rays(scene, view, device, CHUNK):
        jitter = torch.full((len(rays),), 0.5, device=device)
        out = model.render(rays, dt, jitter)
        parts.append(torch.cat([out.rgb, out.normal, out.depth[:, None], out.opacity[:, None]], dim=1).float().cpu())
    flat = torch.cat(parts).reshape(height, width, 8).numpy()
    normal = flat[..., 3:6]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    rgb = np.rint(flat[..., :3].clip(0.0, 1.0) * 255.0).astype(np.uint8)
    return RenderedView(rgb, normal, flat[..., 6], flat[..., 7])
