from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from nto3d.errors import InputError
from nto3d.evaluate.geometry import (
    chamfer,
    load_points,
    mesh_metrics,
    normal_error,
    point_metrics,
    point_triangle_distance,
    points_to_mesh,
    points_to_mesh_reference,
    sample_surface,
    volume,
)
from nto3d.types import Mesh

TRIANGLE = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 3.0, 0.0]])


def ball(radius: float, subdivisions: int = 4, center: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.asarray(shape.vertices) + center, shape.faces.astype(np.int64))


def square(z: float) -> Mesh:
    vertices = np.array([[0, 0, z], [1, 0, z], [1, 1, z], [0, 1, z]], dtype=float)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]))


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((1.0, 1.0, 2.0), 2.0),  # above the face
        ((1.0, 1.0, -0.5), 0.5),  # below it
        ((1.0, 1.0, 0.0), 0.0),  # on it
        ((2.0, -3.0, 4.0), 5.0),  # beside the edge y = 0
        ((-1.0, 1.5, 0.0), 1.0),  # beside the edge x = 0
        ((2.0 + 3.0, 1.5 + 4.0, 12.0), 13.0),  # 5 along the normal (3, 4) of the long edge, 12 up
        ((-3.0, -4.0, 0.0), 5.0),  # at the corner (0, 0)
        ((6.0, -3.0, 6.0), 7.0),  # at the corner (4, 0)
        ((0.0, 4.0, 0.0), 1.0),  # at the corner (0, 3)
    ],
)
def test_distance_to_a_triangle_by_hand(point: tuple[float, float, float], expected: float) -> None:
    mesh = Mesh(TRIANGLE, np.array([[0, 1, 2]]))
    points = np.array([point])
    assert point_triangle_distance(points, TRIANGLE[None]) == pytest.approx(expected)
    assert point_triangle_distance(points, TRIANGLE[None, ::-1]) == pytest.approx(expected)
    assert points_to_mesh(points, mesh) == pytest.approx(expected)


def test_distance_to_a_collapsed_triangle_is_that_to_its_edge() -> None:
    collapsed = np.array([[[0.0, 0, 0], [2, 0, 0], [1, 0, 0]], [[1.0, 1, 1], [1, 1, 1], [1, 1, 1]]])
    np.testing.assert_allclose(point_triangle_distance(np.array([[1.5, 3, 4], [1, 1, 3]]), collapsed), [5.0, 2.0])


def test_fast_distances_equal_the_reference_far_from_the_origin() -> None:
    center = (512.0, -300.0, 800.0)
    mesh = ball(60.0, 3, center)
    points = np.random.default_rng(0).normal(size=(400, 3)) * 70 + center
    np.testing.assert_allclose(points_to_mesh(points, mesh), points_to_mesh_reference(points, mesh), atol=1e-4)


def test_many_points_at_once_equal_few() -> None:
    """More points than one share of work: every share writes its own."""
    mesh, points = ball(1.0, 2), np.random.default_rng(1).normal(size=(9001, 3))
    apart = np.concatenate([points_to_mesh(part, mesh) for part in np.array_split(points, 7)])
    np.testing.assert_array_equal(points_to_mesh(points, mesh), apart)


def test_samples_are_uniform_by_area_and_seeded() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0]], dtype=float)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))  # areas 1 : 3
    points = sample_surface(mesh, 20_000, seed=0)
    assert (points[:, 0] >= 5).mean() == pytest.approx(0.75, abs=0.015)
    assert points_to_mesh(points, mesh).max() < 1e-6
    np.testing.assert_array_equal(points, sample_surface(mesh, 20_000, seed=0))
    assert not np.array_equal(points, sample_surface(mesh, 20_000, seed=1))


def test_chamfer_by_hand() -> None:
    """Predicted points at 0 and 10, true points at 1, 2 and 9: distances 1, 1 and 1, 2, 1."""
    predicted, truth = (np.array([[x, 0.0, 0.0] for x in xs]) for xs in ((0, 10), (1, 2, 9)))
    metrics = chamfer(predicted, truth, threshold=1.5)
    assert metrics["accuracy"] == pytest.approx(1.0)
    assert metrics["completeness"] == pytest.approx(4 / 3)
    assert metrics["chamfer"] == pytest.approx(7 / 6)
    assert (metrics["precision"], metrics["recall"]) == pytest.approx((1.0, 2 / 3))
    assert metrics["fscore"] == pytest.approx(0.8)
    assert chamfer(predicted, truth, threshold=0.5)["fscore"] == 0.0
    assert "fscore" not in chamfer(predicted, truth)


def test_shifted_planes() -> None:
    metrics = mesh_metrics(square(0.2), square(0.0), samples=20_000, threshold_share=0.3 / 2**0.5, seed=0)
    assert metrics["chamfer"] == pytest.approx(0.2, rel=2e-3)
    assert metrics["chamfer_relative"] == pytest.approx(0.2 / 2**0.5, rel=2e-3)
    assert metrics["fscore"] == 1.0
    assert mesh_metrics(square(0.2), square(0.0), samples=999, threshold_share=0.1, seed=0)["fscore"] == 0.0


def test_concentric_spheres() -> None:
    metrics = mesh_metrics(ball(1.1), ball(1.0), samples=50_000, threshold_share=0.01, seed=0)
    assert metrics["accuracy"] == pytest.approx(0.1, rel=0.01)
    assert metrics["completeness"] == pytest.approx(0.1, rel=0.01)
    assert metrics["chamfer_relative"] == pytest.approx(0.1 / (2 * 3**0.5), rel=0.01)


def test_unused_vertices_do_not_stretch_the_bounding_box() -> None:
    plane = square(0.0)
    stray = Mesh(np.concatenate([plane.vertices, [[99.0, 99, 99]]]), plane.faces)
    expected = mesh_metrics(square(0.2), plane, samples=1000, threshold_share=0.01, seed=0)
    assert mesh_metrics(square(0.2), stray, samples=1000, threshold_share=0.01, seed=0) == expected


def test_point_metrics() -> None:
    points = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, -0.3], [0.2, 0.4, 1.1]])
    assert point_metrics(points, square(0.0)) == pytest.approx({"points_mean": 0.5, "points_median": 0.3})


def test_points_are_read(tmp_path: Path) -> None:
    xyz = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "points.npz", xyz=xyz)
    points = load_points(tmp_path / "points.npz")
    assert points.dtype == np.float64
    np.testing.assert_array_equal(points, xyz)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"points": np.zeros((2, 3))}, r"a key xyz, it is not there \(keys: points\)"),
        ({"xyz": np.zeros((2, 4))}, r"expected xyz \[P, 3\]"),
        ({"xyz": np.zeros((0, 3))}, r"expected xyz \[P, 3\]"),
        ({"xyz": np.full((2, 3), np.nan)}, "finite"),
        ({"xyz": np.array([["a", "b", "c"]])}, "numbers"),
        ({"xyz": np.array([[None, 1, 2]], dtype=object)}, "damaged"),
    ],
)
def test_bad_points_are_input_errors(tmp_path: Path, entries: dict, message: str) -> None:
    np.savez(tmp_path / "points.npz", **entries)
    with pytest.raises(InputError, match=rf"points\.npz: .*{message}"):
        load_points(tmp_path / "points.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_damaged_point_files_are_input_errors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "points.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"points\.npz: expected an npz"):
        load_points(tmp_path / "points.npz")


def test_a_npy_file_under_the_name_is_an_input_error(tmp_path: Path) -> None:
    with (tmp_path / "points.npz").open("wb") as file:
        np.save(file, np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"points\.npz: expected"):
        load_points(tmp_path / "points.npz")


def test_missing_point_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_points(tmp_path / "absent.npz")


def tilted(degrees: float) -> Mesh:
    """The square of z = 0 turned about the x axis."""
    angle = np.radians(degrees)
    flat = square(0.0)
    turned = flat.vertices @ np.array(
        [[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]]
    )
    return Mesh(turned, flat.faces)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 10.0, 80.0])
def test_normal_error_of_a_tilted_plane_is_its_angle(degrees: float) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (500, 3)) * [1, 1, 0]
    up = np.tile([0.0, 0.0, 1.0], (500, 1))
    assert normal_error(tilted(degrees), points, up) == pytest.approx(degrees, abs=1e-6)
    inside_out = Mesh(tilted(degrees).vertices, tilted(degrees).faces[:, ::-1])
    assert normal_error(inside_out, points, up) == pytest.approx(180 - degrees, abs=1e-6)


def test_normal_error_takes_the_nearest_point_of_the_mesh() -> None:
    """Two sheets, the upper one facing down: points near it are off by 180 degrees, those near the lower one by 0."""
    vertices = np.concatenate([square(0.0).vertices, square(1.0).vertices])
    sheets = Mesh(vertices, np.concatenate([square(0.0).faces, square(1.0).faces[:, ::-1] + 4]))
    up = np.tile([0.0, 0.0, 1.0], (9, 1))
    for height, expected in ((0.45, 0.0), (0.55, 180.0), (3.0, 180.0)):
        assert normal_error(sheets, np.full((9, 3), [0.3, 0.6, height]), up) == pytest.approx(expected)


def test_normal_error_is_among_the_metrics_of_meshes() -> None:
    same = mesh_metrics(ball(1.0), ball(1.0), samples=5000, threshold_share=0.01, seed=0)
    assert same["normal_error"] < 1.5  # faces against interpolated vertex normals of edges of 4 degrees
    larger = mesh_metrics(
        ball(50.0, center=(900, 0, 0)), ball(40.0, center=(900, 0, 0)), samples=5000, threshold_share=0.01, seed=0
    )
    assert larger["normal_error"] < 1.5
    metrics = mesh_metrics(tilted(10.0), square(0.0), samples=5000, threshold_share=0.01, seed=0)
    assert metrics["normal_error"] == pytest.approx(10.0, abs=1e-6)
    repeated = mesh_metrics(tilted(10.0), square(0.0), samples=5000, threshold_share=0.01, seed=0)
    assert repeated == metrics


@pytest.mark.parametrize(
    "center", [(0.0, 0.0, 0.0), (800.0, -300.0, 500.0), (450000.0, 5400000.0, 300.0), (1e9, 1e9, 0.0)]
)
def test_volume_far_from_the_origin(center: tuple[float, float, float]) -> None:
    near = volume(ball(1.0))
    assert near == pytest.approx(4 / 3 * np.pi, rel=0.01)
    assert volume(ball(1.0, center=center)) == pytest.approx(near, rel=1e-6)
