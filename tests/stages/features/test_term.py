"""What training asks of the feature field, how its answers are measured, and what a mesh takes along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.config.trainer import LossConfig, TrainerConfig
from nto3d.export.mesh_io import read_mesh
from nto3d.fields.color import ColorField
from nto3d.fields.feature import FeatureField
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.features.term import (
    FeatureTerm,
    assess_features,
    compare_view,
    render_features,
    target_features,
    vertex_features,
    write_features,
)
from nto3d.stages.model import SurfaceModel
from nto3d.types import Cameras, Mesh, RayBatch, Scene
from nto3d.types.feature_maps import FeatureMaps
from tests.helpers import render_sphere, ring_cameras
from tests.render.spheres import SphereSdf

SIZE, CHANNELS, G = (24, 32), 5, 16
MEAN = torch.tensor([0.6, -0.8, 0.0, 0.5, 1.0])


@pytest.fixture
def scene() -> Scene:
    """A ball of radius 0.5 in four views, one of them held out."""
    intrinsics, cam_to_world = ring_cameras(4, SIZE)
    pictures = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    return Scene(
        name="ball",
        images=np.stack([image for image, _, _ in pictures]),
        cameras=Cameras(intrinsics, cam_to_world, SIZE),
        masks=np.stack([mask for _, mask, _ in pictures]),
        depths=None,
        names=("0", "1", "2", "3"),
        train=(0, 1, 2),
        test=(3,),
        world_from_normalized=np.array([[0.0, -10, 0, 1], [10, 0, 0, 2], [0, 0, 10, 3], [0, 0, 0, 1]]),
    )


@pytest.fixture
def model(scene: Scene) -> SurfaceModel:
    """A sharp ball of the same radius, whose feature field answers MEAN everywhere."""
    torch.manual_seed(0)
    made = SurfaceModel(
        SphereSdf(0.5),
        ColorField(2, 16, 1),
        OccupancyGrid(torch.ones(G, G, G, dtype=torch.bool)),
        torch.from_numpy(scene.cameras.centers),
        features=FeatureField(2, 16, 8, CHANNELS),
        init_inv_std=200.0,
    )
    assert made.features is not None
    made.features.start_at(MEAN + 0.1 * torch.randn(50, CHANNELS))
    with torch.no_grad():
        made.features.out.weight.zero_()
        made.features.out.bias.copy_(MEAN)
    return made


def constant_maps(scene: Scene, value: Tensor) -> FeatureMaps:
    return FeatureMaps(value.expand(len(scene.cameras), 3, 4, CHANNELS).contiguous(), (3.0, 4.0), SIZE)


def trainer(**values: object) -> TrainerConfig:
    config = TrainerConfig(loss=LossConfig(feature_weight=0.2))
    for name, value in values.items():
        setattr(config, name, value)
    return config


def test_the_weight_rises_and_stays(scene: Scene) -> None:
    maps = constant_maps(scene, MEAN)
    term = FeatureTerm(maps, MEAN[None], trainer(feature_ramp=4))
    assert [term.weight(step) for step in (0, 1, 2, 3, 4, 500)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])
    assert FeatureTerm(maps, MEAN[None], trainer(feature_ramp=0)).weight(0) == 0.2


def test_geometry_and_colour_stop_following_over_the_last_third(scene: Scene) -> None:
    term = FeatureTerm(constant_maps(scene, MEAN), MEAN[None], trainer(feature_steps=30))
    assert [term.gradient_share(step) for step in (0, 20, 25, 29, 30, 99)] == pytest.approx(
        [1.0, 1.0, 0.5, 0.1, 0.0, 0.0]
    )
    never = FeatureTerm(constant_maps(scene, MEAN), MEAN[None], trainer(feature_steps=0))
    assert never.gradient_share(0) == 0.0


def test_the_distance_is_measured_in_units_of_the_targets_features(scene: Scene) -> None:
    """Rendered twice too long: the cosine is 1, the squared distance that of the feature itself, or a quarter of it."""
    view, xy = torch.zeros(3, dtype=torch.int64), torch.tensor([[0.0, 0.0], [5.0, 7.0], [31.0, 23.0]])
    rays = RayBatch(torch.zeros(3, 3), torch.eye(3), view, xy, torch.zeros(3, 3))
    maps = constant_maps(scene, MEAN)
    for samples, expected in ((MEAN[None], 1.0), (2 * MEAN[None], 0.25)):
        distance = FeatureTerm(maps, samples, trainer()).distance(rays, 2 * MEAN.expand(3, -1))
        assert distance.tolist() == pytest.approx([expected] * 3, abs=1e-5)


def test_target_features_are_those_inside_the_masks_of_the_given_views(scene: Scene) -> None:
    """Every cell is a pixel here, and says whether the target is in it, and in which view."""
    assert scene.masks is not None
    inside = torch.from_numpy(scene.masks).float()
    view = torch.arange(4.0)[:, None, None].expand_as(inside)
    maps = FeatureMaps(torch.stack([inside, view], dim=-1), (24.0, 32.0), SIZE)
    some = target_features(maps, scene.masks, (0, 2), seed=0)
    assert set(some[:, 0].tolist()) == {1.0}
    assert set(some[:, 1].tolist()) == {0.0, 2.0}
    assert len(some) == scene.masks[[0, 2]].sum()  # fewer than asked for: each of them once
    everywhere = target_features(maps, None, (1,), seed=0)
    assert len(everywhere) == 24 * 32
    again = [target_features(maps, scene.masks, (0, 2), seed=seed, count=40) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert len(again[0]) == 40
    with pytest.raises(ValueError, match="at least one view"):
        target_features(maps, np.zeros_like(scene.masks), (0, 1), seed=0)


def test_rendered_features_are_the_fields_times_the_opacity(scene: Scene, model: SurfaceModel) -> None:
    xy = torch.tensor([[16.0, 12.0], [0.0, 0.0]])  # the ball, and beside it
    features, opacity = render_features(model, scene, 3, xy, dt=0.02)
    assert float(opacity[0]) > 0.98
    assert float(opacity[1]) < 0.01
    assert torch.allclose(features, opacity[:, None] * MEAN, atol=1e-5)


def test_agreement_is_the_mean_cosine_inside_the_target_of_held_out_views(scene: Scene, model: SurfaceModel) -> None:
    """The left half of the picture shows MEAN, the right half something at right angles to it."""
    across = torch.tensor([0.8, 0.6, 0.0, 0.0, 0.0])
    values = torch.stack([MEAN, MEAN, across, across]).expand(4, 24, 4, CHANNELS)
    maps = FeatureMaps(values.repeat_interleave(8, dim=2).contiguous(), (24.0, 32.0), SIZE)
    metrics, pictures = assess_features(model, scene, maps, scene.masks, (3,), dt=0.02)
    assert scene.masks is not None
    left = scene.masks[3][:, :16].sum() / scene.masks[3].sum()
    assert metrics["feature_cosine"] == pytest.approx(float(left), abs=0.01)
    unit = left * functional.normalize(MEAN, dim=0) + (1 - left) * across
    assert metrics["feature_constant"] == pytest.approx(float(unit.norm()), abs=1e-4)
    shown = pictures[0]
    assert np.array_equal(shown.inside, scene.masks[3])
    assert (shown.rendered[0, 0] == 0).all()  # nothing is rendered beside the target
    assert np.allclose(shown.rendered[12, 16], shown.encoded[12, 4], atol=1e-3)


def test_without_masks_the_target_is_where_the_surface_is(scene: Scene, model: SurfaceModel) -> None:
    assert scene.masks is not None
    shown, unit = compare_view(model, scene, constant_maps(scene, MEAN), None, 3, 0.02, longest=32)
    assert (shown.inside & scene.masks[3]).sum() > 0.9 * (shown.inside | scene.masks[3]).sum()
    # All unit features are the same here, so that their sum is as long as they are many
    assert float(unit.norm()) == pytest.approx(float(shown.inside.sum()), rel=1e-3)
    reduced, _ = compare_view(model, scene, constant_maps(scene, MEAN), scene.masks, 3, 0.02, longest=16)
    assert np.array_equal(reduced.inside, scene.masks[3][::2, ::2])


def test_a_target_out_of_sight_gives_no_figure(scene: Scene, model: SurfaceModel) -> None:
    nowhere = np.zeros((4, *SIZE), dtype=np.bool_)
    metrics, pictures = assess_features(model, scene, constant_maps(scene, MEAN), nowhere, (3,), 0.02)
    assert metrics == {}
    assert pictures[0].mean == 0.0


def test_vertices_in_world_units_get_the_features_of_their_place(scene: Scene, model: SurfaceModel) -> None:
    """The world is turned, ten times as large and shifted."""
    assert model.features is not None
    with torch.no_grad():
        model.features.out.weight.normal_()
    places = functional.normalize(torch.randn(20, 3), dim=1) * 0.5
    matrix = scene.world_from_normalized
    world = places.double().numpy() @ matrix[:3, :3].T + matrix[:3, 3]
    with torch.no_grad():
        expected = model.surface_features(places)
    assert float(expected.std(dim=0).min()) > 1e-3  # they differ from place to place
    found, colors = vertex_features(model, world, matrix)
    assert np.abs(found - expected.numpy()).max() < 2e-3  # float16
    assert np.abs(colors / 255.0 - model.features.colors(expected).numpy()).max() < 5e-3


def test_the_mesh_carries_its_features_and_the_basis_of_their_colours(
    scene: Scene, model: SurfaceModel, tmp_path: Path
) -> None:
    mesh = Mesh(np.array([[1.0, 2, 8], [6, 2, 3], [1, 7, 3]]), np.array([[0, 1, 2]]))
    colored = write_features(model, mesh, scene.world_from_normalized, tmp_path)
    with np.load(tmp_path / "features.npz", allow_pickle=False) as stored:
        assert stored["features"].dtype == np.float16
        assert np.allclose(stored["features"], MEAN.expand(3, -1), atol=1e-3)
        unit = functional.normalize(MEAN, dim=0).numpy()
        shares = ((unit - stored["mean"]) @ stored["axes"] - stored["low"]) / (stored["high"] - stored["low"])
    written = read_mesh(tmp_path / "features.ply")
    assert np.allclose(written.vertices, mesh.vertices)
    assert written.colors is not None
    assert colored.colors is not None
    assert np.array_equal(written.colors, colored.colors)
    assert np.abs(written.colors / 255.0 - shares.clip(0, 1)).max() < 0.01
