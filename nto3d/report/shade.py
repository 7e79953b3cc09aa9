"""Pictures of a mesh: from a given camera, and on a turntable around it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from nto3d.geometry.normals import mesh_normals, unit
from nto3d.kernels.raycast import Hits, MeshCaster
from nto3d.types import ByteArray, FloatArray, Mesh

BACKGROUND = 0.91  # light grey, sRGB
CLAY = np.array([0.86, 0.82, 0.76])
FIELD_OF_VIEW = np.radians(32.0)  # of the turntable camera
ELEVATION = np.radians(18.0)


class Shading(Enum):
    """How a surface is coloured."""

    clay = "clay"  # one colour, lit, smooth normals
    flat = "flat"  # one colour, lit, face normals: shows the triangles
    color = "color"  # vertex colours, softly lit
    normals = "normals"  # world normals as RGB: (n + 1) / 2


class MeshShader:
    """Renders one mesh by ray casting; what does not depend on the camera is computed once.

    Args:
        mesh: in any frame; cameras are given in the same.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._caster = MeshCaster(mesh)
        self._face_normals, self._vertex_normals = mesh_normals(mesh)

    def render(
        self,
        intrinsics: FloatArray,
        cam_to_world: FloatArray,
        size: tuple[int, int],
        shading: Shading = Shading.clay,
        supersample: int = 2,
    ) -> ByteArray:
        """The mesh seen by a camera.

        Args:
            intrinsics: [3, 3] pixels, integers are pixel centres. cam_to_world: [3, 4], OpenCV axes, the mesh's frame.
            size: (H, W) in pixels.
            shading: how it is coloured; `color` of a mesh without colours is `clay`.
            supersample: rays per pixel along each axis.

        Returns:
            uint8 [H, W, 3] on light grey.
        """
        origins, directions = _rays(intrinsics, cam_to_world, size, supersample)
        hits = self._caster.cast(origins, directions)
        seen = hits.face >= 0
        picture = np.full((len(seen), 3), BACKGROUND)
        picture[seen] = self._colors(hits, seen, directions[seen], cam_to_world, shading)
        height, width = size
        averaged = picture.reshape(height, supersample, width, supersample, 3).mean(axis=(1, 3))
        return (averaged * 255).round().astype(np.uint8)

    def _colors(
        self, hits: Hits, seen: NDArray[np.bool_], directions: FloatArray, cam_to_world: FloatArray, shading: Shading
    ) -> FloatArray:
        face, weights = hits.face[seen], hits.weights[seen]
        corners = self.mesh.faces[face]
        if shading is Shading.flat:
            normals = self._face_normals[face]
        else:
            normals = unit((weights[..., None] * self._vertex_normals[corners]).sum(axis=1))
        # A surface seen from behind is lit like its front, so that open meshes can be read.
        facing = normals * np.where((normals * directions).sum(-1, keepdims=True) > 0, -1.0, 1.0)
        if shading is Shading.normals:
            return normals / 2 + 0.5
        light = _lighting(facing, directions, cam_to_world[:, :3])
        if shading is Shading.color and self.mesh.colors is not None:
            albedo = (weights[..., None] * (self.mesh.colors[corners] / 255.0)).sum(axis=1)
            return np.clip(albedo * (0.45 + 0.6 * light[:, None]), 0, 1)
        return np.clip(CLAY * light[:, None], 0, 1)


def shade_mesh(
    mesh: Mesh,
    intrinsics: FloatArray,
    cam_to_world: FloatArray,
    size: tuple[int, int],
    shading: Shading = Shading.clay,
) -> ByteArray:
    """One picture uint8 [H, W, 3] of a mesh from a camera, see `MeshShader.render` (keep that for several)."""
    return MeshShader(mesh).render(intrinsics, cam_to_world, size, shading)


def turntable(
    mesh: Mesh,
    frames: int,
    size: tuple[int, int],
    up: FloatArray,
    shading: Shading = Shading.clay,
    elevations: Sequence[float] = (ELEVATION,),
) -> list[ByteArray]:
    """Pictures uint8 [H, W, 3] of a mesh from all around, by default slightly from above.

    Args:
        mesh: in any frame. frames: how many pictures, evenly spread over the circle. size: (H, W).
        up: [3], which way is up in the mesh's frame (see `guess_up`).
        shading: how it is coloured.
        elevations: angles of the camera above the middle, radians, of the pictures in turn (repeated where there are
            fewer).
    """
    shader = MeshShader(mesh)
    used = mesh.vertices[np.unique(mesh.faces)]
    center = (used.min(axis=0) + used.max(axis=0)) / 2
    radius = float(np.linalg.norm(used - center, axis=1).max()) or 1.0
    height, width = size
    distance = 1.04 * radius / np.sin(FIELD_OF_VIEW / 2)
    focal = min(size) / 2 / np.tan(FIELD_OF_VIEW / 2)
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    up = unit(np.asarray(up, dtype=np.float64))
    front = unit(np.cross(up, np.eye(3)[np.abs(up).argmin()]))
    side = np.cross(up, front)
    pictures = []
    for frame in range(frames):
        angle, elevation = 2 * np.pi * frame / frames, elevations[frame % len(elevations)]
        around = np.cos(angle) * front + np.sin(angle) * side
        eye = center + distance * (np.cos(elevation) * around + np.sin(elevation) * up)
        pictures.append(shader.render(intrinsics, look_at(eye, center, up), size, shading))
    return pictures


def look_at(eye: FloatArray, target: FloatArray, up: FloatArray) -> FloatArray:
    """cam_to_world [3, 4] (OpenCV axes) of a camera at `eye` [3] that looks at `target` [3], `up` [3] upwards."""
    forward = unit(target - eye)
    right = unit(np.cross(forward, up))
    return np.stack([right, np.cross(forward, right), forward, eye], axis=1)


def guess_up(cam_to_world: FloatArray) -> FloatArray:
    """Unit vector [3] that most cameras [V, 3, 4] hold upwards: the mean of their -y axes."""
    mean = -cam_to_world[:, :, 1].mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 1e-6 else np.array([0.0, 0.0, 1.0])


def _rays(
    intrinsics: FloatArray, cam_to_world: FloatArray, size: tuple[int, int], supersample: int
) -> tuple[FloatArray, FloatArray]:
    """Origins and unit directions [H * s * W * s, 3] of the rays through s x s points of every pixel."""
    height, width = (count * supersample for count in size)
    y, x = ((np.arange(count) + 0.5) / supersample - 0.5 for count in (height, width))
    pixels = np.stack([*np.meshgrid(x, y, indexing="xy"), np.ones((height, width))], axis=-1).reshape(-1, 3)
    directions = unit(pixels @ (cam_to_world[:, :3] @ np.linalg.inv(intrinsics)).T)
    return np.broadcast_to(cam_to_world[:, 3], directions.shape), directions


def _lighting(normals: FloatArray, directions: FloatArray, rotation: FloatArray) -> FloatArray:
    """Brightness [R] of lit normals [R, 3]: a headlight, a key light from the upper left, and a soft highlight."""
    key = rotation @ unit(np.array([-0.5, -0.8, -0.45]))
    head = np.maximum(-(normals * directions).sum(-1), 0)
    diffuse = np.maximum(normals @ key, 0)
    highlight = np.maximum((normals * unit(key - directions)).sum(-1), 0) ** 40
    brightness: FloatArray = 0.22 + 0.42 * head + 0.48 * diffuse + 0.10 * highlight
    return brightness
