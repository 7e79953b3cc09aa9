"""Which pieces of a scene make up the clicked object: solids worked out by hand, votes and colours as given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from nto3d.geometry.hull import cell_centers
from nto3d.stages.whole.solid import CELLS, Solid, find_solid
from nto3d.stages.whole.whole import Votes, whole_object
from nto3d.types import Cameras, FloatArray
from tests.helpers import ring_cameras

Shape = Callable[[FloatArray], FloatArray]
FLOOR = -0.5


def ball(center: tuple[float, float, float], radius: float) -> Shape:
    return lambda points: np.linalg.norm(points - np.array(center), axis=-1) - radius


def box(center: tuple[float, float, float], half: tuple[float, float, float]) -> Shape:
    def distance(points: FloatArray) -> FloatArray:
        off = np.abs(points - np.array(center)) - np.array(half)
        return np.linalg.norm(off.clip(0.0), axis=-1) + off.max(axis=-1).clip(max=0.0)

    return distance


PARTS: dict[str, Shape] = {
    "floor": lambda points: points[..., 2] - FLOOR,
    # a house: walls, a roof that is wider, a chimney
    "walls": box((0.0, -0.35, -0.35), (0.22, 0.15, 0.16)),
    "roof": box((0.0, -0.35, -0.13), (0.28, 0.21, 0.06)),
    "chimney": box((0.12, -0.35, -0.01), (0.04, 0.04, 0.1)),
    # a cup on a thin stem on a foot
    "foot": ball((-0.45, 0.35, -0.44), 0.13),
    "stem": box((-0.45, 0.35, -0.2), (0.035, 0.035, 0.2)),
    "cup": ball((-0.45, 0.35, 0.1), 0.17),
    # what hangs above it by a thread
    "knob": ball((-0.45, 0.35, 0.42), 0.06),
    # two balls that touch
    "left": ball((0.2, 0.3, -0.33), 0.18),
    "right": ball((0.55, 0.3, -0.34), 0.175),
}
NAMES = tuple(PARTS)


@cache
def scene() -> tuple[Solid, Mapping[str, FloatArray]]:
    """The solid, and points of each part's visible surface."""
    centers = cell_centers(CELLS).astype(np.float64)
    each = np.stack([shape(centers) for shape in PARTS.values()])
    sdf = each.min(axis=0)
    near = (np.abs(sdf) < 1.2 / CELLS) & (np.linalg.norm(centers, axis=-1) < 0.95)
    owner = each.argmin(axis=0)[near]
    places = centers[near]
    surface = {name: places[owner == number] for number, name in enumerate(NAMES)}
    intrinsics, poses = ring_cameras(4, (24, 32))
    poses[:, 2, 3] = 1.5  # above the floor; where they look does not matter
    cameras = Cameras(intrinsics, poses, (24, 32))
    return find_solid(sdf.astype(np.float32), places, cameras), surface


def chosen(
    clicked: str, voted: Mapping[str, float], alike: tuple[str, ...] = (), refused: tuple[str, ...] = ()
) -> dict[str, float] | None:
    """The share of each part's surface that belongs to the object.

    Args:
        clicked: part. voted: share of the masks that show a part; 0 unless given. alike: parts in the clicked colours.
    """
    solid, surface = scene()
    count = len(solid.pieces) + 1
    inside, outside, colours = np.zeros(count), np.zeros(count), np.zeros((count, len(NAMES)))
    for number, (name, points) in enumerate(surface.items()):
        seen = np.bincount(solid.at(points), minlength=count)
        share = voted.get(name, 0.0)
        inside += share * seen
        outside += (1.0 - share) * seen
        colours[:, NAMES.index(clicked) if name in alike else number] += seen
    middle = {name: points[len(points) // 2 :][:1] for name, points in surface.items()}
    none = np.zeros((0, 3))
    negative = np.concatenate([none, *(middle[name] for name in refused)])
    found = whole_object(solid, Votes(inside, outside, {}), colours, middle[clicked], negative)
    if found is None:
        return None
    return {name: float(found.chosen[solid.at(points)].mean()) for name, points in surface.items()}


def test_the_floor_is_the_support() -> None:
    solid, surface = scene()
    assert solid.support is not None
    assert solid.support.normal == pytest.approx([0.0, 0.0, 1.0], abs=0.01)
    assert solid.support.offset == pytest.approx(FLOOR, abs=0.01)
    assert (solid.at(surface["floor"]) == 0).mean() > 0.9


@pytest.mark.parametrize("clicked", ["walls", "roof", "chimney"])
def test_a_click_on_any_part_of_a_house_is_the_house(clicked: str) -> None:
    found = chosen(clicked, {clicked: 1.0})  # colours know the clicked part only
    assert found is not None
    for name in ("walls", "roof", "chimney"):
        assert found[name] > 0.85, name
    for name in ("cup", "stem", "left", "right"):
        assert found[name] == 0.0, name


@pytest.mark.parametrize("clicked", ["cup", "foot"])
def test_an_object_stays_with_what_it_stands_on(clicked: str) -> None:
    found = chosen(clicked, {clicked: 1.0})
    assert found is not None
    assert found["cup"] > 0.9
    assert found["foot"] > 0.5  # its lowest cells lie within the support's tolerance
    assert found["left"] == found["walls"] == 0.0


@pytest.mark.parametrize(("share", "belongs"), [(0.9, True), (0.1, False)])
def test_what_floats_belongs_to_the_object_if_the_masks_say_so(share: float, belongs: bool) -> None:
    found = chosen("cup", {"cup": 1.0, "knob": share})
    assert found is not None
    assert (found["knob"] > 0.9) == belongs
    assert found["cup"] > 0.9
    assert found["left"] == found["walls"] == 0.0


def test_a_ball_that_touches_another_is_another_thing() -> None:
    found = chosen("left", {"left": 1.0, "right": 0.3})
    assert found is not None
    assert found["left"] > 0.8
    assert found["right"] < 0.05


def test_unlike_colours_divide_where_all_masks_show_both() -> None:
    found = chosen("left", {"left": 1.0, "right": 0.95})
    assert found is not None
    assert found["right"] < 0.05


def test_like_colours_and_masks_join() -> None:
    found = chosen("left", {"left": 1.0, "right": 0.95}, alike=("right",))
    assert found is not None
    assert found["right"] > 0.8


def test_a_negative_click_divides() -> None:
    found = chosen("left", {"left": 1.0, "right": 0.95}, alike=("right",), refused=("right",))
    assert found is not None
    assert found["left"] > 0.8
    assert found["right"] < 0.05


@pytest.mark.parametrize("alike", [False, True])
def test_what_looks_like_a_doubtful_piece_beside_it_is_as_doubtful(alike: bool) -> None:
    # The masks show the right ball, and what hangs on it; the left one was clicked
    solid, surface = scene()
    right, cup = (np.bincount(solid.at(surface[name]))[1:].argmax() + 1 for name in ("right", "cup"))
    left = np.bincount(solid.at(surface["left"]))[1:].argmax() + 1
    contact = solid.pieces.contact.copy()
    contact[right, cup] = contact[cup, right] = 50  # as if the cup were on the right ball
    together = replace(solid, pieces=replace(solid.pieces, contact=contact))
    count = len(solid.pieces) + 1
    area, colours = contact[:, 0].astype(float), np.eye(count)
    colours[cup] = colours[right] if alike else colours[cup]
    inside = np.isin(np.arange(count), [left, right, cup]) * 4.0 * area
    clicked = surface["left"][len(surface["left"]) // 2 :][:1]
    # As much contact as it takes to keep it against its colours
    contact[right, left] = contact[left, right] = 10 * area.max()
    found = whole_object(together, Votes(inside, 4.0 * area - inside, {}), colours, clicked, np.zeros((0, 3)))
    assert found is not None
    assert found.chosen[[left, right, cup]].all()
    assert found.against[left] == 0.0
    assert found.against[right] == pytest.approx(0.5, abs=0.02)  # in all masks, but it stands and looks different
    assert found.against[cup] == (found.against[right] if alike else 0.0)


def test_a_click_on_the_floor_says_nothing() -> None:
    assert chosen("floor", {"floor": 1.0}) is None


@pytest.mark.parametrize(("share", "believed"), [(0.4, False), (0.6, True)])
def test_without_a_support_masks_must_show_half_of_it(share: float, believed: bool) -> None:
    centers = cell_centers(CELLS).astype(np.float64)
    sdf = ball((0.0, 0.0, 0.0), 0.4)(centers).astype(np.float32)
    surface = centers[np.abs(sdf) < 1.0 / CELLS]
    intrinsics, poses = ring_cameras(4, (24, 32))
    solid = find_solid(sdf, surface, Cameras(intrinsics, poses, (24, 32)))
    assert solid.support is None
    votes = Votes(np.array([0.0, 1e4 * share]), np.array([0.0, 1e4 * (1.0 - share)]), {})
    found = whole_object(solid, votes, np.ones((2, 3)), surface[:1], np.zeros((0, 3)))
    assert (found is not None) == believed
    if found is not None:
        assert found.chosen.tolist() == [False, True]


def test_a_floor_alone_has_nothing_on_it() -> None:
    centers = cell_centers(CELLS).astype(np.float64)
    sdf = PARTS["floor"](centers).astype(np.float32)
    surface = centers[(np.abs(sdf) < 1.2 / CELLS) & (np.linalg.norm(centers, axis=-1) < 0.95)]
    intrinsics, poses = ring_cameras(4, (24, 32))
    poses[:, 2, 3] = 1.5
    solid = find_solid(sdf, surface, Cameras(intrinsics, poses, (24, 32)))
    assert len(solid.pieces) == 0
    assert (solid.at(surface) == 0).all()
    none = np.zeros((0, 3))
    assert whole_object(solid, Votes(np.zeros(1), np.zeros(1), {}), np.ones((1, 3)), surface[:1], none) is None


def test_standing_needs_the_centre_of_gravity_above_the_feet() -> None:
    solid, surface = scene()
    pieces = np.arange(len(solid.pieces) + 1)
    assert solid.stands(np.isin(pieces, np.setdiff1d(solid.at(surface["walls"]), 0)))
    cup = np.bincount(solid.at(surface["cup"]))[1:].argmax() + 1
    assert not solid.stands(pieces == cup)
