"""Endless procedural objects, each seen from a few sides: what a network that completes objects learns from.

A seed is an object, of the families in turn. Seeds from `config.single.FIRST_HELD_OUT` on are for
evaluation and never for training.
An object costs some tenths of a second on one core, so it can be made while training.

Letters: V views, H W picture, N surface points. Shapes are in millimetres, z up; what is handed out is in the object's
frame: normalized, its bounding box centred at the origin, its farthest point at distance 1.
"""

from __future__ import annotations

import colorsys

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from nto3d.data.object_views import ObjectViews
from nto3d.data.synthetic.raycast import RayScene, light_directions
from nto3d.data.synthetic.solids import shapes
from nto3d.data.synthetic.solids.families import FAMILIES, REACH, any_turn, posed
from nto3d.data.synthetic.solids.objects import Item
from nto3d.data.synthetic.solids.shapes import Floats, Sdf, Solid
from nto3d.data.synthetic.solids.textures import Material, Pattern, Rgb
from nto3d.data.synthetic.viewpoints import View, look_at
from nto3d.types import ByteArray, Cameras, Mesh

CELLS = 56  # of marching cubes along the longest side
POINTS = 20_000  # on the surface, as many as the published model was trained with
ON_TABLE = 0.25  # share of the objects that stand on a table


def random_object(seed: int) -> Item:
    """The object of a seed: 2 to 6 parts of one of FAMILIES, random in proportions, pattern and colours.

    It lies anywhere in its frame, so that no two objects are cut from the same place of the solid patterns.
    """
    rng = np.random.default_rng([seed, 0])
    name = tuple(FAMILIES)[seed % len(FAMILIES)]
    shape, freely = FAMILIES[name](rng)
    turn = any_turn(rng) if freely else Rotation.from_euler("z", rng.uniform(0.0, 360.0), degrees=True)
    low, high = _bounds(posed(shape, (0.0, 0.0, 0.0), turn))
    offset = rng.uniform(-2000.0, 2000.0, size=3)
    sdf = posed(shape, (offset[0], offset[1], offset[2]), turn)
    low, high = low + offset, high + offset
    return Item(name, sdf, (low[0], low[1], low[2]), (high[0], high[1], high[2]), _material(rng))


def render_views(
    item: Item, seed: int, views: int, size: tuple[int, int], cells: int = CELLS, points: int = POINTS
) -> ObjectViews:
    """Look at an object from all around, before a random background.

    Args:
        seed: of cameras, light and background. views: V. size: (H, W). cells: of marching cubes along the object's
            longest side. points: N.

    Raises:
        ValueError: a number is impossible, or the object has no closed surface.
    """
    if views < 1 or points < 1 or min(size) < 1:
        raise ValueError(f"expected at least one view, point and pixel, got {views}, {points} and {size}")
    rng = np.random.default_rng([seed, 1])
    solid, center, scale = _normalized(item, cells)
    table = rng.random() < ON_TABLE
    solids, materials = [solid], [item.material]
    if table:
        top = float(solid.vertices[:, 2].min())
        solids.append(shapes.disc(rng.uniform(1.5, 4.0), top, 0.1, segments=48))
        materials.append(_material(rng))
    materials.append(_room_material(rng, scale))
    room, ambient = rng.uniform(7.0, 12.0), rng.uniform(0.35, 0.9)
    rays = RayScene(solids, materials, (np.full(3, -room), np.full(3, room)), scale, center, ambient)
    cameras = [_camera(rng, 8.0 if table else -20.0, size) for _ in range(views)]
    shots = [rays.render(camera) for camera in cameras]
    masks = np.stack([shot.object == 0 for shot in shots])
    depths = np.where(masks, np.stack([shot.depth for shot in shots]), np.float32(0.0))
    poses = np.stack([np.column_stack([camera.rotation.T, camera.center]) for camera in cameras])
    surface, normals = _sampled(solid, points, rng)
    return ObjectViews(
        name=item.name,
        images=np.stack([shot.color for shot in shots]),
        depths=depths,
        masks=masks,
        cameras=Cameras(np.stack([camera.intrinsics for camera in cameras]), poses, size),
        surface=surface.astype(np.float32),
        surface_rgb=_lit(rays, surface, normals, ambient),
    )


def object_mesh(item: Item, cells: int = CELLS) -> Mesh:
    """The whole surface of an object, its frame: that of `render_views`, given the same cells."""
    solid, _, _ = _normalized(item, cells)
    return Mesh(solid.vertices.astype(np.float32), solid.faces, None)


def _bounds(sdf: Sdf, cells: int = 24) -> tuple[Floats, Floats]:
    """Corners [3] of a box that holds a shape within REACH of the origin."""
    low, high = np.full(3, -REACH), np.full(3, REACH)
    for _ in range(2):  # coarse, then finer
        axes = [np.linspace(low[k], high[k], cells + 1) for k in range(3)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        cell = (high - low) / cells
        near = grid[sdf(grid) < np.linalg.norm(cell)]  # half of it reaches the surface, the rest is for rough distances
        low, high = near.min(axis=0) - cell, near.max(axis=0) + cell
    return low, high


def _normalized(item: Item, cells: int) -> tuple[Solid, Floats, float]:
    """The surface in the object's frame; item's frame = scale * object's + center."""
    for more in (0, 3, 7):  # marching cubes leaves a hole where a surface touches itself on the grid
        try:
            solid = shapes.mesh_sdf(item.sdf, item.low, item.high, cells + more)
            break
        except ValueError:
            if more == 7:
                raise
    solid = _largest(solid)
    center = 0.5 * (solid.vertices.min(axis=0) + solid.vertices.max(axis=0))
    scale = float(np.linalg.norm(solid.vertices - center, axis=1).max())
    return Solid((solid.vertices - center) / scale, solid.normals, solid.faces), center, scale


def _largest(solid: Solid) -> Solid:
    """The piece with most vertices: without crumbs that a cut left over, and without cavities that nobody can see."""
    ends = np.concatenate([solid.faces[:, :2], solid.faces[:, 1:]])
    count = len(solid.vertices)
    links = coo_array((np.ones(len(ends), dtype=np.bool_), (ends[:, 0], ends[:, 1])), shape=(count, count))
    pieces, piece = connected_components(links, directed=False)
    if pieces == 1:
        return solid
    kept = piece == np.bincount(piece).argmax()
    index = np.cumsum(kept) - 1
    return Solid(solid.vertices[kept], solid.normals[kept], index[solid.faces[kept[solid.faces[:, 0]]]])


def _sampled(solid: Solid, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Points [count, 3] spread evenly over a surface, stratified by area, and their shading normals [count, 3]."""
    corners = solid.vertices[solid.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    total = np.cumsum(areas)
    place = (np.arange(count) + rng.random(count)) / count * total[-1]
    face = np.searchsorted(total, place, side="right").clip(max=len(areas) - 1)
    root, along = np.sqrt(rng.random(count)), rng.random(count)
    shares = np.stack([1.0 - root, root * (1.0 - along), root * along], axis=1)[..., None]
    normals = (solid.normals[solid.faces[face]] * shares).sum(axis=1)
    return (corners[face] * shares).sum(axis=1), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _lit(rays: RayScene, points: Floats, normals: Floats, ambient: float) -> ByteArray:
    """Colours [N, 3] of places on object 0 as `RayScene.render` lights them, seen or not."""
    albedo = rays.colors(0, Solid(points, normals, np.zeros((0, 3), dtype=np.int64)))
    lights = light_directions()
    received = ambient * (0.8 + 0.2 * (0.5 + 0.5 * normals[:, 2]))
    for light in lights:
        toward = normals @ light
        _, hit = rays.cast(points + 2.0e-3 * normals, np.broadcast_to(light, points.shape))
        received += np.where((toward > 0.0) & (hit < 0), (1.0 - ambient) * 1.1 * toward / len(lights), 0.0)
    colors: ByteArray = np.clip(np.rint(albedo * received[:, None]), 0, 255).astype(np.uint8)
    return colors


def _camera(rng: np.random.Generator, lowest: float, size: tuple[int, int]) -> View:
    """A camera that sees the whole object from at least `lowest` degrees above its middle, a little askew."""
    azimuth, elevation = rng.uniform(0.0, 2.0 * np.pi), np.radians(rng.uniform(lowest, 70.0))
    level = np.cos(elevation)
    direction = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    view = look_at(rng.uniform(2.2, 5.5) * direction, rng.uniform(-0.03, 0.03, size=3), rng.uniform(0.32, 0.46), size)
    roll = Rotation.from_euler("z", rng.uniform(-8.0, 8.0), degrees=True).as_matrix()
    return View(view.intrinsics, roll @ view.rotation, view.center, view.size)


def _color(rng: np.random.Generator, hue: float) -> Rgb:
    return colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.0, 0.9), rng.uniform(0.15, 0.95))


def _material(rng: np.random.Generator) -> Material:
    """One hue or three near or far ones, of any pattern; a fifth is plain."""
    hue, apart = rng.random(), rng.uniform(0.0, 0.4)
    base, second, third = (_color(rng, hue + k * apart) for k in range(3))
    period, grain, grain_size = rng.uniform(9.0, 45.0), rng.uniform(0.05, 0.4), rng.uniform(4.0, 16.0)
    if rng.random() < 0.2:
        return Material(Pattern.clouds, base, base, base, period, 0.5 * grain, grain_size, 0.0, 0.0)
    pattern = Pattern(int(rng.integers(len(Pattern))))
    warp, patches = rng.uniform(0.0, 0.5), rng.uniform(0.0, 0.9)
    return Material(pattern, base, second, third, period, grain, grain_size, warp, patches)


def _room_material(rng: np.random.Generator, scale: float) -> Material:
    """Black, plain or patterned in large, in thirds; `scale` is millimetres per unit of the object's frame."""
    kind, pattern = rng.integers(3), Pattern(int(rng.integers(len(Pattern))))
    base, second, third = (_color(rng, rng.random()) for _ in range(3))
    if kind < 2:
        plain = (0.0, 0.0, 0.0) if kind == 0 else base
        return Material(Pattern.clouds, plain, plain, plain, scale, 0.0, scale, 0.0, 0.0)
    return Material(pattern, base, second, third, scale * rng.uniform(0.5, 4.0), 0.15, scale * rng.uniform(0.2, 1.0))
