from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nto3d.kernels.raycast import MeshCaster
from nto3d.report.shade import BACKGROUND, MeshShader, Shading, guess_up, look_at, shade_mesh, turntable
from nto3d.types import Mesh

SIZE = (60, 80)
INTRINSICS = np.array([[100.0, 0, 39.5], [0, 100.0, 29.5], [0, 0, 1]])
GREY = round(BACKGROUND * 255)


def ball(radius: float = 1.0, center: tuple[float, float, float] = (0, 0, 0), color: tuple | None = None) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    colors = None if color is None else np.tile(np.array(color, dtype=np.uint8), (len(shape.vertices), 1))
    return Mesh(np.asarray(shape.vertices) + center, shape.faces.astype(np.int64), colors)


def camera(distance: float) -> np.ndarray:
    """Looks along +z at the origin from the given distance."""
    return np.column_stack([np.eye(3), [0, 0, -distance]])


def test_rays_hit_a_triangle_where_they_should() -> None:
    corners = np.array([[500.0, 0, 10], [504, 0, 10], [500, 4, 14]])
    hits = MeshCaster(Mesh(corners, np.array([[0, 1, 2]]))).cast(
        np.array([[501.0, 1, 0], [505, 1, 0], [501, 1, 20]]), np.array([[0.0, 0, 1], [0, 0, 1], [0, 0, -1]])
    )
    np.testing.assert_array_equal(hits.face, [0, -1, 0])
    np.testing.assert_allclose(hits.distance, [11, 0, 9], atol=1e-4)
    np.testing.assert_allclose(hits.weights[0], [0.5, 0.25, 0.25], atol=1e-5)


def test_silhouette_of_a_sphere() -> None:
    """A unit sphere 4 away appears with the radius f tan(asin(1/4)) around the principal point."""
    picture = shade_mesh(ball(), INTRINSICS, camera(4.0), SIZE)
    assert picture.dtype == np.uint8
    assert picture.shape == (*SIZE, 3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    radius = 100 * np.tan(np.arcsin(0.25))
    away = np.hypot(x - 39.5, y - 29.5)
    assert (picture[away > radius + 1.2] == GREY).all()
    assert (np.ptp(picture[away < radius - 1.2], axis=1) > 5).all()  # clay is not grey


def test_normals_as_colors() -> None:
    picture = shade_mesh(ball(), INTRINSICS, camera(4.0), SIZE, Shading.normals)
    centre = picture[29:31, 39:41].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(centre, [127.5, 127.5, 0], atol=4)  # the normal there is (0, 0, -1)
    assert picture[30, 60, 0] > 200  # to the right it turns to +x
    assert picture[50, 40, 1] > 200  # below (y down) to +y


def test_colors_are_shown_and_missing_colors_are_clay() -> None:
    red = shade_mesh(ball(color=(255, 0, 0)), INTRINSICS, camera(4.0), SIZE, Shading.color)
    assert red[30, 40, 0] > 150
    assert red[30, 40, 1] == red[30, 40, 2] == 0
    plain = ball()
    clay = shade_mesh(plain, INTRINSICS, camera(4.0), SIZE)
    np.testing.assert_array_equal(shade_mesh(plain, INTRINSICS, camera(4.0), SIZE, Shading.color), clay)


def test_flat_shading_shows_the_faces() -> None:
    shape = trimesh.creation.icosphere(subdivisions=1)
    shader = MeshShader(Mesh(np.asarray(shape.vertices), shape.faces.astype(np.int64)))
    inside = (slice(20, 40), slice(30, 50))
    flat, smooth = (
        len(np.unique(shader.render(INTRINSICS, camera(4.0), SIZE, s, 1)[inside].reshape(-1, 3), axis=0))
        for s in (Shading.flat, Shading.clay)
    )
    assert flat < smooth


def test_supersampling_softens_only_edges() -> None:
    shader = MeshShader(ball(color=(0, 0, 255)))
    sharp, soft = (shader.render(INTRINSICS, camera(4.0), SIZE, Shading.normals, n) for n in (1, 3))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    off_edge = np.abs(np.hypot(x - 39.5, y - 29.5) - 25.8) > 3
    assert np.abs(sharp.astype(int) - soft)[off_edge].max() <= 8
    assert np.abs(sharp.astype(int) - soft)[~off_edge].max() > 30


def test_a_far_away_scene_looks_the_same() -> None:
    offset = (5000.0, -3000.0, 8000.0)
    moved = camera(4.0) + np.column_stack([np.zeros((3, 3)), offset])
    near, far = (
        shade_mesh(ball(center=center), INTRINSICS, pose, SIZE).astype(int)
        for center, pose in (((0, 0, 0), camera(4.0)), (offset, moved))
    )
    assert (np.abs(near - far) > 2).mean() < 1e-3


def test_turntable_goes_once_around_with_up_upwards() -> None:
    """A tall box along the up direction stays tall in every frame and never touches the border."""
    up = np.array([1.0, 2.0, -0.5])
    up /= np.linalg.norm(up)
    box = trimesh.creation.box(extents=(0.4, 0.4, 3.0))
    box.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], up))
    frames = turntable(Mesh(np.asarray(box.vertices) + 40, box.faces.astype(np.int64)), 4, (64, 64), up)
    assert len(frames) == 4
    for frame in frames:
        seen = (frame != GREY).any(axis=-1)
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        assert np.ptp(rows) > 3 * np.ptp(columns)
        assert rows[0] > 0
        assert rows[-1] < 63


def test_a_turntable_can_look_from_below() -> None:
    """A red plate over a blue one."""
    plate = trimesh.creation.box(extents=(2, 2, 0.1))
    vertices = np.concatenate([plate.vertices + [0, 0, 0.2], plate.vertices - [0, 0, 0.2]])
    colors = np.repeat(np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8), 8, axis=0)
    mesh = Mesh(vertices, np.concatenate([plate.faces, plate.faces + 8]).astype(np.int64), colors)
    steep = np.radians(80)
    frames = turntable(mesh, 4, (32, 32), np.array([0, 0, 1.0]), Shading.color, (steep, -steep))
    for frame, (most, least) in zip(frames, ((0, 2), (2, 0), (0, 2), (2, 0)), strict=True):
        middle = frame[12:20, 12:20].astype(int)
        assert (middle[..., most] > middle[..., least] + 50).all()


def test_look_at_is_an_opencv_pose() -> None:
    pose = look_at(np.array([0.0, -3.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(pose, [[1, 0, 0, 0], [0, 0, 1, -3], [0, -1, 0, 0]], atol=1e-12)


def test_up_is_where_cameras_point_their_tops() -> None:
    ring = [3 * np.array([np.cos(a), np.sin(a), 0.5]) for a in np.linspace(0, 2 * np.pi, 9)[:-1]]
    poses = np.stack([look_at(eye, np.zeros(3), np.array([0.0, 0.0, 1.0])) for eye in ring])
    np.testing.assert_allclose(guess_up(poses), [0, 0, 1], atol=1e-12)
    opposite = np.stack([np.eye(4)[:3], np.diag([-1.0, -1.0, 1.0, 1.0])[:3]])
    assert np.linalg.norm(guess_up(opposite)) == pytest.approx(1.0)
