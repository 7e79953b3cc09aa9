"""The feature term in the objective: where it counts, what it reaches, and from when on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.config.trainer import LossConfig, TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.fields.color import ColorField
from nto3d.fields.feature import FeatureField
from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.features.term import FeatureTerm
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.training.parallel import Losses
from nto3d.types import Cameras, Scene
from nto3d.types.feature_maps import FeatureMaps
from tests.helpers import render_sphere, ring_cameras

SIZE, CHANNELS, RAMP, STEPS = (24, 32), 4, 5, 200


def picture() -> Scene:
    intrinsics, cam_to_world = ring_cameras(3, SIZE)
    pictures = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    images, masks, _ = (np.stack(parts) for parts in zip(*pictures, strict=True))
    cameras = Cameras(intrinsics, cam_to_world, SIZE)
    return Scene("ball", images, cameras, masks, None, ("0", "1", "2"), (0, 1, 2), (), np.eye(4))


def objective(maps: Tensor | None, *, masks: bool = True, weight: float = 0.5) -> Reconstruction:
    """Of a ball with a feature field; maps [V, h, w, C], or None for no term."""
    scene = picture()
    torch.manual_seed(0)
    spec = HashGridSpec(levels=2, features=2, log2_entries=8, base_resolution=4, max_resolution=8)
    model = SurfaceModel(
        SdfField(HashGrid(spec, "torch"), hidden=16, geometry_features=3, radius=0.4),
        ColorField(3, 16, 1),
        OccupancyGrid(torch.ones(16, 16, 16, dtype=torch.bool)),
        torch.from_numpy(scene.cameras.centers),
        features=FeatureField(3, 16, 8, CHANNELS),
    )
    with torch.no_grad():  # a fresh grid gives the geometry feature nothing to learn from
        torch.nn.init.normal_(model.sdf.out.weight[1:], 0.0, 0.3)
    config = TrainerConfig(max_rays=64, grid_start=1000, start_steps=0, start_levels=2, coarse_to_fine_steps=0)
    config.loss = LossConfig(feature_weight=weight)
    config.feature_ramp, config.feature_steps = RAMP, STEPS
    given = scene.masks if masks else None
    sampler = RaySampler(scene, scene.train, "cpu", seed=0, masks=given)
    term = None
    if maps is not None:
        term = FeatureTerm(
            FeatureMaps(maps, (float(maps.shape[1]), float(maps.shape[2])), SIZE), torch.ones(1, CHANNELS), config
        )
    return Reconstruction(model, sampler, config, seed=0, features=term)


def maps() -> Tensor:
    return torch.randn(3, 3, 4, CHANNELS, generator=torch.Generator().manual_seed(5))


def batch(made: Reconstruction, step: int, count: int = 1) -> Losses:
    parts = [shard() for shard in made.shards(step, count)]
    loss = torch.stack([loss for loss, _ in parts]).sum()
    return loss, {name: torch.stack([scalars[name] for _, scalars in parts]).sum() for name in parts[0][1]}


def gradients(made: Reconstruction, step: int) -> dict[str, Tensor]:
    loss, _ = batch(made, step)
    names, parameters = zip(*made.model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: torch.zeros(()) if g is None else g for name, g in zip(names, found, strict=True)}


def test_without_weight_the_term_changes_nothing() -> None:
    with_term, without = batch(objective(maps(), weight=0.0), 60), batch(objective(None), 60)
    assert with_term[0] == without[0]
    assert with_term[1]["feature"] == 0.0
    assert "feature" not in without[1]
    assert not any(g.any() for name, g in gradients(objective(maps(), weight=0.0), 60).items() if "features" in name)


@pytest.mark.parametrize(("step", "share"), [(0, 1 / RAMP), (2, 3 / RAMP), (50, 1.0)])
def test_the_loss_contains_the_term_with_the_weight_of_the_step(step: int, share: float) -> None:
    loss, scalars = batch(objective(maps(), weight=0.5), step)
    plain, _ = batch(objective(None), step)
    assert float(scalars["feature"]) > 0.5
    torch.testing.assert_close(loss, plain + 0.5 * share * scalars["feature"])


def test_features_beside_the_target_do_not_count() -> None:
    """A cell is a pixel here, and those beside the target hold what would cost a lot."""
    scene = picture()
    assert scene.masks is not None
    clean = torch.randn(3, *SIZE, CHANNELS)
    spoilt = clean.clone()
    spoilt[torch.from_numpy(~scene.masks)] = 1e4
    assert batch(objective(spoilt), 60)[1]["feature"] == batch(objective(clean), 60)[1]["feature"]
    # Without masks everything that is rendered counts
    assert (
        batch(objective(spoilt, masks=False), 60)[1]["feature"] > batch(objective(clean, masks=False), 60)[1]["feature"]
    )


def test_shards_add_up() -> None:
    whole, parts = batch(objective(maps()), 40), batch(objective(maps()), 40, count=3)
    torch.testing.assert_close(whole[1]["feature"], parts[1]["feature"], rtol=1e-4, atol=1e-6)


def test_its_gradient_reaches_geometry_and_colour() -> None:
    with_term, without = gradients(objective(maps()), 60), gradients(objective(None), 60)
    for name in ("sdf.encoding.table", "sdf.hidden.0.weight", "sdf.out.weight", "color.net.0.weight", "variance"):
        difference = (with_term[name] - without[name]).abs().max()
        assert difference > 1e-5 * without[name].abs().max(), name
    assert torch.equal(with_term["color.net.2.weight"], without["color.net.2.weight"])  # behind the branch
    for name in ("features.hidden.weight", "features.out.weight", "features.out.bias"):
        assert with_term[name].any(), name


def test_in_the_end_it_reaches_nothing_but_its_own_head() -> None:
    with_term, without = gradients(objective(maps()), STEPS), gradients(objective(None), STEPS)
    for name, gradient in with_term.items():
        if name.startswith("features."):
            assert gradient.any(), name
        else:
            torch.testing.assert_close(gradient, without[name], rtol=1e-5, atol=1e-8)


def test_on_the_way_there_it_reaches_them_with_a_share() -> None:
    """The batch is that of the step, so the share is set by hand."""
    made = [objective(maps()) for _ in range(3)]
    for one, share in zip(made, (1.0, 0.5, 0.0), strict=True):
        assert one._features is not None
        one._features.gradient_share = lambda step, share=share: share  # type: ignore[method-assign,misc]
    whole, half, none = (gradients(one, 60)["sdf.encoding.table"] for one in made)
    assert (whole - none).abs().max() > 1e-6
    torch.testing.assert_close(half - none, 0.5 * (whole - none), rtol=1e-3, atol=1e-8)


def test_descent_brings_the_features_nearer() -> None:
    made = objective(maps())
    weights = made.config.loss
    weights.color_weight = weights.mask_weight = weights.eikonal_weight = weights.curvature_weight = 0.0
    optimizer = torch.optim.Adam(made.model.parameters(), lr=1e-2)
    first = float(batch(made, 100)[1]["feature"])
    for _ in range(30):
        optimizer.zero_grad()
        batch(made, 100)[0].backward()
        optimizer.step()
    assert float(batch(made, 100)[1]["feature"]) < 0.7 * first
