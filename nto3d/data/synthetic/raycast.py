"""Ray casting with Warp on the CPU: colour, object index and depth of a view, and first hits of given rays.

Everything here is in the normalized frame (the target's unit sphere), where float32 is accurate; only textures are
evaluated in the scene's length unit.
"""

# Warp reads its array types from annotations that are calls
# mypy: disable-error-code="valid-type"
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp
from numpy.typing import NDArray

from nto3d.data.synthetic.solids.shapes import Solid
from nto3d.data.synthetic.solids.textures import Material, MaterialTable, albedo, material_table
from nto3d.data.synthetic.viewpoints import View
from nto3d.types import IntArray

Floats = NDArray[np.float64]

FAR = 1.0e3
SUBSAMPLES = 2  # colour samples along each side of a pixel; mask and depth come from one more ray at its centre


@wp.struct
class World:
    """What rays meet: one mesh of all objects, and a box-shaped room around it.

    `face_object[f]` is the object of face f and `face_material[f]` its surface; the room has the index `room_index`.
    """

    mesh: wp.uint64
    normals: wp.array(dtype=wp.vec3)
    faces: wp.array(dtype=wp.int32)
    face_object: wp.array(dtype=wp.int32)
    face_material: wp.array(dtype=wp.int32)
    room_low: wp.vec3
    room_high: wp.vec3
    room_index: wp.int32
    scale: wp.float32
    center: wp.vec3
    lights: wp.array(dtype=wp.vec3)
    ambient: wp.float32


@wp.struct
class Pinhole:
    """A camera: centre, axes as columns of `axes`, focal length and principal point in pixels."""

    center: wp.vec3
    axes: wp.mat33
    focal: wp.float32
    principal: wp.vec2


@wp.struct
class Hit:
    """Where a ray ends: `object` is -1 for nothing but the room."""

    t: wp.float32
    object: wp.int32
    material: wp.int32
    normal: wp.vec3


@wp.func
def _first_hit(world: World, origin: wp.vec3, direction: wp.vec3) -> Hit:
    hit = Hit()
    hit.object = -1
    hit.material = world.room_index
    query = wp.mesh_query_ray(world.mesh, origin, direction, FAR)
    if query.result:
        i = world.faces[3 * query.face]
        j = world.faces[3 * query.face + 1]
        k = world.faces[3 * query.face + 2]
        w = 1.0 - query.u - query.v
        hit.t = query.t
        hit.object = world.face_object[query.face]
        hit.material = world.face_material[query.face]
        hit.normal = wp.normalize(query.u * world.normals[i] + query.v * world.normals[j] + w * world.normals[k])
    else:
        leave = wp.float32(FAR)
        axis = wp.int32(0)
        for a in range(3):
            if wp.abs(direction[a]) > 1.0e-9:
                wall = wp.where(direction[a] > 0.0, world.room_high[a], world.room_low[a])
                t = (wall - origin[a]) / direction[a]
                if t < leave:
                    leave = t
                    axis = a
        hit.t = leave
        inward = wp.where(direction[axis] > 0.0, -1.0, 1.0)
        hit.normal = inward * wp.vec3(
            wp.where(axis == 0, 1.0, 0.0), wp.where(axis == 1, 1.0, 0.0), wp.where(axis == 2, 1.0, 0.0)
        )
    return hit


@wp.func
def _shade(world: World, table: MaterialTable, light: wp.vec3, origin: wp.vec3, direction: wp.vec3) -> wp.vec3:
    """Lambertian colour with one shadow ray; the room is lit evenly."""
    hit = _first_hit(world, origin, direction)
    place = origin + hit.t * direction
    color = albedo(table, hit.material, place * world.scale + world.center, hit.normal)
    if hit.object < 0:
        return color
    sky = 0.5 + 0.5 * hit.normal[2]
    received = world.ambient * (0.8 + 0.2 * sky)
    toward = wp.dot(hit.normal, light)
    if toward > 0.0 and not wp.mesh_query_ray_anyhit(world.mesh, place + 2.0e-3 * hit.normal, light, FAR):
        received += (1.0 - world.ambient) * toward * 1.1
    return color * received


@wp.kernel(enable_backward=False)
def _render(
    world: World,
    table: MaterialTable,
    camera: Pinhole,
    width: int,
    samples: int,
    color: wp.array(dtype=wp.vec3),
    object: wp.array(dtype=wp.int32),
    depth: wp.array(dtype=wp.float32),
) -> None:
    pixel = wp.int32(wp.tid())
    x = float(pixel % width)
    y = float(pixel // width)
    total = wp.vec3(0.0, 0.0, 0.0)
    for s in range(samples * samples):
        dx = (float(s % samples) + 0.5) / float(samples) - 0.5
        dy = (float(s // samples) + 0.5) / float(samples) - 0.5
        local = wp.vec3(
            (x + dx - camera.principal[0]) / camera.focal, (y + dy - camera.principal[1]) / camera.focal, 1.0
        )
        light = world.lights[s % world.lights.shape[0]]
        total += _shade(world, table, light, camera.center, wp.normalize(camera.axes * local))
    color[pixel] = total / float(samples * samples)
    middle = wp.vec3((x - camera.principal[0]) / camera.focal, (y - camera.principal[1]) / camera.focal, 1.0)
    direction = camera.axes * middle  # not normalised: its z is 1, so t is the depth along the optical axis
    hit = _first_hit(world, camera.center, direction)
    object[pixel] = hit.object
    depth[pixel] = hit.t


@wp.kernel(enable_backward=False)
def _cast(
    world: World,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    t: wp.array(dtype=wp.float32),
    object: wp.array(dtype=wp.int32),
) -> None:
    ray = wp.int32(wp.tid())
    hit = _first_hit(world, origins[ray], directions[ray])
    t[ray] = hit.t
    object[ray] = hit.object


@wp.kernel(enable_backward=False)
def _surface_colors(
    world: World,
    table: MaterialTable,
    index: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    color: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.int32(wp.tid())
    color[i] = albedo(table, index[i], points[i] * world.scale + world.center, normals[i])


@dataclass(frozen=True)
class Rendering:
    """One rendered view of H x W pixels.

    Attributes:
        color: uint8 [H, W, 3] RGB. object: int32 [H, W], index of the object at the pixel's centre, -1 for the room.
        depth: float32 [H, W], z along the optical axis at the pixel's centre, normalized units.
    """

    color: NDArray[np.uint8]
    object: NDArray[np.int32]
    depth: NDArray[np.float32]


class RayScene:
    """Objects, materials and lights, ready to be rendered."""

    def __init__(
        self,
        solids: list[Solid],
        materials: list[Material],
        room: tuple[Floats, Floats],
        scale: float,
        center: Floats,
        ambient: float,
        surfaces: Sequence[IntArray | None] = (),
    ) -> None:
        """Build the acceleration structure.

        Args:
            solids: objects in the normalized frame; materials: one for each of them, one for the room, and others.
            room: lower and upper corner of the room, normalized.
            scale, center: scene length = scale * normalized + center.
            ambient: share of the light that comes from everywhere.
            surfaces: for the first objects, the material of each face, or None where all have the object's own.
        """
        starts = np.cumsum([0] + [len(s.vertices) for s in solids])
        vertices = np.concatenate([s.vertices for s in solids]).astype(np.float32)
        faces = np.concatenate([s.faces + start for s, start in zip(solids, starts[:-1], strict=True)]).astype(np.int32)
        owner = np.repeat(np.arange(len(solids), dtype=np.int32), [len(s.faces) for s in solids])
        material = owner.copy()
        for number, own in enumerate(surfaces):
            if own is not None:
                material[owner == number] = own
        # the mesh must outlive the kernels that hold its id
        self._mesh = wp.Mesh(_vec3(vertices), wp.array(faces.ravel(), dtype=wp.int32, device="cpu"))
        world = World()
        world.mesh = self._mesh.id
        world.normals = _vec3(np.concatenate([s.normals for s in solids]))
        world.faces = self._mesh.indices
        world.face_object = wp.array(owner, dtype=wp.int32, device="cpu")
        world.face_material = wp.array(material, dtype=wp.int32, device="cpu")
        world.room_low, world.room_high = wp.vec3(*room[0]), wp.vec3(*room[1])
        world.room_index = len(solids)
        world.scale, world.center = scale, wp.vec3(*center)
        world.lights = _vec3(light_directions())
        world.ambient = ambient
        self._world = world
        self._table = material_table(materials)

    def render(self, view: View) -> Rendering:
        """Render one view, antialiased."""
        height, width = view.size
        count = height * width
        camera = Pinhole()
        camera.center = wp.vec3(*view.center)
        camera.axes = wp.mat33(*view.rotation.T.ravel())
        camera.focal = float(view.intrinsics[0, 0])
        camera.principal = wp.vec2(float(view.intrinsics[0, 2]), float(view.intrinsics[1, 2]))
        color = wp.zeros(count, dtype=wp.vec3, device="cpu")
        objects = wp.zeros(count, dtype=wp.int32, device="cpu")
        depth = wp.zeros(count, dtype=wp.float32, device="cpu")
        inputs = [self._world, self._table, camera, width, SUBSAMPLES]
        wp.launch(_render, dim=count, inputs=inputs, outputs=[color, objects, depth], device="cpu")
        pixels = np.clip(np.rint(color.numpy() * 255.0), 0, 255).astype(np.uint8)
        shape = (height, width)
        return Rendering(pixels.reshape(*shape, 3), objects.numpy().reshape(shape), depth.numpy().reshape(shape))

    def cast(self, origins: Floats, directions: Floats) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """First hits of rays [R, 3], normalized frame: t [R] in lengths of the direction, and object [R] (-1: room)."""
        t = wp.zeros(len(origins), dtype=wp.float32, device="cpu")
        objects = wp.zeros(len(origins), dtype=wp.int32, device="cpu")
        inputs = [self._world, _vec3(origins), _vec3(directions)]
        wp.launch(_cast, dim=len(origins), inputs=inputs, outputs=[t, objects], device="cpu")
        return t.numpy(), objects.numpy()

    def colors(self, material: int | IntArray, solid: Solid) -> NDArray[np.uint8]:
        """Unlit colours [M, 3] of vertices that have one material, or [M] of them."""
        color = wp.zeros(len(solid.vertices), dtype=wp.vec3, device="cpu")
        index = np.broadcast_to(np.asarray(material, dtype=np.int32), len(solid.vertices))
        each = wp.array(np.ascontiguousarray(index), dtype=wp.int32, device="cpu")
        inputs = [self._world, self._table, each, _vec3(solid.vertices), _vec3(solid.normals)]
        wp.launch(_surface_colors, dim=len(solid.vertices), inputs=inputs, outputs=[color], device="cpu")
        return np.clip(np.rint(color.numpy() * 255.0), 0, 255).astype(np.uint8)


def light_directions() -> Floats:
    """Unit directions to the four corners of a distant square lamp: their average makes soft-ish shadows."""
    spread = 0.05
    corners = [(-0.45 + a, -0.35 + b, 0.85) for a, b in ((spread, 0), (0, spread), (-spread, 0), (0, -spread))]
    lights = np.array(corners)
    return lights / np.linalg.norm(lights, axis=1, keepdims=True)


def _vec3(values: NDArray[np.floating]) -> wp.array:
    return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=wp.vec3, device="cpu")
