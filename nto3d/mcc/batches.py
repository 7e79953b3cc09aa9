"""What MCC learns from: views with places of which it is known whether they are on the object.

Everything here is in the network's frame (see `inputs`): normalized by the seen points, PyTorch3D's axes (x left, y up,
z forward). What the published training does is taken from its paper (Wu et al. 2023, section 4) and its defaults.

Letters: B batch, S side of the picture, P side of the point map, N surface points, Q places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch import Tensor

from nto3d.mcc.hints import Hints
from nto3d.mcc.inputs import MARGIN, seen_view
from nto3d.mcc.model import MccSizes
from nto3d.mcc.query import EXTENT
from nto3d.types import BoolArray, ByteArray, FloatArray


@dataclass(frozen=True)
class Subject:
    """A seen view and the whole surface, before augmentation: made once a view, good for many examples.

    Attributes:
        image: uint8 [3, S, S]. points: float32 [P, P, 3]. valid: bool [P, P]. surface: float32 [N, 3], in any frame:
            the views of an object share it. rgb: uint8 [N, 3] of the surface. place: [3, 4] float64, from the
            surface's frame to the network's. seen: float32 [., 3], points for hints, and eye: [3], the camera's centre,
            both in the network's frame; None for a network that takes no hints.
    """

    image: Tensor
    points: Tensor
    valid: Tensor
    surface: FloatArray
    rgb: ByteArray
    place: FloatArray
    seen: FloatArray | None = None
    eye: FloatArray | None = None

    @property
    def normalized(self) -> FloatArray:
        """The surface in the network's frame, float64 [N, 3]."""
        return self.surface.astype(np.float64) @ self.place[:, :3].T + self.place[:, 3]


@dataclass(frozen=True)
class Augmentation:
    """How examples of one view differ; the defaults are the published ones.

    Attributes:
        scale: every axis is stretched by 1 - scale .. 1 + scale, each on its own. shift: then moved by up to this, the
            network's unit. degrees: then turned by up to this about x, y and z, in this order. flip: probability of
            being mirrored, picture and points together, before all that.
    """

    scale: float = 0.2
    shift: float = 1.0
    degrees: float = 180.0
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.scale < 1 and self.shift >= 0 and 0 <= self.degrees <= 180 and 0 <= self.flip <= 1):
            raise ValueError(f"expected a scale below 1, degrees up to 180, a probability to flip, got {self}")


PLAIN = Augmentation(0.0, 0.0, 0.0, 0.0)  # for evaluation


@dataclass(frozen=True)
class Places:
    """Where the network is asked.

    Attributes:
        count: Q; the published training asks 550. near: the last round(near * count) of them lie about the surface, as
            their share in the box is some four in a hundred (the published training has none): a surface point moved
            by a normal deviate of `spread` along each axis. The others are uniform in the box -extent..extent.
        distance: a place nearer than this to a surface point is occupied.

    Lengths are in the network's unit. With `near` above 0 the network sees more occupied places than there are in
    space and answers higher; the uniform ones come first, for who wants to weigh them apart.
    """

    count: int = 550
    near: float = 0.5
    spread: float = 0.15
    extent: float = EXTENT
    distance: float = 0.1

    def __post_init__(self) -> None:
        if not (self.count > 0 and 0 <= self.near <= 1 and min(self.spread, self.extent, self.distance) > 0):
            raise ValueError(f"expected positive numbers and a share near the surface of 0 to 1, got {self}")


@dataclass(frozen=True)
class Example:
    """One view with its places; a batch of them has a first axis B more everywhere.

    Attributes:
        image: float32 [3, S, S], colours in 0..1. points: float32 [P, P, 3], 0 where not valid. valid: bool [P, P].
        places: float32 [Q, 3]. occupied: bool [Q]. rgb: uint8 [Q, 3], of the surface point nearest to each place.
        hints: float32 [Q, COUNT] about the places; [Q, 0] for a network that takes none.
    """

    image: Tensor
    points: Tensor
    valid: Tensor
    places: Tensor
    occupied: Tensor
    rgb: Tensor
    hints: Tensor

    def to(self, device: torch.device | str) -> Example:
        """The same on a device."""
        return Example(
            *(
                value.to(device, non_blocking=True)
                for value in (self.image, self.points, self.valid, self.places, self.occupied, self.rgb, self.hints)
            )
        )


def make_subject(
    image: ByteArray,
    points: FloatArray,
    mask: BoolArray,
    surface: FloatArray,
    rgb: ByteArray,
    sizes: MccSizes,
    margin: int = MARGIN,
    cam_to_surface: FloatArray | None = None,
) -> Subject:
    """Bring a view and the surface behind it to the network's frame.

    Args:
        image, points, mask, sizes, margin: as of `seen_view`; points [H, W, 3] in the camera's frame, OpenCV axes.
        surface: [N, 3], all around the object, the same unit. rgb: uint8 [N, 3], its colours.
        cam_to_surface: [3, 4] rotation and camera centre in the surface's frame; None: it is the camera's.

    Raises:
        InputError: the mask has next to no points, or all in one place.
    """
    if surface.ndim != 2 or surface.shape[1] != 3 or not len(surface) or rgb.shape != surface.shape:
        raise ValueError(f"expected surface points and colours [N, 3], got {surface.shape} and {rgb.shape}")
    seen = seen_view(image, points, mask, sizes, margin)
    pose = np.eye(3, 4) if cam_to_surface is None else cam_to_surface
    # an affine map is known by where it takes the origin and the ends of the axes
    corners = seen.from_camera((np.vstack([np.zeros(3), np.eye(3)]) - pose[:, 3]) @ pose[:, :3])
    place = np.column_stack([(corners[1:] - corners[0]).T, corners[0]])
    colors = (seen.image * 255.0).round().to(torch.uint8)
    told = (seen.seen.astype(np.float32), seen.eye) if sizes.hints else (None, None)
    return Subject(colors, seen.points, seen.valid, surface.astype(np.float32, copy=False), rgb, place, *told)


def generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The random numbers of example `index` of a step: the same, whoever makes it and in whatever order."""
    return np.random.default_rng([seed, step, index])


def make_example(subject: Subject, places: Places, augmentation: Augmentation, random: np.random.Generator) -> Example:
    """One example: the view as augmented, and places with their answers.

    Places and answers belong to the augmented surface: the shell is `distance` thick whatever the stretch, and the box
    is the one that is swept later. (The published code draws and answers before it augments.)
    """
    image, points, valid = subject.image.float() / 255.0, subject.points, subject.valid
    surface = subject.normalized
    mirrored = bool(random.random() < augmentation.flip)
    if mirrored:
        # x is to the side in the network's frame; the mean of the points is mirrored with them
        image, points, valid = image.flip(2), points.flip(1) * points.new_tensor([-1.0, 1.0, 1.0]), valid.flip(1)
        surface = surface * (-1.0, 1.0, 1.0)
    matrix, offset = _movement(augmentation, random)
    moved = points.double() @ torch.from_numpy(matrix.T.copy()) + torch.from_numpy(offset)
    points = torch.where(valid[..., None], moved, torch.zeros_like(moved)).float()
    surface = surface @ matrix.T + offset
    asked = _drawn(surface, places, random).astype(np.float32)
    # plain halving of the surface: built for one use, and three times as fast to build
    distance, nearest = cKDTree(surface, balanced_tree=False, compact_nodes=False).query(asked)
    return Example(
        image=image,
        points=points,
        valid=valid,
        places=torch.from_numpy(asked),
        occupied=torch.from_numpy(distance < places.distance),
        rgb=torch.from_numpy(subject.rgb[nearest]),
        hints=torch.from_numpy(_hints(subject, asked, mirrored, matrix, offset)),
    )


def _hints(subject: Subject, asked: FloatArray, mirrored: bool, matrix: FloatArray, offset: FloatArray) -> FloatArray:
    """Hints about places [Q, 3] of the augmented view: its points and its camera moved like everything else."""
    if subject.seen is None or subject.eye is None:
        return np.zeros((len(asked), 0), dtype=np.float32)
    sides = np.array([-1.0, 1.0, 1.0] if mirrored else [1.0, 1.0, 1.0])
    seen, eye = (points.astype(np.float64) * sides @ matrix.T + offset for points in (subject.seen, subject.eye))
    return Hints(seen, eye).at(asked)


def collate(examples: Sequence[Example]) -> Example:
    """A batch: every tensor with a first axis B.

    Raises:
        ValueError: there is none, or their sizes differ.
    """
    if not examples:
        raise ValueError("expected at least one example, got none")
    sizes = {(one.image.shape, one.points.shape, one.places.shape) for one in examples}
    if len(sizes) > 1:
        raise ValueError(f"expected examples of one size, got {len(sizes)} different ones")
    return Example(
        image=torch.stack([one.image for one in examples]),
        points=torch.stack([one.points for one in examples]),
        valid=torch.stack([one.valid for one in examples]),
        places=torch.stack([one.places for one in examples]),
        occupied=torch.stack([one.occupied for one in examples]),
        rgb=torch.stack([one.rgb for one in examples]),
        hints=torch.stack([one.hints for one in examples]),
    )


def _movement(augmentation: Augmentation, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Matrix [3, 3] and offset [3]: a place p goes to matrix @ p + offset."""
    scale = random.uniform(1.0 - augmentation.scale, 1.0 + augmentation.scale, size=3)
    shift = random.uniform(-augmentation.shift, augmentation.shift, size=3)
    angles = random.uniform(-augmentation.degrees, augmentation.degrees, size=3)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()  # lower case: about the fixed axes
    return turn * scale, turn @ shift


def _drawn(surface: FloatArray, places: Places, random: np.random.Generator) -> FloatArray:
    """Places [Q, 3]: the uniform ones, then those about the surface [N, 3]."""
    near = round(places.near * places.count)
    uniform = random.uniform(-places.extent, places.extent, size=(places.count - near, 3))
    chosen = surface[random.integers(len(surface), size=near)]
    return np.concatenate([uniform, chosen + random.normal(scale=places.spread, size=(near, 3))])
