"""Recipes of procedural scenes: from a name and a seed to objects, materials and cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import trimesh
from numpy.typing import NDArray

from nto3d.data.synthetic.arrange import arrange
from nto3d.data.synthetic.plans import FLOATING_BASE, RECIPES, Recipe
from nto3d.data.synthetic.raycast import RayScene
from nto3d.data.synthetic.solids import objects, patchwork, shapes
from nto3d.data.synthetic.solids.objects import Item
from nto3d.data.synthetic.solids.shapes import Sdf, Solid
from nto3d.data.synthetic.solids.textures import Material, Pattern
from nto3d.data.synthetic.viewpoints import View, ring_views
from nto3d.errors import InputError
from nto3d.types import IntArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticScene:
    """A scene in memory, ready to be rendered.

    Attributes:
        recipe, seed: what it was made from. names: of the objects; index 0 is the target, the last one the table.
        target: the ground truth, normalized frame. painted: material of each of its vertices.
        others: the other objects as rendered, the table left out, normalized frame.
        views: the cameras. rays: the renderer.
        scale: millimetres per normalized unit. center: world coordinates [3] of the unit sphere's centre, millimetres.
    """

    recipe: Recipe
    seed: int
    names: tuple[str, ...]
    target: Solid
    painted: IntArray
    others: tuple[Solid, ...]
    views: list[View]
    rays: RayScene
    scale: float
    center: Floats


def build_scene(
    recipe: str, seed: int, *, views: int | None = None, size: tuple[int, int] | None = None
) -> SyntheticScene:
    """Make the objects and cameras of a recipe.

    Args:
        recipe: a key of `RECIPES`. seed: 0 or more. views: number of cameras. size: (width, height) in pixels.

    Raises:
        InputError: the recipe is unknown, or seed, views or size are out of range.
    """
    plan, count, (width, height) = _checked(recipe, seed, views, size)
    rng = np.random.default_rng([seed, *recipe.encode()])
    # small pictures need no fine meshes
    detail = float(np.clip(min(width, height) / min(plan.size), 0.45, 1.0))
    makers = {**objects.TARGETS, **patchwork.TARGETS, "pavilion": objects.pavilion}
    target = makers[plan.targets[seed % len(plan.targets)]](rng)
    center, scale = _bounding_sphere(target, plan)
    solids, items, gt = _target_solids(target, plan, center, scale, detail)
    for item in arrange(plan, target, rng):
        items.append(item)
        solids.append(shapes.mesh_sdf(item.sdf, item.low, item.high, round(64 * detail)))
    solids.append(shapes.disc(plan.table_radius, plan.table_top, 16.0))
    normalized = [Solid((s.vertices - center) / scale, s.normals, s.faces) for s in solids]
    target_solid = Solid((gt.vertices - center) / scale, gt.normals, gt.faces)
    table = _table_material(rng)
    if plan.like_table:
        items[0] = replace(items[0], material=_like(table))
    materials = [item.material for item in items] + [table, _ROOM_MATERIAL]
    middles = solids[0].vertices[solids[0].faces].mean(axis=1)
    surfaces, painted = (_materials_at(items[0], 0, len(materials), points) for points in (middles, gt.vertices))
    materials += [material for _, material in items[0].parts]
    room = (np.array([-1150.0, -1150.0, plan.table_top - 420.0]), np.array([1150.0, 1150.0, plan.table_top + 1100.0]))
    corners = ((room[0] - center) / scale, (room[1] - center) / scale)
    rays = RayScene(normalized, materials, corners, scale, center, plan.ambient, [surfaces])
    cameras = ring_views(plan.cameras, count, (height, width), surface_points(target_solid, 4000)[0], rng)
    names = (*(item.name for item in items), "table")
    others, middle = tuple(normalized[1:-1]), center + np.asarray(plan.origin)
    return SyntheticScene(plan, seed, names, target_solid, painted, others, cameras, rays, scale, middle)


def surface_points(solid: Solid, count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Points [count, 3] spread uniformly over the surface, and their faces' unit normals [count, 3]."""
    mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
    points, face = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return np.asarray(points), np.asarray(mesh.face_normals)[face]


def _checked(
    recipe: str, seed: int, views: int | None, size: tuple[int, int] | None
) -> tuple[Recipe, int, tuple[int, int]]:
    if recipe not in RECIPES:
        raise InputError(f"recipe: expected one of {', '.join(RECIPES)}, got {recipe!r}")
    plan = RECIPES[recipe]
    count, (width, height) = views if views is not None else plan.views, size if size is not None else plan.size
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    if not 1 <= count <= 999:
        raise InputError(f"views: expected 1 to 999, got {count}")
    if not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise InputError(f"size: expected a width and height of 16 to 4096 pixels, got {width} x {height}")
    return plan, count, (width, height)


def _bounding_sphere(target: Item, plan: Recipe) -> tuple[Floats, float]:
    """Centre (scene coordinates) and radius of the unit sphere, from a coarse mesh of the target (without its post)."""
    coarse = shapes.mesh_sdf(target.sdf, target.low, target.high, 64).vertices
    if plan.floating:
        coarse = coarse[coarse[:, 2] > FLOATING_BASE]
    center = 0.5 * (coarse.min(axis=0) + coarse.max(axis=0))
    for step in range(1, 400):  # Badoiu and Clarkson 2003: walk towards the farthest point
        farthest = coarse[np.argmax(np.linalg.norm(coarse - center, axis=1))]
        center = center + (farthest - center) / (step + 1)
    return center, plan.margin * float(np.linalg.norm(coarse - center, axis=1).max())


def _target_solids(
    target: Item, plan: Recipe, center: Floats, scale: float, detail: float
) -> tuple[list[Solid], list[Item], Solid]:
    """Meshes to render (the target, then what holds it), their items, and the ground truth (fewer faces)."""
    cells = round(plan.cells * detail)
    if not plan.floating:
        solid = shapes.mesh_sdf(target.sdf, target.low, target.high, cells)
        return [solid], [target], shapes.thinned(solid, target.sdf, plan.max_faces)
    sphere = shapes.ball((float(center[0]), float(center[1]), float(center[2])), scale)
    inside: Sdf = shapes.intersect(target.sdf, sphere)
    low = np.maximum(target.low, center - 1.03 * scale)
    solid = shapes.mesh_sdf(inside, (low[0], low[1], low[2]), target.high, cells)
    x, y, z = (float(v) for v in center)
    foot = shapes.cylinder((0, 0, plan.table_top + 5), 30, 5, 2)
    post = shapes.capsule((0, 0, plan.table_top), (0, 0, z - scale - 6.0), 6)
    stand = shapes.subtract(shapes.union(post, foot, smooth=5), shapes.ball((x, y, z), scale))
    stand_item = Item("stand", stand, (-34, -34, plan.table_top - 12), (34, 34, z - scale + 8), target.material)
    stand_solid = shapes.mesh_sdf(stand, stand_item.low, stand_item.high, round(90 * detail))
    return [solid, stand_solid], [target, stand_item], shapes.thinned(solid, inside, plan.max_faces)


def _table_material(rng: np.random.Generator) -> Material:
    tones = (
        ((0.55, 0.62, 0.66), (0.36, 0.44, 0.50), (0.70, 0.76, 0.76)),
        ((0.52, 0.60, 0.52), (0.34, 0.44, 0.38), (0.68, 0.74, 0.64)),
        ((0.60, 0.60, 0.68), (0.40, 0.40, 0.52), (0.76, 0.76, 0.82)),
    )
    base, second, third = tones[int(rng.integers(0, len(tones)))]
    return Material(Pattern.checks, base, second, third, 37.0, grain=0.2, grain_size=14.0, warp=0.0, patches=0.5)


def _like(table: Material) -> Material:
    """Another pattern in the table's colours."""
    return replace(table, pattern=Pattern.dots, period=17.0, grain=0.3, grain_size=7.0, warp=0.35, patches=0.8)


def _materials_at(item: Item, own: int, first: int, points: Floats) -> IntArray:
    """The material of places [N, 3] of an item: its own, or that of a part; those of the parts begin at `first`."""
    index = np.full(len(points), own)
    for number, (region, _) in enumerate(item.parts):
        index[region(points) < 0.0] = first + number
    return index


_ROOM_MATERIAL = Material(
    Pattern.clouds,
    (0.44, 0.50, 0.56),
    (0.60, 0.66, 0.70),
    (0.34, 0.42, 0.52),
    310.0,
    grain=0.12,
    grain_size=120.0,
    patches=0.7,
)
