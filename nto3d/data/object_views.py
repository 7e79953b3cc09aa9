"""An object as several cameras see it, with its surface: what a network that completes objects learns from.

Letters: V views, H W picture, N surface points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.geometry.cameras import unproject
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray


@dataclass(frozen=True)
class ObjectViews:
    """An object, as V cameras see it and as it is.

    Attributes:
        images: uint8 [V, H, W, 3]. depths: float32 [V, H, W], z along the optical axis, 0 beside the object.
        masks: bool [V, H, W], true on the object. cameras: world is the object's frame.
        surface: float32 [N, 3], spread over the whole surface as far as it is known, the object's
            frame. surface_rgb: uint8 [N, 3], as lit in the pictures. name: of the scene, or of the object's family.
    """

    name: str
    images: ByteArray
    depths: FloatArray
    masks: BoolArray
    cameras: Cameras
    surface: FloatArray
    surface_rgb: ByteArray

    def points(self, view: int) -> FloatArray:
        """Point map [H, W, 3] of a view, its camera's frame (OpenCV axes); the origin beside the object."""
        height, width = self.cameras.size
        xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
        return unproject(self.cameras.intrinsics[view], np.eye(3, 4), xy, self.depths[view])

    def seen(self, view: int) -> FloatArray:
        """The points [S, 3] of the object that a view shows, pixel by pixel; the object's frame."""
        pose = self.cameras.cam_to_world[view]
        return self.points(view)[self.masks[view]] @ pose[:, :3].T + pose[:, 3]

    def surface_in_camera(self, view: int) -> FloatArray:
        """The surface points [N, 3] in a view's camera frame (OpenCV axes)."""
        pose = self.cameras.cam_to_world[view]
        seen: FloatArray = (self.surface - pose[:, 3]) @ pose[:, :3]
        return seen
