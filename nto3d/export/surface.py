"""The zero level set of a function as one closed triangle mesh, evaluated only near the surface.

Words: the *lattice* has `cells` cells an axis and so cells + 1 points; a *coarse block* is 8 cells wide, a *block* 4.
Lattice coordinates count cells from the lower corner of the region; block coordinates count blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import mcubes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nto3d.errors import InputError
from nto3d.export.lattice import COARSE, Lattice, make_lattice
from nto3d.export.regions import Bounds, Field
from nto3d.types import BoolArray, FloatArray, IntArray, Mesh

BLOCK = 4
# Largest gradient norm of the field that the search trusts: a learned SDF has about 1, not exactly 1.
SAFETY = 1.5
_OFFSETS = tuple(itertools.product((0, 1), repeat=3))


class NoSurfaceError(InputError):
    """The field does not change its sign inside the region."""


def extract_surface(
    sdf: Field,
    *,
    resolution: int,
    lower: Bounds,
    upper: Bounds,
    device: torch.device | str = "cpu",
    chunk: int = 2**18,
    occupied: Callable[[Tensor, Tensor], Tensor] | None = None,
    region: Field | None = None,
    close_border: bool = False,
) -> Mesh:
    """Extract the zero level set by marching cubes (Lorensen & Cline 1987) on the blocks near the surface.

    Coarse blocks are kept where their corners differ in sign or the value at the centre is below 1.5 half diagonals;
    they are split once by the same rule. Then every block whose face shows a sign change pulls in its neighbour, so
    the surface is never cut open, however far the field is from a true distance. Only a whole component can be
    missed, and only where the field is steeper than 1.5. The mesh equals that of `extract_dense`.

    Args:
        sdf: [N, 3] float32 positions -> [N] values, negative inside.
        resolution: cells along the longest side of the bounds.
        lower, upper: corners of the region, 3-vectors in the frame in which the sdf is defined (normalized).
        device: where positions are made and the sdf is called.
        chunk: points a call.
        occupied: lower and upper corners [B, 3] of boxes -> bool [B], false where no surface starts; the search does
            not begin there, but follows a surface into such boxes.
        region: a signed distance, negative inside; only the solid inside it is kept (see `regions.unit_sphere`).
        close_border: close the surface half a cell inside the bounds where it would leave them.

    Returns:
        A welded mesh in the frame of the bounds, faces counter-clockwise seen from outside.

    Raises:
        NoSurfaceError: there is no sign change. InputError: the field is not finite or an argument is out of range.
    """
    lattice = make_lattice(sdf, resolution, lower, upper, device, chunk, region, close_border)
    seeds = _search(lattice, occupied)
    store = _BlockStore(lattice)
    crossed = _flood(store, seeds)
    vertices, faces = _march_blocks(store, crossed)
    return _weld(lattice, vertices, faces)


def extract_dense(
    sdf: Field,
    *,
    resolution: int,
    lower: Bounds,
    upper: Bounds,
    device: torch.device | str = "cpu",
    chunk: int = 2**18,
    region: Field | None = None,
    close_border: bool = False,
) -> Mesh:
    """`extract_surface` with every lattice point evaluated: the reference, (resolution + 1)^3 values in memory."""
    lattice = make_lattice(sdf, resolution, lower, upper, device, chunk, region, close_border)
    points = lattice.cells + 1
    values = np.empty(tuple(points), dtype=np.float32)
    plane = np.stack(np.meshgrid(np.arange(points[1]), np.arange(points[2]), indexing="ij"), axis=-1).reshape(-1, 2)
    for x in range(points[0]):
        coordinates = np.concatenate([np.full((len(plane), 1), x), plane], axis=1)
        values[x] = lattice.evaluate(coordinates).reshape(tuple(points[1:]))
    vertices, faces = mcubes.marching_cubes(values, 0.0)
    return _weld(lattice, vertices, faces.astype(np.int64))


def _grid(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """All coordinates [N, 3] of a grid, in C order."""
    return np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), axis=-1)


def _near(lattice: Lattice, blocks: IntArray, size: int) -> BoolArray:
    """Which blocks [B, 3] of `size` cells may hold surface, judged from the value at their centre."""
    low = blocks * size
    high = np.minimum(low + size, lattice.cells)
    half_diagonal = np.linalg.norm((high - low) * lattice.spacing, axis=1) / 2
    return np.abs(lattice.evaluate((low + high) / 2)) < SAFETY * half_diagonal


def _search(lattice: Lattice, occupied: Callable[[Tensor, Tensor], Tensor] | None) -> NDArray[np.int64]:
    """Blocks [B, 3] from which the surface is followed."""
    shape = lattice.blocks(COARSE)
    corner_shape = tuple(count + 1 for count in shape)
    inside = lattice.evaluate(np.minimum(_grid(corner_shape) * COARSE, lattice.cells)).reshape(corner_shape) < 0
    corners = [inside[i : i + shape[0], j : j + shape[1], k : k + shape[2]] for i, j, k in _OFFSETS]
    crossed = (np.any(corners, axis=0) & ~np.all(corners, axis=0)).reshape(-1)

    coarse = _grid(shape)
    kept = crossed | _near(lattice, coarse, COARSE)
    if occupied is not None:
        ends = [coarse * COARSE, np.minimum((coarse + 1) * COARSE, lattice.cells)]
        boxes = [torch.from_numpy(lattice.positions(end).astype(np.float32)).to(lattice.device) for end in ends]
        kept &= occupied(boxes[0], boxes[1]).cpu().numpy()

    children = coarse[kept][:, None] * (COARSE // BLOCK) + np.asarray(_OFFSETS)  # [K, 8, 3]
    exists = np.all(children < lattice.blocks(BLOCK), axis=-1)
    near = np.zeros(exists.shape, dtype=np.bool_)
    near[exists] = _near(lattice, children[exists], BLOCK)
    # A steep field can cross inside a coarse block although no child's centre is near: search all of it.
    near |= (crossed[kept] & ~near.any(axis=1))[:, None]
    return children[near & exists]


class _BlockStore:
    """Field values of the blocks visited so far, each lattice point evaluated once.

    A row holds the 4^3 points that a block *owns*; a block's 5^3 points are its own and those of seven neighbours.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self.shape = lattice.blocks(BLOCK)
        self.visited = np.zeros(self.shape, dtype=np.bool_)
        self._row = np.full([count + 1 for count in self.shape], -1, dtype=np.int32)
        self._values = np.empty((0, BLOCK, BLOCK, BLOCK), dtype=np.float32)

    def visit(self, blocks: IntArray) -> None:
        """Evaluate what blocks [B, 3] need and do not have yet."""
        self.visited[tuple(blocks.T)] = True
        touched = np.zeros(self._row.shape, dtype=np.bool_)
        for offset in _OFFSETS:
            touched[tuple((blocks + offset).T)] = True
        owners = np.argwhere(touched)
        self._add_rows(owners[self._row[tuple(owners.T)] < 0])

        needed = np.zeros((len(owners), BLOCK, BLOCK, BLOCK), dtype=np.bool_)
        for offset in _OFFSETS:
            source = (
                owners - offset
            )  # the block that reaches into this owner's points, at the near faces given by offset
            valid = np.all((source >= 0) & (source < self.shape), axis=1)
            valid[valid] = self.visited[tuple(source[valid].T)]
            near = tuple(slice(0, 1) if step else slice(None) for step in offset)
            needed[:, *near] |= valid[:, None, None, None]
        rows = self._row[tuple(owners.T)]
        needed &= np.isnan(self._values[rows])
        index, *local = np.nonzero(needed)
        coordinates = (owners[index] * BLOCK + np.stack(local, axis=1)).astype(np.int32)
        exists = np.all(coordinates <= self.lattice.cells, axis=1)
        x, y, z = (axis[exists] for axis in local)
        self._values[rows[index[exists]], x, y, z] = self.lattice.evaluate(coordinates[exists])

    def _add_rows(self, owners: IntArray) -> None:
        self._row[tuple(owners.T)] = np.arange(len(self._values), len(self._values) + len(owners), dtype=np.int32)
        fresh = np.full((len(owners), BLOCK, BLOCK, BLOCK), np.nan, dtype=np.float32)
        self._values = np.concatenate([self._values, fresh])

    def gather(self, blocks: IntArray) -> NDArray[np.float32]:
        """Values [B, 5, 5, 5] of visited blocks [B, 3]; NaN beyond the lattice."""
        result = np.empty((len(blocks), BLOCK + 1, BLOCK + 1, BLOCK + 1), dtype=np.float32)
        for offset in _OFFSETS:
            target = tuple(slice(BLOCK, None) if step else slice(0, BLOCK) for step in offset)
            source = tuple(slice(0, 1) if step else slice(None) for step in offset)
            result[:, *target] = self._values[self._row[tuple((blocks + offset).T)]][:, *source]
        return result


def _mixed(values: NDArray[np.float32]) -> BoolArray:
    """Which rows of [B, ...] hold both signs (NaN counts as neither)."""
    rest = tuple(range(1, values.ndim))
    mixed: BoolArray = np.any(values < 0, axis=rest) & np.any(values > 0, axis=rest)
    return mixed


def _flood(store: _BlockStore, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Visit the seeds and whatever the surface reaches from them; returns the blocks [B, 3] that it crosses."""
    crossed = [np.empty((0, 3), dtype=np.int64)]
    frontier = seeds
    while len(frontier):
        store.visit(frontier)
        values = store.gather(frontier)
        mixed = _mixed(values)
        frontier, values = frontier[mixed], values[mixed]
        crossed.append(frontier)
        reached = np.zeros(store.shape, dtype=np.bool_)
        for axis, side in itertools.product(range(3), (0, 1)):
            neighbour = frontier[_mixed(np.take(values, BLOCK * side, axis=axis + 1))].copy()
            neighbour[:, axis] += 2 * side - 1
            neighbour = neighbour[(neighbour[:, axis] >= 0) & (neighbour[:, axis] < store.shape[axis])]
            reached[tuple(neighbour.T)] = True
        frontier = np.argwhere(reached & ~store.visited)
    return np.concatenate(crossed)


def _march_blocks(store: _BlockStore, blocks: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Marching cubes block by block: vertices [M, 3] in lattice coordinates (repeated between blocks), faces [F, 3]."""
    vertices, faces = [np.empty((0, 3))], [np.empty((0, 3), dtype=np.int64)]
    count = 0
    widths = np.minimum(BLOCK, store.lattice.cells - blocks * BLOCK) + 1
    for part in np.array_split(np.arange(len(blocks)), max(1, len(blocks) // 2**14)):
        values = store.gather(blocks[part])
        for block, width, cube in zip(blocks[part], widths[part], values, strict=True):
            new_vertices, new_faces = mcubes.marching_cubes(cube[: width[0], : width[1], : width[2]], 0.0)
            vertices.append(new_vertices + block * BLOCK)
            faces.append(new_faces.astype(np.int64) + count)
            count += len(new_vertices)
    return np.concatenate(vertices), np.concatenate(faces)


def _weld(lattice: Lattice, vertices: FloatArray, faces: NDArray[np.int64]) -> Mesh:
    """Merge vertices that lie on the same lattice edge and map them from lattice coordinates to positions."""
    if len(faces) == 0:
        raise NoSurfaceError("no surface in the region: the field has one sign; train longer or check region and masks")
    nearest = np.rint(vertices)
    axis = np.abs(vertices - nearest).argmax(axis=1)
    rows = np.arange(len(vertices))
    nearest[rows, axis] = np.floor(vertices[rows, axis])
    start = nearest.astype(np.int64)
    _, ny, nz = (int(count) + 1 for count in lattice.cells)
    keys = ((start[:, 0] * ny + start[:, 1]) * nz + start[:, 2]) * 3 + axis
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    # PyMCubes turns its faces towards the smaller value, which is the inside here.
    return Mesh(lattice.positions(vertices[first]), index[faces][:, ::-1].copy())
