"""The pull towards what training starts from."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.config.schema import TrainerConfig
from nto3d.data.rays import RaySampler
from nto3d.fields.color import ColorField
from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.objective import NEAR, Reconstruction
from nto3d.training.parallel import Losses
from nto3d.types import Cameras, Scene
from tests.helpers import render_sphere, ring_cameras

SIZE = (24, 32)
STEPS = 40  # start_steps
G = 16


def trainer(**values: object) -> TrainerConfig:
    config = TrainerConfig(max_rays=64, grid_start=1000, start_steps=STEPS, start_levels=2, coarse_to_fine_steps=0)
    for name, value in values.items():
        setattr(config, name, value)
    return config


def objective(start: Tensor | None, config: TrainerConfig | None = None, masked: bool = True) -> Reconstruction:
    """Of a sphere of radius 0.4 as the first surface; the pictures show one of 0.5, and masks of it if `masked`."""
    intrinsics, cam_to_world = ring_cameras(3, SIZE)
    pictures = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    scene = Scene(
        name="ball",
        images=np.stack([image for image, _, _ in pictures]),
        cameras=Cameras(intrinsics, cam_to_world, SIZE),
        masks=np.stack([mask for _, mask, _ in pictures]),
        depths=None,
        names=("0", "1", "2"),
        train=(0, 1, 2),
        test=(),
        world_from_normalized=np.eye(4),
    )
    torch.manual_seed(0)
    spec = HashGridSpec(levels=2, features=2, log2_entries=8, base_resolution=4, max_resolution=8)
    sdf = SdfField(HashGrid(spec, "torch"), hidden=16, geometry_features=3, radius=0.4)
    model = SurfaceModel(
        sdf,
        ColorField(3, 16, 1),
        OccupancyGrid(torch.ones(G, G, G, dtype=torch.bool)),
        torch.from_numpy(scene.cameras.centers),
    )
    sampler = RaySampler(scene, scene.train, "cpu", seed=0, masks=scene.masks if masked else None)
    return Reconstruction(model, sampler, config or trainer(), seed=0, start=start)


def level(distance: float) -> Tensor:
    """A start with one value everywhere."""
    return torch.full((G, G, G), distance)


def batch(made: Reconstruction, step: int, count: int = 1) -> Losses:
    """Sums over the shards of a step."""
    parts = [shard() for shard in made.shards(step, count)]
    loss = torch.stack([loss for loss, _ in parts]).sum()
    return loss, {name: torch.stack([scalars[name] for _, scalars in parts]).sum() for name in parts[0][1]}


def pull(made: Reconstruction, step: int, count: int = 1) -> float:
    return float(batch(made, step, count)[1]["start"])


def test_the_pull_is_the_weighted_distance_from_the_start() -> None:
    # A start that is farther above all values of the SDF (< 2) by 1 costs start_weight more.
    near, far = (pull(objective(level(distance)), 0) for distance in (5.0, 6.0))
    assert far - near == pytest.approx(3.0, abs=1e-4)
    heavy = objective(level(5.0))
    heavy.config.loss.start_weight = 7.5
    assert pull(heavy, 0) == pytest.approx(2.5 * near, rel=1e-5)


def test_the_surface_itself_is_not_pulled() -> None:
    made = objective(level(0.0))
    axis = (torch.arange(G) + 0.5) * (2.0 / G) - 1.0
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    with torch.no_grad():
        own = made.model.sdf.sdf(points).reshape(G, G, G)
    assert pull(objective(own), 0) < 0.02 * pull(objective(own + 1.0), 0)  # what interpolation leaves
    assert pull(objective(own + 1.0), 0) == pytest.approx(3.0, abs=0.06)


def test_the_pull_fades_and_ends() -> None:
    # Batches of other steps have other rays; a start far above all SDF values makes their distances nearly equal.
    made = objective(level(1000.0))
    first, half, late = (pull(made, step) for step in (0, STEPS // 2, STEPS - 1))
    assert first == pytest.approx(3000, rel=0.01)
    assert half == pytest.approx(first / 2, rel=0.01)
    assert late == pytest.approx(first / STEPS, rel=0.01)
    assert pull(made, STEPS) == 0.0
    assert pull(made, STEPS + 100) == 0.0


@pytest.mark.parametrize("how", ["no start", "no steps", "no weight"])
def test_without_a_start_nothing_pulls(how: str) -> None:
    made = objective(None if how == "no start" else level(5.0), trainer(start_steps=0 if how == "no steps" else STEPS))
    if how == "no weight":
        made.config.loss.start_weight = 0.0
    loss, scalars = batch(made, 0)
    plain, _ = batch(objective(None), 0)
    assert scalars["start"] == 0.0
    assert loss == plain
    assert torch.isfinite(loss)


def test_the_loss_contains_the_pull() -> None:
    loss, scalars = batch(objective(level(5.0)), 0)
    plain, _ = batch(objective(None), 0)
    torch.testing.assert_close(loss, plain + scalars["start"])


def emptiness(masked: bool, count: int = 1) -> Tensor:
    """What `empty_weight=2` adds to the loss."""
    with_weight, without = (objective(None, masked=masked) for _ in range(2))
    with_weight.config.loss.empty_weight, without.config.loss.empty_weight = 2.0, 0.0
    return batch(with_weight, 0, count)[0] - batch(without, 0, count)[0]


def test_without_masks_any_surface_costs() -> None:
    made = objective(None, masked=False)
    rays = made.sampler.sample(made._ray_count(), 0)  # those of step 0
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(0))
    opacity = made.model.render(rays, made.step_size(), jitter, 0.0, 0.0).opacity
    assert 0.05 < float(opacity.detach().mean()) < 0.9
    torch.testing.assert_close(emptiness(masked=False), 2.0 * opacity.mean(), rtol=0.05, atol=0.0)
    torch.testing.assert_close(emptiness(masked=False, count=4), emptiness(masked=False), rtol=1e-3, atol=0.0)


def test_with_masks_the_masks_decide() -> None:
    assert emptiness(masked=True) == 0.0


def test_shards_add_up_to_the_whole_pull() -> None:
    whole = pull(objective(level(5.0)), 3)
    assert pull(objective(level(5.0)), 3, count=4) == pytest.approx(whole, rel=0.02)  # shards weigh the same


@pytest.mark.parametrize(("start", "sign"), [(5.0, 1), (-5.0, -1)])
def test_the_gradient_of_the_pull_goes_towards_the_start(start: float, sign: int) -> None:
    made = objective(level(start))
    weights = made.config.loss
    weights.color_weight = weights.mask_weight = weights.eikonal_weight = weights.curvature_weight = 0.0
    loss, _ = batch(made, 0)
    loss.backward()
    bias = made.model.sdf.out.bias.grad
    assert bias is not None
    # d |sdf - start| / d bias is -1 where the SDF lies below the start: descent raises it.
    assert float(bias[0]) == pytest.approx(-sign * 3.0, rel=1e-4)
    assert (bias[1:] == 0).all()
    for parameter in made.model.color.parameters():
        assert parameter.grad is None or not parameter.grad.any()
    with torch.no_grad():
        for parameter in made.model.sdf.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad
    assert pull(made, 0) < float(loss.detach())


def test_the_state_keeps_the_start_while_it_pulls() -> None:
    made = objective(level(5.0))
    made.prepare(STEPS - 1)
    state = made.state_dict()
    assert torch.equal(state["start"], level(5.0))
    other = objective(None)
    other.load_state_dict(state)
    assert pull(other, STEPS - 1) == pull(made, STEPS - 1) > 0


def test_the_state_drops_the_start_when_the_pull_has_ended() -> None:
    made = objective(level(5.0))
    made.prepare(STEPS)
    assert made.state_dict()["start"] is None
    other = objective(level(7.0))
    other.load_state_dict(made.state_dict())
    assert pull(other, 0) == 0.0


@pytest.mark.parametrize("step", [0, STEPS])
def test_the_state_can_be_written_and_read(step: int) -> None:
    made = objective(level(5.0))
    made.prepare(step)
    batch(made, step)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    other = objective(None)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert batch(other, 1)[0] == batch(made, 1)[0]


def test_what_is_asked_between_steps_changes_nothing() -> None:
    """A checkpoint, a log line or a Ctrl-C between two steps must not change the next batch."""
    alone, asked = (objective(None, trainer(samples_per_step=600)) for _ in range(2))
    for step in range(6):
        losses = []
        for made in (alone, asked):
            losses.append(batch(made, step, 2)[0])
            if made is asked:
                made.state_dict()
                made.counts()
        assert losses[0] == losses[1]


@pytest.mark.parametrize("sharpness", [150.0, 2000.0])
def test_quick_refreshes_look_wider_than_what_is_kept(sharpness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = objective(level(0.0)), list[float | None]()
    made.model.sharpen(sharpness)
    monkeypatch.setattr(made.model, "refresh_grid", lambda near: asked.append(near))
    every = made.config.grid_every
    for number in range(10):
        made.prepare((1000 + number) * every)
    quick = [value for value in asked if value is not None]
    assert 0 < asked.count(None) <= 3  # the first, and every eighth
    assert len(quick) >= 7
    reach = made.model.grid.reach(sharpness)
    assert all(min(NEAR, 1.2 * reach) <= value <= NEAR for value in quick)
