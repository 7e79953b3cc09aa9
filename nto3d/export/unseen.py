"""Surface that no training view sees: closed by a smooth membrane, or cut away.

Whether a single vertex is seen is noisy, so what is replaced is a *region*: the counts are blurred along the surface,
and islands of either kind go to what surrounds them.

Letters: M vertices, F faces, E edges.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError

from nto3d.export.clean import clean_mesh, with_faces
from nto3d.export.membrane import Membrane, blurred, neighbours_of
from nto3d.geometry.normals import unit
from nto3d.kernels.raycast import MeshCaster
from nto3d.types import BoolArray, FloatArray, IntArray, Mesh

ENOUGH, LEVEL = 3, 0.3  # views that make a vertex fully seen; blurred share of them below which surface is unseen
BLURS = 10  # averages over neighbours, in which two or three edges count
LEAST_UNSEEN, LEAST_SEEN = 40, 300  # vertices; smaller islands of unseen and of seen surface are noise
BAND, PULL = 0.95, 0.1  # blurred label from where on nothing moves; how a vertex of the border clings to its place
TRIES, HOLD = 5, 10.0  # rounds of holding back what would pass through seen surface, and how firmly it is held
ROOM = 0.5  # edges by which the membrane may stick out of the convex hull of the seen surface
CHUNK = 2**14  # vertices at a time
PLANES, FANNED = 200, 10.0  # of the hull that are looked at, and 1 / difference of normals within one of them


def close_unseen(mesh: Mesh) -> Mesh:
    """The mesh with its unseen surface replaced by a membrane; the faces stay, so a closed mesh stays closed.

    The membrane is a thin plate under tension (see `membrane.Membrane`). A band of seen vertices beside it clings
    to its place but may give way, so that frayed borders become smooth. Where the membrane would pass through seen
    surface, it is held back. Colours are carried inwards likewise.

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
    free, pull = _looseness(mesh, unseen)
    membrane = Membrane(mesh, free)
    moved = _held_back(mesh, membrane, pull, unseen)
    colors = mesh.colors
    if colors is not None:
        colors = np.rint(membrane.solve(colors.astype(np.float64), pull)).clip(0, 255).astype(np.uint8)
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
    share = blurred(neighbours_of(mesh), (~unseen).astype(np.float64), 2 * BLURS)
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
    neighbours = neighbours_of(mesh)
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
    return blurred(neighbours, np.minimum(mesh.seen, ENOUGH) / ENOUGH, BLURS)


def _looseness(mesh: Mesh, unseen: BoolArray) -> tuple[BoolArray, FloatArray]:
    """Which vertices [M] may move, unseen ones and a band around them; and how each [M] clings to its place."""
    neighbours = neighbours_of(mesh)
    share = blurred(neighbours, (~unseen).astype(np.float64), 2 * BLURS)
    sure = np.minimum((share - 0.5) / (BAND - 0.5), _sureness(mesh, neighbours))
    return unseen | (share < BAND), np.where(unseen, 0.0, PULL * sure.clip(0.1, 1) ** 2)


def _held_back(mesh: Mesh, membrane: Membrane, pull: FloatArray, unseen: BoolArray) -> FloatArray:
    """The vertices [M, 3] of the membrane, moved so that no way leads through surface that stays where it is.

    What would pass through is stopped half way to it, what would stick out of the convex hull of the seen surface (the
    bottom of a box bulging into its table) is stopped there, and the rest of the membrane follows. What still passes
    through after some rounds goes back together with its patch.
    """
    moved = membrane.solve(mesh.vertices, pull)
    stays: BoolArray = np.all(~membrane.free[mesh.faces], axis=1)
    if not stays.any():
        return moved
    caster, planes = MeshCaster(with_faces(mesh, stays)), _hull_planes(mesh.vertices[~unseen])
    room = ROOM * membrane.edge
    held, stops = np.zeros(len(moved), dtype=np.bool_), mesh.vertices.copy()
    for _ in range(TRIES):
        outside, beside = np.zeros_like(held), moved.copy()
        outside[membrane.free], beside[membrane.free] = _outside(planes, moved[membrane.free], room)
        through = membrane.free & caster.blocked(mesh.vertices, moved)
        if not through.any() and not (outside & ~held).any():
            return moved
        stops[outside] = beside[outside]
        if through.any():
            origins = mesh.vertices[through]
            ways = unit(moved[through] - origins)
            stops[through] = origins + ways * caster.cast(origins, ways).distance[:, None] / 2
        held |= through | outside
        goals = np.where(held[:, None], stops, mesh.vertices)
        moved = membrane.solve(goals, np.where(held, HOLD, pull), start=moved)
    for share in (0.5, 0.25, 0.0):
        through = membrane.free & caster.blocked(mesh.vertices, moved)
        back = membrane.free & np.isin(membrane.patch, membrane.patch[through])
        moved = np.where(back[:, None], mesh.vertices + share * (moved - mesh.vertices), moved)
    return moved


def _hull_planes(points: FloatArray) -> FloatArray:
    """Outward unit normals and offsets [K, 4] of planes around points [N, 3], along the largest faces of their hull.

    There are none around points that lie in a plane.
    """
    try:
        hull = ConvexHull(points)
    except QhullError:
        return np.zeros((0, 4))
    corners = points[hull.simplices]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    normals = hull.equations[:, :3]
    _, group = np.unique(np.rint(normals * FANNED), axis=0, return_inverse=True)
    total = np.stack([np.bincount(group.reshape(-1), weights=area * axis) for axis in normals.T], axis=1)
    largest = np.argsort(-np.linalg.norm(total, axis=1), kind="stable")[:PLANES]
    facing = unit(total[largest].astype(np.float64))
    return np.concatenate([facing, -(points[hull.vertices] @ facing.T).max(axis=0)[:, None]], axis=1)


def _outside(planes: FloatArray, points: FloatArray, room: float) -> tuple[BoolArray, FloatArray]:
    """Which points [N, 3] lie more than `room` beyond a plane [N], and all points moved back to their farthest one."""
    outside, back = np.zeros(len(points), dtype=np.bool_), points.copy()
    for begin in range(0, len(points) if len(planes) else 0, CHUNK):
        some = points[begin : begin + CHUNK]
        over = some @ planes[:, :3].T + planes[:, 3]
        farthest, beyond = planes[over.argmax(axis=1), :3], over.max(axis=1)
        outside[begin : begin + CHUNK] = beyond > room
        back[begin : begin + CHUNK] = some - farthest * beyond.clip(0.0)[:, None]
    return outside, back


def _without_unseen_pieces(mesh: Mesh, unseen: BoolArray) -> tuple[Mesh, BoolArray]:
    """The mesh and labels [M] without connected pieces that are unseen altogether (as they are where all are)."""
    _, piece = connected_components(neighbours_of(mesh), directed=False)
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
