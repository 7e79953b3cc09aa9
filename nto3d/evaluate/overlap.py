"""What two closed meshes have in common, by columns through both."""

from __future__ import annotations

import numpy as np

from nto3d.evaluate.geometry import volume
from nto3d.types import FloatArray, IntArray, Mesh

ASIDE = (0.3719, 0.4327)  # of a column's width: no column passes through a vertex of a regular mesh


def common_volume(first: Mesh, second: Mesh, columns: int = 400) -> float:
    """Volume that lies in both meshes, in the cube of their unit.

    Columns across the region that both reach into, `columns` along its longest side, are cut exactly; winding numbers
    tell inside from outside, so that surfaces which pass through themselves do no harm.

    Args:
        first, second: closed, faces counter-clockwise seen from outside, in one frame.
    """
    lower = np.maximum(first.vertices.min(axis=0), second.vertices.min(axis=0))
    upper = np.minimum(first.vertices.max(axis=0), second.vertices.max(axis=0))
    if not (upper > lower).all():
        return 0.0
    turn = -1 - int(np.argmin(upper - lower))  # columns stand across what is thin
    lower, upper = np.roll(lower, turn), np.roll(upper, turn)
    width = float((upper - lower)[:2].max()) / columns
    size = tuple(int(count) for count in np.ceil((upper - lower)[:2] / width))
    corners = [np.roll(mesh.vertices, turn, axis=1)[mesh.faces] for mesh in (first, second)]
    parts = [_crossings(some, lower, width, size) for some in corners]
    column, z, sign = (np.concatenate(some) for some in zip(*parts, strict=True))
    owner = np.repeat([0, 1], [len(parts[0][0]), len(parts[1][0])])
    order = np.lexsort((z, column))
    column, z, sign, owner = column[order], z[order], sign[order], owner[order]
    # A column leaves both meshes at its end, so that the sums over all columns are those over each
    inside = [np.cumsum(np.where(owner == mesh, sign, 0)) > 0 for mesh in (0, 1)]
    both = inside[0][:-1] & inside[1][:-1] & (column[1:] == column[:-1])
    return float(np.diff(z)[both].sum()) * width**2


def share_in_common(first: Mesh, second: Mesh) -> float:
    """`common_volume` as a share of the smaller one's volume."""
    least = min(abs(volume(first)), abs(volume(second)))
    return common_volume(first, second) / least if least > 0.0 else 0.0


def _crossings(
    corners: FloatArray, lower: FloatArray, width: float, size: tuple[int, ...]
) -> tuple[IntArray, FloatArray, IntArray]:
    """Where columns pass through faces [F, 3, 3]: their number [C], the height z [C], 1 [C] if they enter, else -1."""
    place = (corners[..., :2] - lower[:2]) / width - ASIDE  # column (i, j) stands at (i, j)
    begin = np.ceil(place.min(axis=1)).astype(np.int64).clip(0)
    end = np.minimum(np.floor(place.max(axis=1)).astype(np.int64) + 1, size)
    across = (end - begin).clip(0)
    count = across[:, 0] * across[:, 1]
    face = np.repeat(np.arange(len(corners)), count)
    rank = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    rows = across[face, 1]
    i, j = begin[face, 0] + rank // np.maximum(rows, 1), begin[face, 1] + rank % np.maximum(rows, 1)
    a, b, c = (place[face, corner] for corner in range(3))
    point = np.stack([i, j], axis=1)
    area = _turn(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [_turn(c - b, point - b), _turn(a - c, point - c), _turn(b - a, point - a)]
        weights = np.stack(parts, axis=1) / area[:, None]
    hit = (area != 0.0) & (weights >= 0.0).all(axis=1)
    z = (weights[hit] * corners[face[hit], :, 2]).sum(axis=1)
    # Seen from below, a face through which a column enters looks down
    return (i * size[1] + j)[hit], z, np.where(area[hit] < 0.0, 1, -1)


def _turn(first: FloatArray, second: FloatArray) -> FloatArray:
    """Twice the signed area [N] between vectors [N, 2]."""
    area: FloatArray = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return area
