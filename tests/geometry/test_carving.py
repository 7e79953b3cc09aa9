"""Carving with depth maps that are known exactly, of geometry derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.geometry.carving import CLEARANCE, DepthMaps, photo_hull, signed_distance
from nto3d.geometry.hull import cell_centers
from nto3d.types import BoolArray, Cameras, FloatArray
from tests.helpers import look_at

G = 32
CELL = 2.0 / G
CENTERS = cell_centers(G).astype(np.float64)
X = CENTERS[..., 0]
CUBE = (np.abs(CENTERS) < 0.5).all(axis=-1)  # 16 cells wide
SIZE = (96, 96)
EDGE = CLEARANCE * CELL  # a cell so far before a depth and no farther counts as on it


def walls(*at: float) -> DepthMaps:
    """Views from (3, 0, 0) along -x that see a wall each: the points of one x (NaN: nothing known)."""
    intrinsics = np.array([[100.0, 0.0, 47.5], [0.0, 100.0, 47.5], [0.0, 0.0, 1.0]])
    pose = look_at(np.array([3.0, 0.0, 0.0]))
    depths = np.zeros((len(at), *SIZE), dtype=np.float32)
    for view, x in enumerate(at):
        depths[view] = 0.0 if np.isnan(x) else 3.0 - x
    repeat = len(at), 1, 1
    return DepthMaps(Cameras(np.tile(intrinsics, repeat), np.tile(pose, repeat), SIZE), depths)


def test_without_depths_the_hull_stays() -> None:
    assert (photo_hull(CUBE, walls(np.nan, np.nan, np.nan)) == CUBE).all()
    empty = np.zeros_like(CUBE)
    assert (photo_hull(empty, walls(0.0, 0.0)) == empty).all()


def test_two_views_open_what_lies_before_their_depths() -> None:
    solid = photo_hull(CUBE, walls(0.01, 0.01))
    assert (solid == (CUBE & (X <= 0.01 + EDGE))).all()
    assert 0 < solid.sum() < CUBE.sum()


def test_one_view_is_not_enough() -> None:
    assert (photo_hull(CUBE, walls(0.01)) == CUBE).all()
    assert (photo_hull(CUBE, walls(0.01, np.nan)) == CUBE).all()


def test_a_view_that_does_not_hold_a_cell_says_nothing_of_it() -> None:
    maps = walls(0.01, 0.01)
    turned = maps.cameras.cam_to_world.copy()
    turned[1, :, [0, 2]] *= -1  # looks away
    away = DepthMaps(Cameras(maps.cameras.intrinsics, turned, SIZE), maps.depths)
    assert (photo_hull(CUBE, away) == CUBE).all()
    # A lens so long that the second picture holds the middle only: 96 pixels / 1000 * 3.5 units at the cube's back.
    narrow = maps.cameras.intrinsics.copy()
    narrow[1, 0, 0] = narrow[1, 1, 1] = 1000.0
    solid = photo_hull(CUBE, DepthMaps(Cameras(narrow, maps.cameras.cam_to_world, SIZE), maps.depths))
    beside = np.abs(CENTERS[..., 1:]).max(axis=-1) > 0.048 * 3.5
    assert (solid[beside] == CUBE[beside]).all()
    middle = np.abs(CENTERS[..., 1:]).max(axis=-1) < 0.047 * 2.5
    assert (solid[middle] == (CUBE & (X <= 0.01 + EDGE))[middle]).all()
    assert (solid != CUBE)[middle].any()


@pytest.mark.parametrize(("through", "on", "stays"), [(2, 1, False), (2, 2, True), (3, 2, False), (3, 3, True)])
def test_more_must_see_through_a_cell_than_see_a_surface_there(through: int, on: int, stays: bool) -> None:
    solid = photo_hull(CUBE, walls(*[-0.3] * through, *[0.3] * on))
    back, front = CUBE & (X <= -0.3 + EDGE), CUBE & (np.abs(X - 0.3) <= EDGE)
    assert (solid == (back | front if stays else back)).all()


def test_a_notch_is_opened() -> None:
    # A slot, 6 cells wide and 6 deep, open upwards; four cameras look into it.
    slot = (np.abs(X) < 3 * CELL) & (CENTERS[..., 2] > 2 * CELL)

    def filled(points: FloatArray) -> BoolArray:
        x, z = points[..., 0], points[..., 2]
        inside: BoolArray = (np.abs(points) < 0.5).all(axis=-1) & ~((np.abs(x) < 3 * CELL) & (z > 2 * CELL))
        return inside

    maps = seen(filled, [(0.4, 0.5), (-0.4, 0.5), (0.4, -0.5), (-0.4, -0.5)])
    solid = photo_hull(CUBE, maps)
    assert not (solid & ~CUBE).any()
    assert solid[CUBE & ~slot].all()  # nothing that is there is lost
    # Cells nearer than CLEARANCE to the floor count as on it; those beside a wall lie within half a pixel of it.
    air = CUBE & (np.abs(X) < 2 * CELL) & (CENTERS[..., 2] > (2 + CLEARANCE + 0.5) * CELL)
    assert air.sum() == 4 * 16 * 4
    assert not solid[air].any()


def seen(filled: object, tilts: list[tuple[float, float]]) -> DepthMaps:
    """Depths, by small steps along the rays, that cameras 3 units up (shifted by x, y) have of a solid."""
    assert callable(filled)
    focal = 1.2 * SIZE[0] * 3.0 / 2
    intrinsics = np.array([[focal, 0.0, 47.5], [0.0, focal, 47.5], [0.0, 0.0, 1.0]])
    rows, columns = np.indices(SIZE).astype(float)
    local = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    poses, depths = [], []
    for x, y in tilts:
        pose = look_at(np.array([x, y, 3.0]))
        depth = np.zeros(SIZE)
        for z in np.arange(2.0, 4.0, 0.005):
            hit = (depth == 0) & filled(pose[:, 3] + z * (local @ pose[:, :3].T))
            depth[hit] = z
        poses.append(pose)
        depths.append(depth.astype(np.float32))
    cameras = Cameras(np.repeat(intrinsics[None], len(tilts), axis=0), np.stack(poses), SIZE)
    return DepthMaps(cameras, np.stack(depths))


def test_backed_drops_air() -> None:
    assert not photo_hull(CUBE, walls(np.nan, np.nan, np.nan), backed=True).any()
    assert not photo_hull(CUBE, walls(0.01, np.nan), backed=True).any()  # one view's word is not enough
    # A far wall, behind everything: all is air, also what only one view sees through.
    assert not photo_hull(CUBE, walls(-2.0, -2.0, -2.0), backed=True).any()
    solid = photo_hull(CUBE, walls(0.01, 0.01, np.nan), backed=True)
    assert (solid == (CUBE & (X <= 0.01 + EDGE))).all()


def test_backed_needs_two_views_on_or_before_a_cell() -> None:
    # On or behind the wall at 0.3 of one view, and on or behind that at -0.3 of another: both only up to -0.3.
    solid = photo_hull(CUBE, walls(0.3, -0.3), backed=True)
    assert (solid == (CUBE & (X <= -0.3 + EDGE))).all()


def test_crumbs_are_dropped() -> None:
    crumb, piece = np.zeros_like(CUBE), np.zeros_like(CUBE)
    crumb[2:5, 2:5, 2:5] = True  # 27 cells of 16^3 = 4096: less than 1 %
    piece[2:6, 2:6, 26:30] = True  # 64 cells: more
    solid = photo_hull(CUBE | crumb | piece, walls(np.nan))
    assert (solid == (CUBE | piece)).all()


@pytest.mark.parametrize("radius", [0.3, 0.6])
def test_distance_of_a_ball(radius: float) -> None:
    cells = 64
    centers = cell_centers(cells)
    exact = np.linalg.norm(centers, axis=-1) - radius
    distance = signed_distance(exact < 0)
    assert distance.shape == (cells, cells, cells)
    assert distance.dtype == np.float32
    off = np.abs(distance - exact) / (2.0 / cells)
    assert off[np.abs(exact) < 0.05].max() < 0.5
    # Stairs have nearer corners than the ball, the blur rounds its centre and touches the outermost cells.
    assert off[(exact > 0.1 - radius) & (np.abs(centers).max(axis=-1) < 0.9)].max() < 1.0


def test_distance_of_a_half_space() -> None:
    distance = signed_distance(X < 0.25)  # between two cells
    inner = np.abs(X) < 0.75  # away from the border, where the blur has no cells to go on with
    np.testing.assert_allclose(distance[inner], (X - 0.25)[inner], atol=1e-5)
    np.testing.assert_allclose(signed_distance(X < 0.25, smooth=0.0), X - 0.25, atol=1e-6)


def test_distance_of_nothing_and_of_everything() -> None:
    assert (signed_distance(np.zeros((8, 8, 8), dtype=bool)) == 2.0).all()
    assert (signed_distance(np.ones((8, 8, 8), dtype=bool)) == -2.0).all()
