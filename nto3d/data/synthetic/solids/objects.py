"""Targets and the neighbours around them. Lengths in millimetres, z up, feet at z = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nto3d.data.synthetic.solids import shapes
from nto3d.data.synthetic.solids.shapes import Sdf, Vec3
from nto3d.data.synthetic.solids.textures import Material, Pattern, Rgb


@dataclass(frozen=True)
class Item:
    """One object.

    Attributes:
        name: what it is. sdf: its shape. low, high: a box that holds it. material: its surface.
        parts: regions of it with surfaces of their own; where they overlap, the last one counts.
    """

    name: str
    sdf: Sdf
    low: Vec3
    high: Vec3
    material: Material
    parts: tuple[tuple[Sdf, Material], ...] = ()


Maker = Callable[[np.random.Generator], Item]


def jug(rng: np.random.Generator) -> Item:
    """A three-legged jug: a bowl with a spout that ends in a small dish, and a thin handle."""
    wide = rng.uniform(0.96, 1.04)
    # pointed below: a flat underside would be ground truth that no camera above the table sees
    belly = shapes.intersect(
        shapes.ellipsoid((0, 0, 66), (46 * wide, 46 * wide, 54)), shapes.above_cone(9, 0.58), smooth=6
    )
    outer = shapes.intersect(belly, shapes.below(84), smooth=5)
    legs = []
    for angle in np.radians([90, 210, 330]):
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        legs.append(shapes.capsule((24 * cos, 24 * sin, 24), (35 * cos, 35 * sin, 5.5), 9, 5.5))
    neck = [(38, 0, 44), (56, 0, 54), (67, 0, 72), (77, 0, 86)]
    spout = shapes.union(
        shapes.capsule(neck[0], neck[1], 12, 9),
        shapes.capsule(neck[1], neck[2], 9, 7),
        shapes.capsule(neck[2], neck[3], 7, 7),
        smooth=4,
    )
    spout = shapes.union(spout, shapes.ball((80, 0, 90), 12.5), smooth=5)
    turn = np.linspace(np.radians(-112), np.radians(112), 17)
    arc = np.stack([-46 - 32 * np.cos(turn), 0 * turn, 58 + 25 * np.sin(turn)], axis=1)
    body = shapes.union(outer, *legs, spout, smooth=5)
    body = shapes.union(body, shapes.tube(arc, 3.4), smooth=4)
    bowl = shapes.ellipsoid((0, 0, 82), (37 * wide, 37 * wide, 36))
    body = shapes.subtract(body, bowl, shapes.ball((87, 0, 99), 11), smooth=3)
    glaze = Material(
        Pattern.dots,
        (0.86, 0.36, 0.10),
        (0.97, 0.82, 0.46),
        (0.50, 0.12, 0.06),
        17.0,
        grain=0.42,
        grain_size=7.0,
        warp=0.35,
    )
    return Item("jug", body, (-90, -56, -6), (102, 56, 112), glaze)


def robot(rng: np.random.Generator) -> Item:
    """A toy robot with dish-shaped hands, round feet and a thin antenna."""
    lean = rng.uniform(-4.0, 4.0)
    parts = [
        shapes.capsule((0, 0, 52), (0, 0, 68), 20, 29),
        shapes.box((0, 0, 116), (24, 22, 18), 9),
        shapes.capsule((0, 0, 90), (0, 0, 102), 11),
        shapes.capsule((0, 0, 132), (lean, 0, 154), 2.8),
        shapes.ball((lean, 0, 156), 5.5),
    ]
    for side in (-1.0, 1.0):
        parts.append(shapes.capsule((0, 13 * side, 40), (0, 17 * side, 12), 8.5))
        parts.append(shapes.capsule((0, 17 * side, 10), (9, 18 * side, 9), 9))
        parts.append(shapes.capsule((0, 28 * side, 76), (8, 50 * side, 66), 7.5))
        parts.append(shapes.ball((14, 56 * side, 70), 15))
    body = shapes.union(*parts, smooth=5)
    hands = [shapes.ball((19, 59 * side, 84), 13) for side in (-1.0, 1.0)]
    eyes = [shapes.ball((27, 10 * side, 120), 7.5) for side in (-1.0, 1.0)]
    body = shapes.subtract(body, *hands, *eyes, smooth=2)
    coat = Material(
        Pattern.stripes, (0.88, 0.70, 0.12), (0.95, 0.90, 0.70), (0.75, 0.25, 0.10), 15.0, grain=0.34, grain_size=8.0
    )
    return Item("robot", body, (-40, -82, -8), (48, 82, 172), coat)


def trophy(rng: np.random.Generator) -> Item:
    """A cup on a waisted stem with two thin handles."""
    depth = rng.uniform(30.0, 36.0)
    cup = shapes.intersect(shapes.ellipsoid((0, 0, 98), (44, 44, 50)), shapes.below(112), smooth=5)
    stem = shapes.union(
        shapes.capsule((0, 0, 20), (0, 0, 58), 8), shapes.capsule((0, 0, 15.5), (0, 0, 30), 15, 6), smooth=10
    )
    turn = np.linspace(np.radians(-110), np.radians(110), 17)
    body = shapes.union(cup, stem, smooth=10)
    for side in (-1.0, 1.0):
        arc = np.stack([side * (42 + 26 * np.cos(turn)), 0 * turn, 86 + 22 * np.sin(turn)], axis=1)
        body = shapes.union(body, shapes.tube(arc, 3.4), smooth=4)
    body = shapes.subtract(body, shapes.ellipsoid((0, 0, 112), (36, 36, depth)), smooth=3)
    metal = Material(
        Pattern.marble, (0.80, 0.30, 0.32), (0.96, 0.78, 0.62), (0.48, 0.10, 0.22), 26.0, grain=0.34, grain_size=8.0
    )
    return Item("trophy", body, (-80, -54, -12), (80, 54, 124), metal)


def pavilion(rng: np.random.Generator) -> Item:
    """A model pavilion held on a post: cross walls between a base and a dish-shaped roof (origin in its middle).

    Four deep inner corners and the dish lie inside its visual hull, so silhouettes alone cannot find them; the walls
    are thin, so that the hull's surface is far from most of them.
    """
    del rng  # one design: only the cameras and the surroundings change with the seed
    top, half, dish = 70.0, 62.0, 64.0
    walls = shapes.union(
        shapes.box((0, 0, -70), (half, half, 6), 1.5),
        shapes.box((0, 0, 0), (half, 6.5, top - 6), 1.5),
        shapes.box((0, 0, 0), (6.5, half, top - 6), 1.5),
        shapes.intersect(shapes.ellipsoid((0, 0, top), (dish, dish, 38)), shapes.below(top)),
        shapes.capsule((0, 0, -60), (0, 0, -240), 6),
        smooth=2.5,
    )
    body = shapes.subtract(walls, shapes.ellipsoid((0, 0, top + 1), (dish - 8.5, dish - 8.5, 30.5)), smooth=2)
    brick = Material(
        Pattern.bricks,
        (0.74, 0.36, 0.24),
        (0.93, 0.86, 0.70),
        (0.42, 0.50, 0.30),
        6.0,
        grain=0.36,
        grain_size=7.0,
        warp=0.0,
        patches=0.8,
    )
    return Item("pavilion", body, (-80, -80, -252), (80, 80, 84), brick)


TARGETS: dict[str, Maker] = {"jug": jug, "robot": robot, "trophy": trophy}

# cool colours: the targets are warm, so that one click tells them from their neighbours
_COOL: tuple[tuple[Rgb, Rgb, Rgb], ...] = (
    ((0.16, 0.36, 0.74), (0.75, 0.85, 0.95), (0.08, 0.18, 0.42)),
    ((0.22, 0.56, 0.28), (0.74, 0.88, 0.52), (0.09, 0.30, 0.20)),
    ((0.45, 0.26, 0.62), (0.82, 0.76, 0.92), (0.24, 0.12, 0.40)),
    ((0.10, 0.52, 0.54), (0.80, 0.93, 0.90), (0.06, 0.26, 0.34)),
    ((0.30, 0.34, 0.42), (0.78, 0.82, 0.88), (0.14, 0.16, 0.24)),
    ((0.36, 0.62, 0.78), (0.94, 0.96, 0.98), (0.14, 0.32, 0.52)),
)


def neighbour(rng: np.random.Generator, index: int) -> Item:
    """A simple thing to stand beside the target; `index` picks its kind and colours in turn."""
    size = float(rng.uniform(0.85, 1.15))
    base, second, third = _COOL[index % len(_COOL)]
    pattern = (Pattern.checks, Pattern.stripes, Pattern.marble, Pattern.clouds)[int(rng.integers(0, 4))]
    material = Material(pattern, base, second, third, float(rng.uniform(14, 22)), grain=0.28, grain_size=8.0)
    kind = ("crate", "pawn", "mug", "ball", "ring", "can")[index % 6]
    yaw = float(rng.uniform(0, 2 * np.pi))
    sdf, reach, height = _neighbour_shape(kind)
    sdf = shapes.placed(sdf, (0, 0, 0), yaw, size)
    reach, height = reach * size + 4, height * size + 4
    return Item(kind, sdf, (-reach, -reach, -4), (reach, reach, height), material)


def _neighbour_shape(kind: str) -> tuple[Sdf, float, float]:
    """Shape, radius about the z axis and height."""
    if kind == "crate":
        pile = shapes.union(
            shapes.box((0, 0, 21), (24, 21, 21), 3),
            shapes.placed(shapes.box((0, 0, 53), (15, 14, 11), 3), (2, 0, 0), 0.5),
        )
        return pile, 34, 64
    if kind == "pawn":
        pawn = shapes.union(
            shapes.cylinder((0, 0, 6), 20, 6, 3),
            shapes.capsule((0, 0, 17), (0, 0, 54), 15, 6),
            shapes.ball((0, 0, 62), 14),
            smooth=6,
        )
        return pawn, 22, 78
    if kind == "mug":
        mug = shapes.subtract(shapes.cylinder((0, 0, 27), 24, 27, 3), shapes.cylinder((0, 0, 40), 20, 32, 3), smooth=2)
        turn = np.linspace(-np.pi / 2, np.pi / 2, 9)
        arc = np.stack([22 + 15 * np.cos(turn), 0 * turn, 28 + 15 * np.sin(turn)], axis=1)
        return (
            shapes.subtract(
                shapes.union(mug, shapes.tube(arc, 4), smooth=2), shapes.cylinder((0, 0, 40), 20, 32, 3), smooth=1
            ),
            42,
            55,
        )
    if kind == "ball":
        return shapes.ball((0, 0, 25), 25), 25, 50
    if kind == "ring":
        return shapes.torus((0, 0, 10), 25, 10), 36, 21
    return shapes.cylinder((0, 0, 34), 19, 34, 4), 20, 69
