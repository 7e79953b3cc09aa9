"""Families of random shapes: each maker draws one, 2 to 6 parts of random proportions (legs or ears count as one).

Lengths in millimetres, z up; every shape lies within REACH of the origin.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from nto3d.data.synthetic.solids import shapes
from nto3d.data.synthetic.solids.shapes import Sdf, Vec3

REACH = 260.0


def _vessel(rng: np.random.Generator) -> tuple[Sdf, bool]:
    """A hollow or lidded body of revolution; foot, handles, spout. Radius up to 50, height up to 130."""
    wide, tall, wall = rng.uniform(26, 50), rng.uniform(28, 65), rng.uniform(4.5, 8)
    top, foot = tall * rng.uniform(0.5, 0.85), rng.uniform(0.3, 0.8) * wide
    kind = rng.integers(3)
    low, high = wide * (rng.uniform(0.5, 1.0, size=2) if kind == 2 else np.ones(2))

    def turned(less: float) -> Sdf:
        if kind == 0:
            return shapes.ellipsoid((0, 0, 0), (wide - less, wide - less, tall - less))
        if kind == 1:
            return shapes.cylinder((0, 0, less), wide - less, tall, 4.0)
        return shapes.capsule((0, 0, -tall * 0.7), (0, 0, tall), low - less, high - less)

    parts = [shapes.intersect(turned(0.0), shapes.below(top), smooth=3)]
    if rng.random() < 0.5:
        parts.append(shapes.cylinder((0, 0, -tall * 0.95), foot, tall * 0.25, 2.5))
    waist, radius = 0.5 * (low + high), rng.uniform(3.5, 6.0)
    turn = np.radians(np.linspace(-110, 110, 9))
    for side in ([], [1.0], [1.0, -1.0])[rng.integers(3)]:
        out, up = rng.uniform(0.35, 0.7) * wide, rng.uniform(0.25, 0.4) * tall
        arc = np.stack([side * (waist + out * np.cos(turn)), 0 * turn, up * np.sin(turn)], axis=1)
        parts.append(shapes.tube(arc, radius))
    if rng.random() < 0.35:
        tip = (0.0, waist + rng.uniform(15, 40), top * rng.uniform(0.7, 1.2))
        parts.append(shapes.capsule((0.0, waist * 0.7, -0.2 * tall), tip, rng.uniform(7, 12), 5.0))
    if rng.random() < 0.2:
        parts.append(shapes.ball((0, 0, top + 5.0), rng.uniform(7, 14)))
        return shapes.union(*parts, smooth=5), False
    return shapes.subtract(shapes.union(*parts, smooth=5), turned(wall), smooth=2), False


def _furniture(rng: np.random.Generator) -> tuple[Sdf, bool]:
    """A seat or table top on legs, panels or a pedestal; back, arms, shelf or drawers. Up to 120 x 120 x 190."""
    x, y, thick = rng.uniform(26, 58), rng.uniform(26, 58), rng.uniform(3.5, 8)
    tall, leg = rng.uniform(25, 85), rng.uniform(3.2, 7)
    is_round = rng.random() < 0.25
    top = shapes.cylinder((0, 0, tall), min(x, y), thick, 2) if is_round else shapes.box((0, 0, tall), (x, y, thick), 2)
    parts, inset = [top], (0.62 if is_round else 0.9)
    support = rng.integers(4)
    if support == 3:
        foot = rng.uniform(0.4, 0.8) * min(x, y)
        parts += [shapes.capsule((0, 0, 0), (0, 0, tall), leg + 3), shapes.cylinder((0, 0, 0), foot, 4, 2)]
    elif support == 2 and not is_round:
        parts += [shapes.box((side * (x - leg), 0, tall / 2), (leg, y, tall / 2), 1.5) for side in (-1, 1)]
    else:
        splay, end = rng.uniform(0.9, 1.3), leg * rng.uniform(0.7, 1.0)
        near = (inset * x - leg, inset * y - leg) if not is_round else (inset * min(x, y), inset * min(x, y))
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            here = (a * near[0], b * near[1])
            parts.append(shapes.capsule((*here, tall), (here[0] * splay, here[1] * splay, 0), leg, end))
    if rng.random() < 0.5:
        back = rng.uniform(20, 50)
        place = thick - (0.8 * min(x, y) if is_round else x)
        parts.append(shapes.box((place, 0, tall + back), (thick, 0.7 * y, back), 2))
        if rng.random() < 0.5 and not is_round:
            parts += [shapes.box((0, side * (y - 5), tall + 16), (x, 4, 14), 2) for side in (-1, 1)]
    if rng.random() < 0.3 and support < 2:
        parts.append(shapes.box((0, 0, tall * 0.4), (inset * x, inset * y, 3.5), 1.5))
    elif rng.random() < 0.3:
        parts.append(shapes.box((0, 0, tall * 0.75), (0.8 * inset * x, 0.7 * inset * y, tall * 0.25), 2))
    return shapes.union(*parts, smooth=rng.uniform(0.5, 4.0)), False


def _animal(rng: np.random.Generator) -> tuple[Sdf, bool]:
    """A trunk with head, legs, ears, tail, snout, all softly joined. Up to 190 long and 150 high."""
    half, rear, front = rng.uniform(20, 45), rng.uniform(16, 28), rng.uniform(16, 28)
    tall, leg = rng.uniform(30, 70), rng.uniform(4.5, 9)
    rise, skull = rng.uniform(5, 45), rng.uniform(12, 24)
    head = (half + front * rng.uniform(0.4, 1.2), 0.0, tall + rise)
    parts = [
        shapes.capsule((-half, 0, tall), (half, 0, tall), rear, front),
        shapes.capsule((half, 0, tall), head, 0.7 * front, 0.6 * skull),
        shapes.ellipsoid(head, (skull * rng.uniform(0.9, 1.4), skull, skull * rng.uniform(0.8, 1.2))),
    ]
    width, lean = 0.6 * min(rear, front), rng.uniform(-12, 12)
    for place in (-half, half) if rng.random() < 0.75 else (0.0,):
        for side in (-1, 1):
            parts.append(shapes.capsule((place, side * width, tall), (place + lean, side * width, 0), leg * 1.4, leg))
    if rng.random() < 0.7:
        reach = rng.uniform(0.8, 1.5) * skull
        for side in (-1, 1):
            tip = (head[0] - 4, side * skull * rng.uniform(0.5, 1.0), head[2] + reach)
            parts.append(shapes.capsule((head[0], side * 0.4 * skull, head[2]), tip, 5.5, 3.5))
    if rng.random() < 0.6:
        tip = (head[0] + skull * rng.uniform(1.2, 2.2), 0.0, head[2] - rng.uniform(0, 15))
        parts.append(shapes.capsule(head, tip, 0.6 * skull, 0.3 * skull))
    if rng.random() < 0.7:
        tip = (-half - rear - rng.uniform(5, 35), rng.uniform(-15, 15), tall + rng.uniform(-15, 40))
        parts.append(shapes.capsule((-half, 0, tall), tip, rng.uniform(5, 9), 3.5))
    return shapes.union(*parts, smooth=rng.uniform(4, 12)), False


def _tool(rng: np.random.Generator) -> tuple[Sdf, bool]:
    """A rod with a hammer's, spanner's, spade's, spoon's or fork's head. Up to 220 long, lying anyhow."""
    half, rod, head = rng.uniform(40, 75), rng.uniform(4.5, 9), rng.uniform(16, 32)
    grip = rng.uniform(0.2, 0.6) * half
    parts = [shapes.capsule((-half, 0, 0), (half, 0, 0), rod), shapes.capsule((-half, 0, 0), (-grip, 0, 0), rod * 1.35)]
    kind, flat, far = rng.integers(5), rng.uniform(3.5, 6), half + 0.7 * head
    if kind == 0:
        parts.append(shapes.box((half, rng.uniform(-0.4, 0.4) * head, 0), (0.4 * head, head, 0.45 * head), 3))
    elif kind == 1:
        parts.append(shapes.torus((half + 0.8 * head, 0, 0), 0.8 * head, flat * 1.3))
    elif kind == 2:
        parts.append(shapes.box((far, 0, 0), (head, rng.uniform(0.5, 1.0) * head, flat), flat * 0.6))
    elif kind == 3:
        bowl = shapes.intersect(shapes.ellipsoid((far, 0, 0), (head, 0.75 * head, 0.6 * head)), shapes.below(3))
        body = shapes.union(*parts, bowl, smooth=4)
        hollow = shapes.ellipsoid((far, 0, 4), (head - flat, 0.75 * head - flat, 0.6 * head - flat))
        return shapes.subtract(body, hollow, smooth=2), True
    else:
        parts.append(shapes.capsule((half, -0.6 * head, 0), (half, 0.6 * head, 0), flat * 1.2))
        for y in np.linspace(-0.6, 0.6, rng.integers(2, 5)) * head:
            parts.append(shapes.capsule((half, y, 0), (half + 1.6 * head, y, 0), flat, 3.2))
    if rng.random() < 0.3:
        parts.append(shapes.torus((-half - 8, 0, 0), 10, 4))
    return shapes.union(*parts, smooth=rng.uniform(1, 6)), True


def _composite(rng: np.random.Generator) -> tuple[Sdf, bool]:
    """Overlapping balls, ellipsoids, boxes, cylinders and rods, turned anyhow, with a bite or two taken out."""
    center, inner = np.zeros(3), 0.0
    parts: list[Sdf] = []
    for _ in range(rng.integers(2, 6)):
        radii = rng.uniform(10, 34, size=3)
        aside = rng.normal(size=3)
        aside /= np.linalg.norm(aside)
        center = center + (0.85 * (inner + radii.min()) if parts else 0.0) * aside  # their inner balls overlap
        inner = float(radii.min())
        a, b, c = (float(value) for value in radii)
        part = (
            shapes.ellipsoid((0, 0, 0), (a, b, c)),
            shapes.box((0, 0, 0), (a, b, c), 3),
            shapes.cylinder((0, 0, 0), a, b, 3),
            shapes.capsule((0, 0, -b), (0, 0, b), a, a * rng.uniform(0.6, 1.0)),
        )[rng.integers(4)]
        parts.append(posed(part, (center[0], center[1], center[2]), any_turn(rng)))
    body = shapes.union(*parts, smooth=rng.uniform(0.5, 8))
    bites = []
    for _ in range(rng.integers(0, 3)):
        side = rng.normal(size=3)
        side *= np.sign(side @ aside) / np.linalg.norm(side)  # away from the part before
        x, y, z = center + side * inner * 1.6
        bites.append(shapes.ball((x, y, z), inner * rng.uniform(0.7, 1.0)))
    return shapes.subtract(body, *bites, smooth=2), True


FAMILIES: dict[str, Callable[[np.random.Generator], tuple[Sdf, bool]]] = {
    "vessel": _vessel,
    "furniture": _furniture,
    "animal": _animal,
    "tool": _tool,
    "composite": _composite,
}  # each makes a shape, and says whether it lies anyhow (else it stands)


def posed(sdf: Sdf, offset: Vec3, turn: Rotation) -> Sdf:
    """The shape turned about its origin, then moved."""
    matrix = turn.as_matrix()
    return lambda p: sdf((p - np.asarray(offset)) @ matrix)


def any_turn(rng: np.random.Generator) -> Rotation:
    """A rotation, all alike likely."""
    return Rotation.from_quat(rng.normal(size=4))
