"""Posed pictures of one place, and their cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.types.arrays import BoolArray, ByteArray, FloatArray, expect
from nto3d.types.mesh import Mesh


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras of V views of one picture size.

    Attributes:
        intrinsics: [V, 3, 3] float64, pixels.
        cam_to_world: [V, 3, 4] float64, rotation and camera centre, normalized frame, OpenCV axes.
        size: (H, W) in pixels.

    Raises:
        ValueError: a shape is wrong, a value is not finite, or a rotation is not orthonormal.
    """

    intrinsics: FloatArray
    cam_to_world: FloatArray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        views = len(self.intrinsics)
        expect(self.intrinsics.shape == (views, 3, 3), "intrinsics [V, 3, 3]", self.intrinsics.shape)
        expect(self.cam_to_world.shape == (views, 3, 4), f"cam_to_world [{views}, 3, 4]", self.cam_to_world.shape)
        finite = bool(np.isfinite(self.intrinsics).all() and np.isfinite(self.cam_to_world).all())
        expect(finite, "finite camera matrices", "NaN or infinity")
        rotation = self.cam_to_world[:, :, :3]
        with np.errstate(over="ignore", invalid="ignore"):
            off = float(np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max()) if views else 0.0
        expect(off < 1e-4, "orthonormal rotations", f"a deviation of {off:.2g}")
        expect(min(self.size) > 0, "a positive picture size", self.size)

    def __len__(self) -> int:
        return len(self.intrinsics)

    @property
    def centers(self) -> FloatArray:
        """Camera centres [V, 3], normalized frame."""
        return self.cam_to_world[:, :, 3]

    @property
    def outward(self) -> FloatArray:
        """Unit directions [V, 3] from the middle of the normalized frame to the camera centres."""
        return self.centers / np.linalg.norm(self.centers, axis=1, keepdims=True).clip(1e-6)


@dataclass(frozen=True)
class Scene:
    """Posed pictures of one place, with what is known about them.

    Attributes:
        name: a short name, used for run folders and titles.
        images: uint8 [V, H, W, 3], RGB. Never copied to float as a whole.
        cameras: the V cameras, normalized frame.
        masks: bool [V, H, W], true on the target, or None where none are given.
        depths: float32 [V, H, W], z along the optical axis in normalized units, 0 = unknown, or None.
        names: V file names without folder.
        train, test: indices of the training and of the held-out views (disjoint, sorted).
        world_from_normalized: [4, 4] float64 similarity.
        gt_mesh: the ground-truth surface in world units, or None.

    Raises:
        ValueError: counts or sizes do not fit each other.
    """

    name: str
    images: ByteArray
    cameras: Cameras
    masks: BoolArray | None
    depths: FloatArray | None
    names: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    world_from_normalized: FloatArray
    gt_mesh: Mesh | None = None

    def __post_init__(self) -> None:
        views, (height, width) = len(self.cameras), self.cameras.size
        expect(self.images.dtype == np.uint8, "uint8 images", self.images.dtype)
        expect(
            self.images.shape == (views, height, width, 3), f"images [{views}, {height}, {width}, 3]", self.images.shape
        )
        for label, maps in (("masks", self.masks), ("depths", self.depths)):
            if maps is not None:
                expect(maps.shape == (views, height, width), f"{label} [{views}, {height}, {width}]", maps.shape)
        if self.masks is not None:
            expect(self.masks.dtype == np.bool_, "bool masks", self.masks.dtype)
        expect(len(self.names) == views, f"{views} names", len(self.names))
        expect(bool(self.train), "at least one training view", self.train)
        expect(not set(self.train) & set(self.test), "disjoint train and test views", (self.train, self.test))
        expect(all(0 <= view < views for view in self.train + self.test), f"view indices below {views}", self.test)
        expect(
            self.world_from_normalized.shape == (4, 4), "world_from_normalized [4, 4]", self.world_from_normalized.shape
        )

    @property
    def scale(self) -> float:
        """World units per normalized unit."""
        return float(abs(np.linalg.det(self.world_from_normalized[:3, :3])) ** (1 / 3))
