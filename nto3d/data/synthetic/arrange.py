"""Where the neighbours of a target stand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nto3d.data.synthetic.plans import Recipe
from nto3d.data.synthetic.solids import objects, shapes
from nto3d.data.synthetic.solids.objects import Item
from nto3d.data.synthetic.solids.shapes import Sdf

Floats = NDArray[np.float64]

CELLS = 32  # of marching cubes, for the points of a neighbour that may touch
FINEST = 0.05  # millimetres between target and neighbour where they touch


def arrange(plan: Recipe, target: Item, rng: np.random.Generator) -> list[Item]:
    """Stand neighbours on the table, clear of each other and of the target (places that do not fit are redrawn).

    Those of `plan.touching` are pushed against the target instead.
    """
    count = int(rng.integers(plan.neighbours[0], plan.neighbours[1] + 1))
    kinds = rng.permutation(6)
    taken: list[tuple[float, float, float]] = []
    items: list[Item] = []
    for k in range(count):
        item = objects.neighbour(rng, int(kinds[k % 6]))
        reach = item.high[0] * 0.92
        outline = shapes.mesh_sdf(item.sdf, item.low, item.high, CELLS).vertices if plan.touching else None
        for _ in range(300):
            angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(*plan.ring)
            if outline is not None:
                radius = _contact(target.sdf, outline + [0.0, 0.0, plan.table_top], angle)
            x, y = float(radius * np.cos(angle)), float(radius * np.sin(angle))
            free = all(np.hypot(x - a, y - b) > reach + other + 4 for a, b, other in taken)
            if free and (outline is not None or _clear(target.sdf, x, y, reach, plan.table_top)):
                taken.append((x, y, reach))
                items.append(_moved(item, x, y, plan.table_top))
                break
    return items


def _moved(item: Item, x: float, y: float, z: float) -> Item:
    """An item without parts, elsewhere."""
    low = (x + item.low[0], y + item.low[1], z + item.low[2])
    high = (x + item.high[0], y + item.high[1], z + item.high[2])
    return Item(item.name, shapes.placed(item.sdf, (x, y, z)), low, high, item.material)


def _contact(sdf: Sdf, outline: Floats, angle: float) -> float:
    """How far points [N, 3] must be moved in a direction to touch a shape from outside without overlap."""
    towards = np.array([np.cos(angle), np.sin(angle), 0.0])
    radius = 250.0
    for _ in range(60):  # sphere tracing: a signed distance never overshoots
        gap = float(sdf(outline + radius * towards).min())
        if gap < FINEST:
            break
        radius -= 0.7 * gap  # some of the shapes only bound the distance
    return radius


def _clear(sdf: Sdf, x: float, y: float, reach: float, floor: float) -> bool:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn), 0 * turn], axis=1)
    heights = np.arange(5.0, 90.0, 12.0)
    points = np.concatenate([ring + [0.0, 0.0, floor + h] for h in heights])
    return float(sdf(points).min()) > 6.0
