"""A solid that holds several objects, divided among them: whose is which part of space.

Masks say whose the *seen* surface is. Where objects touch, the border between them is not seen. It is where the
winding numbers of their surfaces are equal (Jacobson et al. 2013, Robust Inside-Outside Segmentation using Generalized
Winding Numbers): a surface that is open where it touches another one is closed by something like a film across the
opening. Which surface is nearer would not do: below an object that stands on another one, both are equally near.

Letters: K objects, G cells along an axis of [-1, 1]^3.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import fft, ndimage
from torch import Tensor
from torch.nn import functional

from nto3d.export.regions import Field
from nto3d.geometry.cameras import RayCaster
from nto3d.parsers.archives import inflate
from nto3d.parsers.contents import MismatchError
from nto3d.stages.views.projection import Projection, surface_places
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray

CELLS = 128  # along an axis of [-1, 1]^3
SPREAD = 1.0  # cells: standard deviation of the blur that lets a vote count for its neighbours
LEAST_VOTES = 0.05
ISLAND = 0.05  # share of an object's cells; smaller patches of them are mistakes
SMOOTH = 1.2  # cells: standard deviation of the blur that takes the steps out of a border
NEAR = 4.0  # cells from a face: farther away it counts as a point
GAP = 0.02  # cells between two objects: borders are found by linear interpolation, from two sides


@dataclass(frozen=True)
class Labels:
    """Whose the surface is that the views show.

    Attributes:
        nearest: uint8 [G, G, G], the object of the surface that is nearest to a cell. count: K.
    """

    nearest: IntArray
    count: int

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; some ten kilobytes."""
        packed = zlib.compress(self.nearest.astype(np.uint8).tobytes(), 6)
        return {"count": self.count, "nearest": torch.from_numpy(np.frombuffer(packed, dtype=np.uint8).copy())}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Labels:
        """Counterpart of `state_dict`.

        Raises:
            MismatchError: the packed labels are none.
        """
        try:
            raw = np.frombuffer(inflate(state["nearest"].cpu().numpy().tobytes(), CELLS**3), dtype=np.uint8)
        except ValueError as error:
            raise MismatchError(f"objects.labels.nearest: expected packed labels, got others ({error})") from error
        if int(raw.max()) >= int(state["count"]):
            raise MismatchError(f"objects.labels.nearest: expected labels below {state['count']}, got {raw.max()}")
        return cls(raw.reshape((CELLS,) * 3).copy(), int(state["count"]))


def label_surface(
    cameras: Cameras, seen: Mapping[int, Projection], masks: Sequence[Mapping[int, BoolArray]]
) -> tuple[Labels, tuple[int, ...]]:
    """The objects' labels by the votes of their masks for the surface in their pixels.

    Args:
        cameras: of the projections (reduced). seen: the scene's surface in each view.
        masks: of each of the K objects, [h, w] by view, in the projections' pixels.

    Returns:
        The labels, and the objects for which no place of the surface has a majority; with one of these, the labels
        mean nothing.
    """
    caster = RayCaster(cameras, "cpu")
    votes = np.zeros((len(masks) + 1, CELLS**3), dtype=np.float32)  # the last: no object
    for view, found in seen.items():
        points, known = surface_places(caster, found)
        cells = np.floor((points + 1.0) * (CELLS / 2)).astype(np.int64)
        known = known & ~found.differs & ((cells >= 0) & (cells < CELLS)).all(axis=-1)
        owner = np.full(known.shape, len(masks))
        for number, mask in enumerate(masks):
            owner[mask[view]] = number
        flat = np.ravel_multi_index(tuple(cells[known].T), (CELLS,) * 3)
        np.add.at(votes, (owner[known], flat), 1.0)
    grids = [ndimage.gaussian_filter(some.reshape((CELLS,) * 3), SPREAD) for some in votes]
    best = np.argmax(grids, axis=0)
    labels = [(best == number) & (grids[number] > LEAST_VOTES) for number in range(len(masks))]
    missing = tuple(number for number, label in enumerate(labels) if not label.any())
    away = np.stack([ndimage.distance_transform_edt(~_without_islands(label)) for label in labels])
    return Labels(away.argmin(axis=0).astype(np.uint8), len(masks)), missing


def _without_islands(label: BoolArray) -> BoolArray:
    """Cells [G, G, G] without patches that are small beside all of them."""
    parts, count = ndimage.label(label, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.reshape(-1), minlength=count + 1)
    sizes[0] = 0
    large = sizes >= min(ISLAND * sizes.sum(), sizes.max())
    large[0] = False
    kept: BoolArray = large[parts]
    return kept


class Partition:
    """The borders between K objects, as functions that are negative in what belongs to an object.

    At no place two of them are.

    Args:
        labels: of the surface. distances: float [G, G, G] at the cells' centres, negative inside the solid.
        device: where places are asked for.
    """

    def __init__(self, labels: Labels, distances: FloatArray, device: torch.device | str = "cpu") -> None:
        owner, cell = owners(labels, distances < 0.0), 2.0 / CELLS
        fields = []
        for number in range(labels.count):
            own = owner == number
            signed = ndimage.distance_transform_edt(~own) - ndimage.distance_transform_edt(own)
            fields.append(ndimage.gaussian_filter(signed.astype(np.float32), SMOOTH, mode="nearest"))
        values = torch.from_numpy(np.stack(fields) + np.float32(GAP)) * cell
        # grid_sample's x is last
        self._values = values.permute(0, 3, 2, 1)[:, None].contiguous().to(device)

    def __call__(self, number: int) -> Field:
        """The function of an object: values [N] at positions [N, 3], about a distance to its border."""
        grid = self._values[number : number + 1]

        def value(positions: Tensor) -> Tensor:
            place = positions[None, None, None].to(grid)
            return functional.grid_sample(grid, place, align_corners=False, padding_mode="border")[0, 0, 0, 0]

        return value


def owners(labels: Labels, solid: BoolArray) -> IntArray:
    """The object [G, G, G] to which each cell belongs.

    Inside the solid [G, G, G] it is the one with the greatest winding number, elsewhere that of the nearest surface.
    """
    owner = labels.nearest.astype(np.int64)
    solid = solid & np.pad(np.ones([length - 2 for length in solid.shape], dtype=bool), 1)
    if solid.any():
        box = ndimage.find_objects(solid.astype(np.uint8))[0]
        box = tuple(slice(side.start - 1, side.stop + 1) for side in box)
        around = winding_numbers(owner[box], labels.count, solid[box])
        owner[box] = np.where(solid[box], around.argmax(axis=0), owner[box])
    return owner


def winding_numbers(labels: IntArray, count: int, solid: BoolArray) -> FloatArray:
    """How far the surface of each object winds around each cell's centre, float32 [K, X, Y, Z].

    In the solid they sum to 1, outside to 0. The surface is that of the solid's cells: faces between two cells of
    which one is solid. A face belongs to the object that the solid one is labelled with. Its winding number is the
    share of the sphere that it covers, with the sign of the side: a convolution of the faces' normals.

    Args:
        labels: [X, Y, Z], 0 to count - 1. solid: [X, Y, Z], not up to the border.
    """
    size = tuple(fft.next_fast_len(2 * length, real=True) for length in solid.shape)
    inner = tuple(slice(0, length) for length in solid.shape)
    total = np.zeros((count, *solid.shape), dtype=np.float32)
    for axis in range(3):
        # Faces are kept at the cell behind them; where that is solid, they look backwards
        before = np.roll(solid, 1, axis=axis)
        facing = before.astype(np.float32) - solid
        whose = np.where(solid, labels, np.roll(labels, 1, axis=axis))
        kernel = fft.rfftn(_covered(size, axis))
        for number in range(count):
            faces = np.where(whose == number, facing, np.float32(0.0))
            total[number] += fft.irfftn(fft.rfftn(faces, size) * kernel, size)[inner]
    return total


def _covered(size: tuple[int, ...], axis: int) -> FloatArray:
    """The share of the sphere around cells that a face across an axis covers, float32, on a grid that wraps around."""
    offsets = [fft.fftfreq(length, 1.0 / length) for length in size]
    offsets[axis] = offsets[axis] + 0.5  # the face lies half a cell before the centre of its own cell
    near = [np.flatnonzero(np.abs(offset) < NEAR) for offset in offsets]

    def shares(values: Sequence[FloatArray], exact: bool) -> FloatArray:
        grids = list(np.meshgrid(*values, indexing="ij", sparse=True))
        height = grids.pop(axis)
        if not exact:
            return -height / (4.0 * np.pi * (height**2 + grids[0] ** 2 + grids[1] ** 2) ** 1.5)
        corners = [(a, b) for a in (-0.5, 0.5) for b in (-0.5, 0.5)]
        angle = np.sum([4.0 * a * b * _corner(height, grids[0] + a, grids[1] + b) for a, b in corners], axis=0)
        covered: FloatArray = -angle / (4.0 * np.pi)
        return covered

    kernel = shares([offset.astype(np.float32) for offset in offsets], exact=False).astype(np.float32)
    kernel[np.ix_(*near)] = shares([offset[index] for offset, index in zip(offsets, near, strict=True)], exact=True)
    return kernel


def _corner(height: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Solid angle of a rectangle with sides u and v, seen from `height` above one of its corners."""
    angle: FloatArray = np.arctan(u * v / (height * np.sqrt(height**2 + u**2 + v**2)))
    return angle
