"""The visual hull of a sphere's silhouettes, and of camera frusta."""

from __future__ import annotations

import numpy as np

from nto3d.geometry.cameras import project
from nto3d.geometry.hull import cell_centers, visual_hull
from nto3d.types import BoolArray, Cameras
from tests.helpers import SPHERE_RADIUS, render_sphere, ring_cameras

G, SIZE = 32, (96, 128)
HALF_DIAGONAL = 3**0.5 / G


def silhouettes(views: int = 8) -> tuple[Cameras, BoolArray]:
    intrinsics, cam_to_world = ring_cameras(views, SIZE)
    pictures = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    return Cameras(intrinsics, cam_to_world, SIZE), np.stack([mask for _, mask, _ in pictures])


def test_cell_centers_by_hand() -> None:
    centers = cell_centers(4)
    assert centers.shape == (4, 4, 4, 3)
    assert centers[0, 1, 3].tolist() == [-0.75, -0.25, 0.75]


def test_the_sphere_is_inside_and_space_is_carved() -> None:
    cameras, masks = silhouettes()
    hull = visual_hull(cameras, range(8), G, masks)
    radius = np.linalg.norm(cell_centers(G), axis=-1)
    assert hull[radius < SPHERE_RADIUS + HALF_DIAGONAL].all()  # every cell that the sphere touches
    # Seen from a ring, its silhouettes' cones leave a bulge above and below, but little at the sides.
    z = np.abs(cell_centers(G)[..., 2])
    slack = 2 * HALF_DIAGONAL + 3 * 2.0 / cameras.intrinsics[0, 0, 0]  # footprint and margin, at distance 3
    assert not hull[(radius > SPHERE_RADIUS + 2 * slack) & (z < 0.25)].any()
    assert hull.mean() < 0.25


def test_every_kept_cell_is_near_every_mask() -> None:
    cameras, masks = silhouettes()
    hull = visual_hull(cameras, range(8), G, masks)
    centers = cell_centers(G)[hull].astype(float)
    for view in range(8):
        xy, z = project(cameras.intrinsics[view], cameras.cam_to_world[view], centers)
        rows, columns = np.nonzero(masks[view])
        middle = np.array([columns.mean(), rows.mean()])
        largest = np.linalg.norm(np.stack([columns, rows], axis=-1) - middle, axis=1).max()
        allowed = largest + 2.0 + 1.5 + HALF_DIAGONAL * cameras.intrinsics[view, 1, 1] / z
        assert (np.linalg.norm(xy - middle, axis=1) <= allowed).all()


def test_only_the_given_views_have_a_say() -> None:
    cameras, masks = silhouettes()
    masks[5] = False
    masks[5, 0, 0] = True  # contradicts the others
    few = visual_hull(cameras, [0, 1, 2, 3], G, masks)
    radius = np.linalg.norm(cell_centers(G), axis=-1)
    assert few[radius < SPHERE_RADIUS].all()
    assert not visual_hull(cameras, [0, 1, 2, 5], G, masks)[radius < 0.9 * SPHERE_RADIUS].any()
    more = visual_hull(cameras, [0, 1, 2, 3, 4, 6, 7], G, masks)
    assert (few | more == few).all()  # more views carve more


def test_a_view_with_an_empty_mask_says_nothing() -> None:
    cameras, masks = silhouettes()
    masks[5] = False
    whole, others = visual_hull(cameras, range(8), G, masks), visual_hull(cameras, [0, 1, 2, 3, 4, 6, 7], G, masks)
    assert whole[others].all()
    near = np.linalg.norm(cell_centers(G), axis=-1) < 0.7  # what other pictures hold, too
    assert (whole == others)[near].all()


def test_unknown_pixels_say_nothing() -> None:
    cameras, masks = silhouettes()
    whole = visual_hull(cameras, range(8), G, masks)
    cut, unknown = masks.copy(), np.zeros_like(masks)
    cut[3, :, 64:], unknown[3, :, 64:] = False, True
    assert not visual_hull(cameras, range(8), G, cut)[whole].all()
    assert visual_hull(cameras, range(8), G, cut, unknown)[whole].all()


def test_cells_outside_a_picture_are_kept() -> None:
    cameras, masks = silhouettes()
    narrow = Cameras(cameras.intrinsics.copy(), cameras.cam_to_world, SIZE)
    narrow.intrinsics[0, :2, :2] *= 20.0  # view 0 sees a spot in the middle only
    masks[0] = True
    everything = visual_hull(cameras, range(1, 8), G, masks)
    assert (visual_hull(narrow, range(8), G, masks) == everything).all()


def test_without_masks_two_views_must_see_a_cell() -> None:
    cameras, _ = silhouettes(6)
    hull = visual_hull(cameras, range(6), G)
    radius = np.linalg.norm(cell_centers(G), axis=-1)
    centers = cell_centers(G).reshape(-1, 3).astype(float)
    seen = np.zeros(len(centers), dtype=int)
    for view in range(6):
        xy, z = project(cameras.intrinsics[view], cameras.cam_to_world[view], centers)
        pixel = np.rint(xy)
        seen += (z > 0) & (pixel >= 0).all(axis=1) & (pixel[:, 0] < SIZE[1]) & (pixel[:, 1] < SIZE[0])
    expected = (seen.reshape(G, G, G) >= 2) & (radius < 1.0 + HALF_DIAGONAL)
    assert (hull == expected).all()
    assert hull[radius < 0.5].all()
    alone = visual_hull(cameras, [0], G)
    assert alone.any()


def test_what_lies_behind_the_cameras_is_not_seen() -> None:
    cameras, _ = silhouettes(2)
    turned = cameras.cam_to_world.copy()
    turned[:, :, [0, 2]] *= -1  # half a turn about their vertical
    assert visual_hull(cameras, [0, 1], G).any()
    assert not visual_hull(Cameras(cameras.intrinsics, turned, SIZE), [0, 1], G).any()


def test_a_part_that_few_masks_lack_is_forgiven() -> None:
    cameras, masks = silhouettes()
    whole = visual_hull(cameras, range(8), G, masks)
    cut = masks.copy()
    cut[3, :, 64:] = False
    assert not visual_hull(cameras, range(8), G, cut)[whole].all()
    assert visual_hull(cameras, range(8), G, cut, dissent=0.13)[whole].all()  # one of eight
    cut[5], cut[5, 0, 0] = False, True  # a second one lacks everything
    assert not visual_hull(cameras, range(8), G, cut, dissent=0.13)[whole].all()
