"""Surface that no training view sees: closed by a smooth membrane, or cut away.

Whether a single vertex is seen is noisy, so what is replaced is a *region*: the counts are blurred along the surface,
and islands of either kind go to what surrounds them.

Letters: M vertices, F faces, E edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from nto3d.export.clean import clean_mesh, with_faces
from nto3d.export.visibility import median_edge
from nto3d.geometry.normals import unit
from nto3d.kernels.raycast import MeshCaster
from nto3d.types import BoolArray, FloatArray, IntArray, Mesh

ENOUGH, LEVEL = 3, 0.3  # views that make a vertex fully seen; blurred share of them below which surface is unseen
BLURS = 10  # averages over neighbours, in which two or three edges count
LEAST_UNSEEN, LEAST_SEEN = 40, 300  # vertices; smaller islands of unseen and of seen surface are noise
BAND, PULL = 0.95, 0.1  # blurred label from where on nothing moves; how a vertex of the border clings to its place
TENSION = 0.03  # share of the diagonal: the membrane goes on as the surface does so far, farther in it is flat
TRIES, HOLD = 5, 10.0  # rounds of holding back what would pass through seen surface, and how firmly it is held


def close_unseen(mesh: Mesh) -> Mesh:
    """The mesh with its unseen surface replaced by a membrane; the faces stay, so a closed mesh stays closed.

    Unseen vertices go where the energy |L x|^2 + |grad x|^2 / TENSION^2 of a thin plate under tension is least, with L
    the graph's Laplacian: near its border it goes on as the surface does, farther in it is flat like a soap film. A
    narrow band of seen vertices beside it clings to its place, so that frayed borders become smooth. Where the membrane
    would pass through seen surface, it is held back. Colours are carried inwards likewise.

    Args:
        mesh: with `seen`, in any frame and unit.

    Returns:
        The mesh; `seen` is 0 wherever the membrane is. Pieces without seen surface are dropped (all stay where there is
        none at all).
    """
    unseen = unseen_region(mesh)
    mesh, unseen = _without_unseen_pieces(mesh, unseen)
    if not unseen.any() or unseen.all():
        return mesh
    membrane = _Membrane(mesh, unseen)
    moved = _held_back(mesh, membrane, membrane.solve(mesh.vertices))
    colors = mesh.colors
    if colors is not None:
        colors = np.rint(membrane.solve(colors.astype(np.float64))).clip(0, 255).astype(np.uint8)
    assert mesh.seen is not None
    return Mesh(moved, mesh.faces, colors, np.where(unseen, 0, mesh.seen).astype(mesh.seen.dtype))


def trim_unseen(mesh: Mesh) -> Mesh:
    """The mesh without its unseen surface and small leftovers, cut through the faces so that the border is smooth.

    Args:
        mesh: with `seen`, in any frame and unit.

    Returns:
        The open mesh (the same where nothing at all is seen, or all is); a vertex of the cut is seen as often as
        the vertex beside it.
    """
    unseen = unseen_region(mesh)
    if not unseen.any() or unseen.all():
        return mesh
    share = _blurred(_neighbours(mesh), (~unseen).astype(np.float64), 2 * BLURS)
    # The blur must not move a vertex to the other side, or islands would come back
    cut = _cut(mesh, np.where(unseen, np.minimum(share, 0.49), np.maximum(share, 0.51)) - 0.5)
    return clean_mesh(cut, largest_only=False)


def unseen_region(mesh: Mesh) -> BoolArray:
    """Which vertices [M] belong to surface that no view sees.

    Raises:
        ValueError: the mesh does not know how many views see its vertices.
    """
    if mesh.seen is None:
        raise ValueError("expected a mesh with seen, got none")
    neighbours = _neighbours(mesh)
    unseen: BoolArray = _sureness(mesh, neighbours) < LEVEL
    for kind, least in ((True, LEAST_UNSEEN), (False, LEAST_SEEN)):
        members = np.flatnonzero(unseen == kind)
        _, island = connected_components(neighbours[members][:, members], directed=False)
        small = np.bincount(island, minlength=1)[island] < least
        if not small.all():  # a mesh that has nothing else stays as it is
            unseen[members[small]] = not kind
    return unseen


def _sureness(mesh: Mesh, neighbours: sparse.csr_array) -> FloatArray:
    """How well the vertices and those around them are seen, [M] in 0..1."""
    assert mesh.seen is not None
    return _blurred(neighbours, np.minimum(mesh.seen, ENOUGH) / ENOUGH, BLURS)


class _Membrane:
    """The linear system whose solution spans the unseen surface."""

    def __init__(self, mesh: Mesh, unseen: BoolArray) -> None:
        neighbours = _neighbours(mesh)
        degree = np.asarray(neighbours.sum(axis=1)).clip(1)
        identity = sparse.eye_array(len(unseen), format="csr")
        laplacian = sparse.diags_array(1 / degree) @ neighbours - identity
        diagonal = float(np.linalg.norm(np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0)))
        reach = TENSION * diagonal / median_edge(mesh)  # edges
        stretch = (sparse.diags_array(degree) - neighbours) / degree.mean()
        self._energy = (laplacian.T @ laplacian + stretch / reach**2).tocsr()
        share = _blurred(neighbours, (~unseen).astype(np.float64), 2 * BLURS)
        self.free = unseen | (share < BAND)
        loose = sparse.diags_array(self.free.astype(np.float64))
        self.patch = connected_components(loose @ neighbours @ loose, directed=False)[1]
        sure = np.minimum((share - 0.5) / (BAND - 0.5), _sureness(mesh, neighbours))
        self._pull = np.where(unseen, 0.0, PULL * sure.clip(0.1, 1) ** 2)
        self._solve = self._factorized(self._pull)

    def solve(self, values: FloatArray, held: BoolArray | None = None, at: FloatArray | None = None) -> FloatArray:
        """Values [M, C] with those of the free vertices replaced.

        Args:
            held: [M], vertices that are held, too, at the values `at` [M, C].
        """
        pull, goals, solve = self._pull, values, self._solve
        if held is not None and at is not None:
            pull, goals = np.where(held, HOLD, pull), np.where(held[:, None], at, values)
            solve = self._factorized(pull)
        free, fixed = np.flatnonzero(self.free), np.flatnonzero(~self.free)
        right = pull[free, None] * goals[free] - self._energy[free][:, fixed] @ values[fixed]
        result = values.copy()
        result[free] = solve(right)
        return result

    def _factorized(self, pull: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """Solves for the free vertices where each [M] is pulled to its goal so strongly."""
        free = np.flatnonzero(self.free)
        system = (self._energy[free][:, free] + sparse.diags_array(pull[free])).tocsc()
        solve: Callable[[FloatArray], FloatArray]
        solve = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
        return solve


def _held_back(mesh: Mesh, membrane: _Membrane, moved: FloatArray) -> FloatArray:
    """Moved vertices [M, 3], changed so that no vertex's way leads through surface that stays where it is.

    What would pass through is stopped half way to it, and the rest of the membrane follows. What still does after some
    rounds goes back together with its patch.
    """
    stays: BoolArray = np.all(~membrane.free[mesh.faces], axis=1)
    if not stays.any():
        return moved
    caster = MeshCaster(with_faces(mesh, stays))
    held, stops = np.zeros(len(moved), dtype=np.bool_), mesh.vertices.copy()
    for _ in range(TRIES):
        through = membrane.free & caster.blocked(mesh.vertices, moved)
        if not through.any():
            return moved
        origins = mesh.vertices[through]
        ways = unit(moved[through] - origins)
        stops[through] = origins + ways * caster.cast(origins, ways).distance[:, None] / 2
        held |= through
        moved = membrane.solve(mesh.vertices, held, stops)
    for share in (0.5, 0.25, 0.0):
        through = membrane.free & caster.blocked(mesh.vertices, moved)
        back = membrane.free & np.isin(membrane.patch, membrane.patch[through])
        moved = np.where(back[:, None], mesh.vertices + share * (moved - mesh.vertices), moved)
    return moved


def _neighbours(mesh: Mesh) -> sparse.csr_array:
    """The vertices' graph [M, M], 1 for each pair with a common edge."""
    pairs = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    count = len(mesh.vertices)
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    graph = (graph + graph.T).tocsr()
    graph.data[:] = 1.0
    return graph


def _blurred(neighbours: sparse.csr_array, values: FloatArray, rounds: int) -> FloatArray:
    """Values [M] averaged with their neighbours' mean, again and again."""
    degree = np.asarray(neighbours.sum(axis=1)).clip(1)
    for _ in range(rounds):
        values = (values + (neighbours @ values) / degree) / 2
    return values


def _without_unseen_pieces(mesh: Mesh, unseen: BoolArray) -> tuple[Mesh, BoolArray]:
    """The mesh and labels [M] without connected pieces that are unseen altogether (as they are where all are)."""
    _, piece = connected_components(_neighbours(mesh), directed=False)
    some = np.bincount(piece, weights=~unseen) > 0
    kept = some[piece[mesh.faces[:, 0]]]
    if kept.all() or not kept.any():
        return mesh, unseen
    used = np.zeros(len(unseen), dtype=np.bool_)
    used[mesh.faces[kept]] = True
    return with_faces(mesh, kept), unseen[used]


def _cut(mesh: Mesh, level: FloatArray) -> Mesh:
    """The part of a mesh where a function, linear on each face, is positive; the border lies where it is 0.

    Args:
        level: [M], the function at the vertices, nowhere 0.
    """
    inside = level > 0
    count = inside[mesh.faces].sum(axis=1)
    # Turned so that the vertex that is alone on its side comes first
    alone = np.where(count == 1, inside[mesh.faces].argmax(axis=1), inside[mesh.faces].argmin(axis=1))
    turned = np.take_along_axis(mesh.faces, (alone[:, None] + np.arange(3)) % 3, axis=1)
    one, two = turned[count == 1], turned[count == 2]
    pairs = np.concatenate([one[:, [0, 1]], one[:, [0, 2]], two[:, [1, 0]], two[:, [2, 0]]])  # inside, outside
    edges, index = np.unique(pairs, axis=0, return_inverse=True)
    parts = np.split(index.reshape(-1) + len(mesh.vertices), np.cumsum([len(one), len(one), len(two)]))
    faces = np.concatenate(
        [
            mesh.faces[count == 3],
            np.stack([one[:, 0], parts[0], parts[1]], axis=1),
            np.stack([two[:, 1], two[:, 2], parts[3]], axis=1),
            np.stack([two[:, 1], parts[3], parts[2]], axis=1),
        ]
    )
    points = _with_points_on(mesh, edges, level)
    return with_faces(replace(points, faces=faces), np.ones(len(faces), dtype=np.bool_))


def _with_points_on(mesh: Mesh, edges: IntArray, level: FloatArray) -> Mesh:
    """The mesh's vertices, and behind them those where the level [M] is 0 on edges [E, 2] from inside to outside."""
    start, end = edges.T
    share = (level[start] / (level[start] - level[end]))[:, None]
    vertices = np.concatenate([mesh.vertices, mesh.vertices[start] * (1 - share) + mesh.vertices[end] * share])
    colors = seen = None
    if mesh.colors is not None:
        mixed = mesh.colors[start] * (1 - share) + mesh.colors[end] * share
        colors = np.concatenate([mesh.colors, np.rint(mixed).astype(np.uint8)])
    if mesh.seen is not None:
        seen = np.concatenate([mesh.seen, mesh.seen[start]])
    return Mesh(vertices, mesh.faces, colors, seen)
