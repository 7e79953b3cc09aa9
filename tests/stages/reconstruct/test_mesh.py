"""The mesh of an analytic sphere, and the region that it is cut out of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from nto3d.config.schema import ExportConfig, Unseen
from nto3d.errors import InputError
from nto3d.export.visibility import Visibility
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.mesh import HullRegion, extract_mesh
from nto3d.types import Cameras
from tests.helpers import ring_cameras
from tests.render.spheres import NormalColor, SphereSdf

WORLD = np.diag([10.0, 10.0, 10.0, 1.0])
WORLD[:3, 3] = [1.0, -2.0, 30.0]


def model(sphere: SphereSdf, hull: torch.Tensor | None = None) -> SurfaceModel:
    hull = torch.ones(32, 32, 32, dtype=torch.bool) if hull is None else hull
    return SurfaceModel(sphere, NormalColor(), OccupancyGrid(hull), torch.zeros(1, 3))


def test_a_sphere_in_world_units() -> None:
    mesh = extract_mesh(model(SphereSdf(0.5, (0.1, 0.0, -0.2))), WORLD, ExportConfig(resolution=64))
    radii = np.linalg.norm(mesh.vertices - [2.0, -2.0, 28.0], axis=1)
    np.testing.assert_allclose(radii, 5.0, atol=0.01)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 125, rel=0.01)  # positive: faces look outwards
    assert mesh.colors is not None
    normals = (mesh.vertices - [2.0, -2.0, 28.0]) / 5.0
    assert np.abs(mesh.colors - (normals * 0.4 + 0.5) * 255).max() < 3


def visibility() -> Visibility:
    """Six cameras above the equator: they do not see a sphere's south."""
    size = (60, 80)
    return Visibility(Cameras(*ring_cameras(6, size), size))


@pytest.mark.parametrize("unseen", list(Unseen))
def test_what_no_view_sees_is_dealt_with(unseen: Unseen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="nto3d")
    config = ExportConfig(resolution=64, unseen=unseen)
    plain = extract_mesh(model(SphereSdf(0.5)), WORLD, config)
    mesh = extract_mesh(model(SphereSdf(0.5)), WORLD, config, visibility())
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    height = (mesh.vertices[:, 2] - 30.0) / 5.0
    assert mesh.seen is not None
    assert mesh.colors is not None
    assert plain.seen is None
    assert mesh.seen[height > 0.3].min() >= 1
    match unseen:
        case Unseen.mark:
            np.testing.assert_array_equal(mesh.vertices, plain.vertices)
            assert mesh.seen[height < -0.95].max() == 0
        case Unseen.close:
            assert solid.is_watertight
            assert 0.8 * 4 / 3 * np.pi * 125 < solid.volume < 4 / 3 * np.pi * 125
            assert height.min() > -0.97  # the south is flattened
        case Unseen.trim:
            assert not solid.is_watertight
            assert height.min() > -0.95
    assert "seen by no training view" in caplog.text


def test_colours_can_be_left_out() -> None:
    assert extract_mesh(model(SphereSdf()), WORLD, ExportConfig(resolution=16, colors=False)).colors is None


def test_what_no_ray_saw_is_cut_off() -> None:
    hull = torch.zeros(32, 32, 32, dtype=torch.bool)
    hull[16:] = True  # x > 0
    mesh = extract_mesh(model(SphereSdf(0.5), hull), np.eye(4), ExportConfig(resolution=64))
    assert mesh.vertices[:, 0].min() > -0.05
    assert mesh.vertices[:, 0].max() == pytest.approx(0.5, abs=0.01)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight  # closed along the cut
    assert solid.volume == pytest.approx(2 / 3 * np.pi * 0.125, rel=0.05)


def test_a_surface_beyond_the_unit_sphere_ends_there() -> None:
    mesh = extract_mesh(model(SphereSdf(0.5, (0.8, 0.0, 0.0))), np.eye(4), ExportConfig(resolution=48))
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 1.0 + 0.05


def test_no_surface_is_one_line() -> None:
    with pytest.raises(InputError) as caught:
        extract_mesh(model(SphereSdf(0.4, (5.0, 0.0, 0.0))), WORLD, ExportConfig(resolution=32))
    assert "\n" not in str(caught.value)


def test_the_region_of_a_box_of_cells() -> None:
    hull = torch.zeros(16, 16, 16, dtype=torch.bool)
    hull[4:12, 6:10, 2:14] = True  # |x| < 1/2, |y| < 1/4, |z| < 3/4
    region = HullRegion(OccupancyGrid(hull))
    points = torch.tensor(
        [
            [0.0, 0.0, 0.0],
            [0.5, 0.0, 0.0],  # on the faces
            [0.0, -0.25, 0.0],
            [0.0, 0.0, 0.75],
            [0.75, 0.0, 0.0],  # beyond them
            [0.0, 0.5, 0.1],
            [0.3, 0.1, -0.95],
            [0.4, 0.0, 0.1],  # before them
        ]
    )
    values = region(points).tolist()
    assert values[0] < -0.2
    assert values[1:4] == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
    assert values[4:7] == pytest.approx([0.25, 0.25, 0.2], abs=0.07)  # to a cell's half, 1/16
    assert values[7] == pytest.approx(-0.1, abs=0.07)


def test_the_region_ends_at_the_unit_sphere() -> None:
    region = HullRegion(OccupancyGrid(torch.ones(16, 16, 16, dtype=torch.bool)))
    directions = torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for radius, sign in ((0.97, -1.0), (1.03, 1.0), (1.6, 1.0)):
        assert bool((region(directions * radius) * sign > 0).all())
