"""Questions to a feature field that is known by hand: it answers where a point of a ball lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.export.surface import extract_surface
from nto3d.geometry.cameras import project
from nto3d.render.grid import OccupancyGrid
from nto3d.report.pictures import color_map
from nto3d.stages.features import query
from nto3d.stages.features.query import (
    PALETTE,
    ViewSimilarity,
    check_views,
    colored_mesh,
    cosines,
    feature_at_pixel,
    feature_at_vertex,
    heat_picture,
    looking_at,
    marked,
    masked_near,
    shown_views,
    similarity_range,
    vertex_similarity,
    view_similarity,
)
from nto3d.stages.model import SurfaceModel
from nto3d.types import Cameras, Mesh, Scene
from tests.helpers import render_sphere, ring_cameras
from tests.render.spheres import NormalColor, SphereSdf

SIZE, VIEWS, DT = (48, 64), 6, 0.01


class HiddenNormalColor(NormalColor):
    """The normal as a colour, and nothing in the hidden layer."""

    def hidden(self, positions: Tensor, normals: Tensor, directions: Tensor, features: Tensor) -> Tensor:
        return normals

    def rgb(self, hidden: Tensor) -> Tensor:
        return hidden * 0.4 + 0.5


class PlaceField(nn.Module):
    """Answers positions, with the calls of `fields.FeatureField`."""

    def embed(self, positions: Tensor, features: Tensor, color: Tensor) -> Tensor:
        return positions

    def decode(self, embedded: Tensor, opacity: Tensor) -> Tensor:
        return 3.0 * embedded


@pytest.fixture
def model() -> SurfaceModel:
    """A sharp ball of radius 0.5."""
    grid = OccupancyGrid(torch.ones(32, 32, 32, dtype=torch.bool))
    viewpoints = torch.from_numpy(ring_cameras(VIEWS, SIZE)[1][:, :, 3])
    features: nn.Module = PlaceField()
    return SurfaceModel(SphereSdf(), HiddenNormalColor(), grid, viewpoints, features=features, init_inv_std=500.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    intrinsics, cam_to_world = ring_cameras(VIEWS, SIZE)
    rendered = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    return Scene(
        "ball",
        np.stack([image for image, _, _ in rendered]),
        Cameras(intrinsics, cam_to_world, SIZE),
        np.stack([mask for _, mask, _ in rendered]),
        None,
        tuple(f"{view:03d}.png" for view in range(VIEWS)),
        tuple(range(VIEWS)),
        (),
        np.eye(4),
    )


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """The ball, some 2 500 vertices."""
    return extract_surface(SphereSdf().sdf, resolution=32, lower=[-0.6] * 3, upper=[0.6] * 3)


def surface_at(scene: Scene, view: int) -> np.ndarray:
    """Points [H, W, 3] of the ball's surface in every pixel of a view, NaN where it is missed."""
    calibration, pose = scene.cameras.intrinsics[view], scene.cameras.cam_to_world[view]
    _, mask, z = render_sphere(calibration, pose, SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(calibration).T
    points: np.ndarray = np.where(mask, z, np.nan)[..., None] * (local @ pose[:, :3].T) + pose[:, 3]
    return points


def test_cosines() -> None:
    features = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-3.0, 0.0], [0.0, 0.0]])
    assert cosines(features, torch.tensor([5.0, 0.0])).tolist() == pytest.approx([1.0, 0.5**0.5, -1.0, 0.0])


def test_a_view_s_similarity_is_that_of_the_surface_in_it(model: SurfaceModel, scene: Scene) -> None:
    points = surface_at(scene, 1)
    row, column = 24, 30
    asked, opacity = feature_at_pixel(model, scene, 1, (column, row), DT)
    assert opacity > 0.99
    expected = points[row, column] / np.linalg.norm(points[row, column])
    np.testing.assert_allclose(functional.normalize(asked, dim=0).numpy(), expected, atol=0.01)
    found = view_similarity(model, scene, 4, asked, DT)
    points = surface_at(scene, 4)
    hit = np.isfinite(points[..., 0])
    assert (found.inside != hit).sum() < 0.02 * hit.sum()
    both = hit & found.inside
    cosine = (points / np.linalg.norm(points, axis=-1, keepdims=True)) @ expected
    assert np.median(np.abs(found.similarity - cosine)[both]) < 0.005
    assert np.abs(found.similarity - cosine)[both].max() < 0.1  # at the outline, where rays graze
    assert np.ptp(cosine[both]) > 0.5


def test_the_features_of_a_picture_are_never_held_at_once(
    model: SurfaceModel, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = view_similarity(model, scene, 2, torch.tensor([1.0, 0.0, 0.0]), DT)
    counts, render = [], query.render_features

    def counted(model: SurfaceModel, scene: Scene, view: int, xy: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        counts.append(len(xy))
        return render(model, scene, view, xy, dt)

    monkeypatch.setattr(query, "render_features", counted)
    monkeypatch.setattr(query, "PIXELS", 1000)
    parts = view_similarity(model, scene, 2, torch.tensor([1.0, 0.0, 0.0]), DT)
    assert max(counts) == 1000
    assert sum(counts) == SIZE[0] * SIZE[1]
    np.testing.assert_allclose(parts.similarity, whole.similarity, atol=1e-5)
    assert np.array_equal(parts.inside, whole.inside)


def test_vertices(model: SurfaceModel, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "VERTICES", 100)
    asked = feature_at_vertex(model, mesh.vertices[7])
    similarity = vertex_similarity(model, mesh.vertices, asked)
    unit = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert similarity.dtype == np.float32
    np.testing.assert_allclose(similarity, unit @ unit[7], atol=1e-5)
    assert similarity.argmax() == 7


def test_the_scale_leaves_out_the_extremes_and_never_stretches_noise() -> None:
    low, high = similarity_range(np.linspace(0, 1, 10_001))
    assert (low, high) == pytest.approx((0.02, 0.999))
    low, high = similarity_range(np.full(100, 0.9) + np.linspace(0, 1e-6, 100))
    assert high - low == pytest.approx(1e-3)


def test_a_mesh_is_coloured_along_the_scale(mesh: Mesh) -> None:
    similarity = mesh.vertices @ [0.3, 0.5, 2.0]
    colored = colored_mesh(mesh, similarity, (-0.5, 0.5))
    assert colored.colors is not None
    ends = color_map(np.array([[0.0, 1.0]]), 0, 1, PALETTE)[0]
    assert (colored.colors[similarity <= -0.5] == ends[0]).all()
    assert (colored.colors[similarity >= 0.5] == ends[1]).all()
    assert len(np.unique(colored.colors, axis=0)) > 50


def test_a_heat_picture_is_grey_but_for_the_target() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    inside = np.zeros((20, 30), dtype=bool)
    inside[5:15, 5:20] = True
    similarity = np.where(np.arange(30) < 12, 0.2, 0.9) * np.ones((20, 1))
    picture = heat_picture(image, ViewSimilarity(0, similarity, inside), (0.2, 0.9)).astype(int)
    assert (np.ptp(picture[~inside], axis=1) == 0).all()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int)
    assert (picture[~inside][:, 0] <= grey[~inside]).all()
    low, high = (values.astype(float) for values in color_map(np.array([[0.0, 1.0]]), 0, 1, PALETTE)[0])
    for columns, color in ((slice(5, 12), low), (slice(12, 20), high)):
        shares = picture[5:15, columns] @ color / (color @ color)  # one brightness a pixel, and the scale's own colour
        assert np.abs(picture[5:15, columns] - shares[..., None] * color).max() <= 1
        assert shares.min() >= 0.48
        assert shares.max() <= 1.01


def test_a_mark_lies_around_its_pixel() -> None:
    picture = np.full((90, 120, 3), 128, dtype=np.uint8)
    shown = marked(picture, (70.25, 30.0))
    assert (picture == 128).all()
    rows, columns = np.nonzero((shown != 128).any(axis=2))
    assert (rows.mean(), columns.mean()) == pytest.approx((30.0, 70.25), abs=0.2)
    assert shown[29:32, 69:72].min() > 110  # what it points at can be seen
    assert shown.min() < 30
    assert shown.max() > 230


@pytest.mark.parametrize(
    ("count", "first", "views"),
    [
        (12, 5, [5, 7, 9, 11, 1, 3]),
        (12, None, [0, 2, 4, 6, 8, 10]),
        (6, 2, [2, 3, 4, 5, 0, 1]),
        (3, 1, [1, 2, 0]),
        (1, 0, [0]),
    ],
)
def test_views_are_spread_evenly(count: int, first: int | None, views: list[int]) -> None:
    assert shown_views(count, first) == views


def test_a_vertex_is_shown_where_it_is_seen_best(mesh: Mesh, scene: Scene) -> None:
    assert scene.masks is not None
    towards = scene.cameras.centers / np.linalg.norm(scene.cameras.centers, axis=1, keepdims=True)
    for wanted in (0, 3):
        vertex = int((mesh.vertices @ towards[wanted]).argmax())
        found = looking_at(mesh, scene, None, vertex)
        assert found is not None
        view, xy = found
        assert view == wanted
        pose = scene.cameras.cam_to_world[view]
        assert xy == pytest.approx(project(scene.cameras.intrinsics[view], pose, mesh.vertices[vertex])[0])
        covered = scene.masks.copy()
        covered[wanted] = False  # something stands before it
        other = looking_at(mesh, scene, covered, vertex)
        assert other is None or other[0] != wanted
    below = int(mesh.vertices[:, 2].argmin())  # the cameras look from above
    assert looking_at(mesh, scene, None, below) is None


def test_views_that_do_not_exist() -> None:
    check_views([0, 3], 4, "views")
    for view in (-1, 4):
        with pytest.raises(InputError, match=rf"views: expected a view from 0 to 3, got {view}"):
            check_views([1, view], 4, "views")


def test_outlines_may_be_two_pixels_off() -> None:
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[5:10, 8:12] = True
    assert masked_near(mask, (13.4, 9.0))  # column 13 is two beside the last
    assert masked_near(mask, (8.0, 3.0))
    assert not masked_near(mask, (14.0, 7.0))
    assert not masked_near(mask, (0.0, 0.0))


def test_heat_is_shown_where_the_target_is_seen() -> None:
    image = np.full((4, 6, 3), 200, dtype=np.uint8)
    inside = np.zeros((4, 6), dtype=np.bool_)
    inside[:, :4] = True
    mask = np.ones((4, 6), dtype=np.bool_)
    mask[:2] = False  # something stands in front of the upper half
    seen = ViewSimilarity(0, np.full((4, 6), 0.9, dtype=np.float32), inside)
    colorful = np.ptp(heat_picture(image, seen, (0.0, 1.0), mask).astype(int), axis=2) > 0
    assert np.array_equal(colorful, inside & mask)
