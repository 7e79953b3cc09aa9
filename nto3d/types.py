"""The data that flows between the parts of nto3d: frozen dataclasses, checked when made.

Letters: V views, H W image height and width in pixels, R rays, N samples, M vertices, F faces, P points, C channels.

Frames: *world* is the frame and unit of the input cameras (DTU: millimetres). *normalized* is the frame in which
everything is trained: the region of interest is the unit sphere. `Scene.world_from_normalized` maps one to the other.
Camera axes are OpenCV's: x right, y down, z forward. Pixel coordinates: integers are pixel centres, the picture's
top left corner is (-0.5, -0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.floating]
ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer]


def _expect(condition: bool, what: str, came: object) -> None:
    if not condition:
        raise ValueError(f"expected {what}, got {came}")


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
        _expect(self.intrinsics.shape == (views, 3, 3), "intrinsics [V, 3, 3]", self.intrinsics.shape)
        _expect(self.cam_to_world.shape == (views, 3, 4), f"cam_to_world [{views}, 3, 4]", self.cam_to_world.shape)
        finite = bool(np.isfinite(self.intrinsics).all() and np.isfinite(self.cam_to_world).all())
        _expect(finite, "finite camera matrices", "NaN or infinity")
        rotation = self.cam_to_world[:, :, :3]
        off = float(np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max()) if views else 0.0
        _expect(off < 1e-4, "orthonormal rotations", f"a deviation of {off:.2g}")
        _expect(min(self.size) > 0, "a positive picture size", self.size)

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
        _expect(self.images.dtype == np.uint8, "uint8 images", self.images.dtype)
        _expect(
            self.images.shape == (views, height, width, 3), f"images [{views}, {height}, {width}, 3]", self.images.shape
        )
        for label, maps in (("masks", self.masks), ("depths", self.depths)):
            if maps is not None:
                _expect(maps.shape == (views, height, width), f"{label} [{views}, {height}, {width}]", maps.shape)
        if self.masks is not None:
            _expect(self.masks.dtype == np.bool_, "bool masks", self.masks.dtype)
        _expect(len(self.names) == views, f"{views} names", len(self.names))
        _expect(bool(self.train), "at least one training view", self.train)
        _expect(not set(self.train) & set(self.test), "disjoint train and test views", (self.train, self.test))
        _expect(all(0 <= view < views for view in self.train + self.test), f"view indices below {views}", self.test)
        _expect(
            self.world_from_normalized.shape == (4, 4), "world_from_normalized [4, 4]", self.world_from_normalized.shape
        )

    @property
    def scale(self) -> float:
        """World units per normalized unit."""
        return float(abs(np.linalg.det(self.world_from_normalized[:3, :3])) ** (1 / 3))


@dataclass(frozen=True)
class Prompts:
    """What points at the target, or at what is not the target, in one view's picture.

    Attributes:
        view: index of the view.
        points: [P, 2] float64 (x, y), pixels of the view's picture in the scene. labels: [P] int64, 1 on the target, 0
            beside it.
        box: [4] float64 x0, y0, x1, y1 around the target, or None.
        prior: [H, W] float32 in 0..1, how likely each pixel shows the target, or None.
        slack: how far the prior's outline may be wrong, as a share of the target's size; None: unknown.

    Raises:
        ValueError: a shape or a label is wrong, or there is nothing.
    """

    view: int
    points: FloatArray
    labels: IntArray
    box: FloatArray | None = None
    prior: FloatArray | None = None
    slack: float | None = None

    def __post_init__(self) -> None:
        count = len(self.points)
        _expect(self.points.shape == (count, 2), "points [P, 2]", self.points.shape)
        _expect(self.labels.shape == (count,), f"labels [{count}]", self.labels.shape)
        _expect(bool(np.isin(self.labels, (0, 1)).all()), "labels 0 or 1", self.labels)
        _expect(self.box is None or self.box.shape == (4,), "a box [4]", None if self.box is None else self.box.shape)
        _expect(count > 0 or self.box is not None or self.prior is not None, "a point, a box or a prior", "none")

    @property
    def targeted(self) -> bool:
        """Whether something points at the target itself: only then there is a mask to ask for."""
        return bool((self.labels == 1).any()) or self.box is not None or self.prior is not None


@dataclass(frozen=True)
class Mask:
    """Where a segmenter sees the target in one view.

    Attributes:
        view: index of the view. pixels: bool [H, W]. score: 0..1, how sure the segmenter is.
    """

    view: int
    pixels: BoolArray
    score: float


@dataclass(frozen=True)
class RayBatch:
    """R rays through pixels, with what the pictures say there.

    Attributes:
        origins, directions: [R, 3] float32, normalized frame, unit directions.
        view: [R] int64. xy: [R, 2] float32 pixel coordinates (x, y).
        rgb: [R, 3] float32 in 0..1. mask: [R] float32 0/1, or None.
    """

    origins: Tensor
    directions: Tensor
    view: Tensor
    xy: Tensor
    rgb: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        rays = len(self.origins)
        for label, value, tail in (
            ("origins", self.origins, (3,)),
            ("directions", self.directions, (3,)),
            ("view", self.view, ()),
            ("xy", self.xy, (2,)),
            ("rgb", self.rgb, (3,)),
            ("mask", self.mask, ()),
        ):
            if value is not None:
                _expect(tuple(value.shape) == (rays, *tail), f"{label} {[rays, *tail]}", tuple(value.shape))

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, part: slice | Tensor) -> RayBatch:
        mask = None if self.mask is None else self.mask[part]
        where = (self.origins[part], self.directions[part], self.view[part], self.xy[part])
        return RayBatch(*where, self.rgb[part], mask)


@dataclass(frozen=True)
class Samples:
    """Packed samples along rays: the samples of one ray lie together, near to far.

    Attributes:
        positions: [N, 3] normalized frame. ray: [N] int32, index of each sample's ray.
        t: [N] distance of the sample's middle from the ray origin. dt: [N] length of its interval.
        offsets: [R + 1] int32; the samples of ray r are offsets[r] .. offsets[r + 1] - 1.
    """

    positions: Tensor
    ray: Tensor
    t: Tensor
    dt: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        count = len(self.positions)
        _expect(tuple(self.positions.shape) == (count, 3), "positions [N, 3]", tuple(self.positions.shape))
        for label, value in (("ray", self.ray), ("t", self.t), ("dt", self.dt)):
            _expect(tuple(value.shape) == (count,), f"{label} [{count}]", tuple(value.shape))
        _expect(self.offsets.ndim == 1 and len(self.offsets) >= 1, "offsets [R + 1]", tuple(self.offsets.shape))

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class RenderOutput:
    """What volume rendering gives for R rays (N samples behind them).

    Attributes:
        rgb: [R, 3] in 0..1, composited over the background where there is one. normal: [R, 3], not normalised.
        depth: [R] expected distance along the ray (0 where nothing is hit). opacity: [R] in 0..1.
        occupancy: [R] of the target field, or None. feature: [R, C], or None (straight from `render_surface`: sums of
            an embedding, [R, E]).
        positions: [N, 3] of the samples. sdf: [N] signed distance there. gradients: [N, 3] its gradient.
    """

    rgb: Tensor
    normal: Tensor
    depth: Tensor
    opacity: Tensor
    positions: Tensor
    sdf: Tensor
    gradients: Tensor
    occupancy: Tensor | None = None
    feature: Tensor | None = None

    @property
    def samples(self) -> int:
        """How many samples were evaluated, N."""
        return len(self.sdf)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: [M, 3] float64, world units unless said otherwise.
        faces: [F, 3] int64, counter-clockwise seen from outside.
        colors: uint8 [M, 3] RGB, or None.
        seen: integers [M], how many training views see each vertex, or None where that is unknown.

    Raises:
        ValueError: a shape is wrong, a vertex is not finite, or a face names a vertex that does not exist.
    """

    vertices: FloatArray
    faces: IntArray
    colors: ByteArray | None = None
    seen: IntArray | None = None

    def __post_init__(self) -> None:
        count = len(self.vertices)
        _expect(self.vertices.shape == (count, 3), "vertices [M, 3]", self.vertices.shape)
        _expect(self.faces.ndim == 2 and self.faces.shape[1] == 3, "faces [F, 3]", self.faces.shape)
        _expect(bool(np.isfinite(self.vertices).all()), "finite vertices", "NaN or infinity")
        in_range = len(self.faces) == 0 or (int(self.faces.min()) >= 0 and int(self.faces.max()) < count)
        _expect(in_range, f"faces of vertices 0..{count - 1}", "an index outside")
        if self.colors is not None:
            _expect(
                self.colors.shape == (count, 3) and self.colors.dtype == np.uint8,
                f"colors uint8 [{count}, 3]",
                self.colors.shape,
            )
        if self.seen is not None:
            integers = self.seen.shape == (count,) and np.issubdtype(self.seen.dtype, np.integer)
            _expect(integers, f"seen, integers [{count}]", (self.seen.dtype, self.seen.shape))

    def transformed(self, matrix: FloatArray) -> Mesh:
        """The mesh with its vertices mapped by a [4, 4] similarity (faces turned where it mirrors)."""
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
        return Mesh(vertices, self.faces[:, ::-1] if mirrored else self.faces, self.colors, self.seen)
