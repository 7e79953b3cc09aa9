"""A thin plate under tension that spans a part of a mesh: what it weighs is least for the vertices' positions found.

The system has as many unknowns as vertices move, up to some hundred thousands, and its factors would take a gigabyte.
So it is solved by conjugate gradients with a coarse system of clusters of vertices, whose factors are small.

Letters: M vertices, N free ones, K clusters, C columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from nto3d.export.visibility import median_edge
from nto3d.types import BoolArray, FloatArray, Mesh

TENSION = 0.1  # share of the diagonal: so far the membrane goes on as the surface does, farther in it is flat
CLUSTER, SOFTENED = 4.0, 2  # width of a cluster in edges, and averages over neighbours that make its outline soft
RIDGE = 1e-9  # share of the coarse system's diagonal that is added to it
PRECISION, STEPS = 1e-4, 500  # of the solution, as a share of the first guess's error; the most steps towards it


class Membrane:
    """Values at the free vertices of a mesh, where all others are given.

    They have the least |L x|^2 + |grad x|^2 / reach^2, with L the Laplacian of the vertices' graph (every edge counts
    alike, whatever shape marching cubes gave the faces) and reach = TENSION of the mesh's diagonal: near its border the
    membrane goes on as the surface does, farther in it is flat like a soap film.

    Args:
        mesh: in any frame. free: bool [M], the vertices whose values are wanted.

    Attributes:
        free: see above. patch: [M], labels of the connected parts of the free vertices.
        edge: median length of the mesh's edges.
    """

    def __init__(self, mesh: Mesh, free: BoolArray) -> None:
        neighbours = neighbours_of(mesh)
        degree = np.asarray(neighbours.sum(axis=1)).clip(1)
        laplacian = sparse.diags_array(1 / degree) @ neighbours - sparse.eye_array(len(free), format="csr")
        self.edge = edge = median_edge(mesh)
        reach = TENSION * float(np.linalg.norm(np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0))) / edge
        stretch = (sparse.diags_array(degree) - neighbours) / degree.mean()
        self.free = free
        self._rows, self._others = np.flatnonzero(free), np.flatnonzero(~free)
        energy = (laplacian.T @ laplacian + stretch / reach**2).tocsr()[self._rows]
        self._energy, self._given = energy[:, self._rows].tocsr(), energy[:, self._others].tocsr()
        loose = sparse.diags_array(free.astype(np.float64))
        self.patch: NDArray[np.int32] = connected_components(loose @ neighbours @ loose, directed=False)[1]
        among = neighbours[self._rows][:, self._rows].tocsr()
        self._spread = _clusters(among, mesh.vertices[self._rows], CLUSTER * edge)

    def solve(self, values: FloatArray, pull: FloatArray, start: FloatArray | None = None) -> FloatArray:
        """Values [M, C] with those of the free vertices replaced.

        Args:
            values: [M, C], what the vertices are given or, if they are free, pulled to.
            pull: [M], how strongly: pull |x - values|^2 is added to the energy.
            start: [M, C], a first guess; None: the values.
        """
        own = pull[self._rows]
        system = (self._energy + sparse.diags_array(own)).tocsr()
        right = own[:, None] * values[self._rows] - self._given @ values[self._others]
        result = values.copy()
        result[self._rows] = self._gradients(system, right, (values if start is None else start)[self._rows])
        return result

    def _gradients(self, system: sparse.csr_array, right: FloatArray, found: FloatArray) -> FloatArray:
        """The solution [N, C] by conjugate gradients, preconditioned by the diagonal and the coarse system."""
        across = self._spread
        small = across.T @ system @ across
        small = small + RIDGE * sparse.diags_array(small.diagonal())  # softened clusters may depend on each other
        coarse = splu(small.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        diagonal = system.diagonal()[:, None]

        def precondition(rest: FloatArray) -> FloatArray:
            result: FloatArray = rest / diagonal + across @ coarse.solve(np.ascontiguousarray(across.T @ rest))
            return result

        rest = right - system @ found
        way = precondition(rest)
        size = (rest * way).sum(axis=0)
        enough, tiny = PRECISION**2 * size, np.finfo(np.float64).tiny
        for _ in range(STEPS):
            if (size <= enough).all():
                break
            along = system @ way
            length = size / np.maximum((way * along).sum(axis=0), tiny)
            found, rest = found + length * way, rest - length * along
            better = precondition(rest)
            before, size = size, (rest * better).sum(axis=0)
            way = better + size / np.maximum(before, tiny) * way
        return found


def _clusters(neighbours: sparse.csr_array, positions: FloatArray, width: float) -> sparse.csr_array:
    """What every cluster adds to the vertices at [N, 3], sparse [N, K]: connected vertices of one cell of a lattice."""
    cells = np.floor((positions - positions.min(axis=0)) / width).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    cell, pairs = cell.reshape(-1), neighbours.tocoo()
    inside = cell[pairs.row] == cell[pairs.col]
    joined = sparse.coo_array((pairs.data[inside], (pairs.row[inside], pairs.col[inside])), shape=neighbours.shape)
    count, label = connected_components(joined, directed=False)
    rows = np.arange(len(positions))
    spread = sparse.csr_array((np.ones(len(rows)), (rows, label)), shape=(len(rows), count))
    degree = np.asarray(neighbours.sum(axis=1)).clip(1)
    soften = ((sparse.eye_array(len(rows)) + sparse.diags_array(1 / degree) @ neighbours) / 2).tocsr()
    for _ in range(SOFTENED):
        spread = (soften @ spread).tocsr()
    return spread


def neighbours_of(mesh: Mesh) -> sparse.csr_array:
    """The vertices' graph [M, M], 1 for each pair with a common edge."""
    pairs = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    count = len(mesh.vertices)
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    graph = (graph + graph.T).tocsr()
    graph.data[:] = 1.0
    return graph


def blurred(neighbours: sparse.csr_array, values: FloatArray, rounds: int) -> FloatArray:
    """Values [M] averaged with their neighbours' mean, again and again."""
    degree = np.asarray(neighbours.sum(axis=1)).clip(1)
    for _ in range(rounds):
        values = (values + (neighbours @ values) / degree) / 2
    return values
