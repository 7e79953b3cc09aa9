"""Targets whose parts have clearly different colours. Lengths in millimetres, z up, feet at z = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nto3d.data.synthetic.solids import objects, shapes
from nto3d.data.synthetic.solids.objects import Item, Maker
from nto3d.data.synthetic.solids.shapes import Sdf
from nto3d.data.synthetic.solids.textures import Material, Pattern, Rgb

# No two of them are alike in hue or lightness; the last colour of a pattern is rarely seen
_COLOURS: tuple[tuple[Rgb, Rgb], ...] = (
    ((0.80, 0.18, 0.12), (0.96, 0.46, 0.30)),
    ((0.96, 0.80, 0.16), (0.99, 0.93, 0.55)),
    ((0.12, 0.22, 0.60), (0.24, 0.40, 0.80)),
    ((0.12, 0.46, 0.20), (0.34, 0.66, 0.30)),
    ((0.90, 0.88, 0.84), (0.76, 0.72, 0.66)),
    ((0.16, 0.13, 0.12), (0.34, 0.28, 0.24)),
    ((0.48, 0.16, 0.52), (0.72, 0.40, 0.74)),
    ((0.42, 0.26, 0.13), (0.60, 0.42, 0.24)),
)
_PRIMER = Material(Pattern.clouds, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 15.0)  # painted over
_PATTERNS = (Pattern.marble, Pattern.dots, Pattern.clouds, Pattern.stripes)


def _paints(rng: np.random.Generator, count: int) -> list[Material]:
    """Different colours in a random order."""
    paints = []
    for index in rng.permutation(len(_COLOURS))[:count]:
        base, second = _COLOURS[index]
        pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
        period = float(rng.uniform(12.0, 20.0))
        paints.append(Material(pattern, base, second, base, period, grain=0.36, grain_size=8.0))
    return paints


def _painted(item: Item, rng: np.random.Generator, *regions: Sdf) -> Item:
    """An item with a paint of its own for each region, and one for the rest."""
    body, *paints = _paints(rng, 1 + len(regions))
    return replace(item, material=body, parts=tuple(zip(regions, paints, strict=True)))


def _above(height: float) -> Sdf:
    return shapes.subtract(shapes.ball((0, 0, 0), 1000.0), shapes.below(height))


def robot(rng: np.random.Generator) -> Item:
    """A robot with head, hands and legs in other colours."""
    hands = shapes.union(shapes.ball((14, 56, 70), 19), shapes.ball((14, -56, 70), 19))
    return _painted(objects.robot(rng), rng, _above(96), hands, shapes.below(34))


def trophy(rng: np.random.Generator) -> Item:
    """A cup in a colour on a foot in another, with handles in a third."""
    outside = shapes.subtract(shapes.ball((0, 0, 80), 400.0), shapes.cylinder((0, 0, 80), 47, 400))
    return _painted(objects.trophy(rng), rng, shapes.below(42), outside)


def jug(rng: np.random.Generator) -> Item:
    """A jug with spout, handle and legs in other colours."""
    spout, handle = shapes.box((85, 0, 70), (38, 30, 60)), shapes.box((-85, 0, 60), (36, 30, 60))
    return _painted(objects.jug(rng), rng, spout, handle, shapes.below(21))


def house(rng: np.random.Generator) -> Item:
    """Walls with a jutting roof in another colour, a chimney and a porch."""
    long, wide, tall = float(rng.uniform(46, 58)), float(rng.uniform(32, 42)), float(rng.uniform(44, 60))
    ridge = tall + float(rng.uniform(26, 38))
    walls = shapes.box((0, 0, tall / 2), (long, wide, tall / 2))
    slope = (ridge - tall) / (wide + 6)
    roof = shapes.intersect(
        shapes.box((0, 0, (tall + ridge) / 2), (long + 7, wide + 7, (ridge - tall) / 2)), _roof(slope, ridge)
    )
    gable = shapes.intersect(
        shapes.box((0, 0, (tall + ridge) / 2), (long, wide, (ridge - tall) / 2)), _roof(slope, ridge - 4)
    )
    chimney = shapes.box((0.5 * long, 0.4 * wide, ridge - 8), (7, 7, 16))
    porch = shapes.box((-0.3 * long, -wide - 8, 13), (13, 10, 13))
    body = shapes.union(walls, roof, gable, chimney, porch, smooth=1.0)
    low, high = (-long - 12, -wide - 24, -4.0), (long + 12, wide + 14, ridge + 14)
    item = Item("house", body, low, high, _PRIMER)
    under = _above(tall - 1.0)
    return _painted(
        item,
        rng,
        under,
        shapes.box((0.5 * long, 0.4 * wide, ridge), (8, 8, 30)),
        shapes.box((-0.3 * long, -wide - 10, 10), (15, 10, 18)),
    )


def _roof(slope: float, ridge: float) -> Sdf:
    """What lies below two planes that fall along y from a ridge along x."""
    length = float(np.hypot(slope, 1.0))

    def distance(points: shapes.Floats) -> shapes.Floats:
        inside: shapes.Floats = (points[:, 2] - ridge + slope * np.abs(points[:, 1])) / length
        return inside

    return distance


def beast(rng: np.random.Generator) -> Item:
    """A four-legged animal with horns, hooves and muzzle in other colours."""
    fat, tall = float(rng.uniform(22, 29)), float(rng.uniform(50, 62))
    body = [
        shapes.ellipsoid((0, 0, tall), (48, fat, fat + 2)),
        shapes.capsule((36, 0, tall + 8), (58, 0, tall + 30), 15, 12),
        shapes.capsule((60, 0, tall + 32), (76, 0, tall + 22), 13, 9),
        shapes.capsule((-46, 0, tall + 8), (-62, 0, tall - 18), 3.5),
    ]
    for x in (-32.0, 32.0):
        for y in (-0.62, 0.62):
            body.append(shapes.capsule((x, y * fat, tall - 8), (1.08 * x, 0.75 * fat * np.sign(y), 6), 9, 6))
    horns = []
    for side in (-1.0, 1.0):
        arc = np.array([(60, 8 * side, tall + 42), (58, 22 * side, tall + 48), (62, 29 * side, tall + 62)])
        horns.append(shapes.tube(arc, 3.6))
    whole = shapes.union(*body, *horns, smooth=5)
    item = Item("beast", whole, (-80, -60, -6), (98, 60, tall + 78), _PRIMER)
    crown = shapes.union(*horns)
    grown: Sdf = lambda points: crown(points) - 2.0  # noqa: E731
    return _painted(item, rng, grown, shapes.below(14), shapes.ball((80, 0, tall + 20), 14))


TARGETS: dict[str, Maker] = {
    "patchwork robot": robot,
    "patchwork trophy": trophy,
    "patchwork jug": jug,
    "house": house,
    "beast": beast,
}
