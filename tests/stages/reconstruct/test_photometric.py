"""Patches on a painted ball, of which place, normal and what is seen are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.fields.color import ColorField
from nto3d.fields.sdf import SdfField
from nto3d.geometry.cameras import RayCaster
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.photometric import PhotometricTerm, neighbours
from nto3d.stages.reconstruct.surface import SurfaceTerms, joined
from nto3d.types import BoolArray, Cameras, RayBatch, Scene
from tests.helpers import look_at

SIZE, RADIUS, G, PIXEL = (96, 128), 0.5, 32, 0.015
ANGLES = np.radians([0.0, 10.0, 20.0, 32.0, 180.0])


def cameras() -> Cameras:
    centers = 3.0 * np.stack([np.cos(ANGLES), np.sin(ANGLES), 0.1 + 0.0 * ANGLES], axis=1)
    intrinsics = np.array([[200.0, 0.0, 63.5], [0.0, 200.0, 47.5], [0.0, 0.0, 1.0]])
    return Cameras(np.repeat(intrinsics[None], 5, axis=0), np.array([look_at(center) for center in centers]), SIZE)


def view_rays(view: int, step: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [R, 2], origins and directions [R, 3] of a view."""
    y, x = np.mgrid[: SIZE[0] : step, : SIZE[1] : step]
    xy = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2)).float()
    origins, directions = RayCaster(cameras(), "cpu")(torch.full((len(xy),), view), xy)
    return xy, origins, directions


def meet(origins: Tensor, directions: Tensor, radius: float = RADIUS) -> Tensor:
    """Distance [R] to the ball, negative where a ray misses it."""
    along = -(origins * directions).sum(dim=1)
    square = radius**2 - (origins + along[:, None] * directions).square().sum(dim=1)
    return torch.where(square > 0, along - square.clamp(min=0).sqrt(), torch.full_like(along, -1.0))


def scene() -> Scene:
    """The ball, painted with waves, in five views."""
    waves = torch.tensor([[31.0, 7.0, 12.0], [-9.0, 27.0, 16.0], [5.0, -14.0, 33.0]])
    images = []
    for view in range(len(ANGLES)):
        _, origins, directions = view_rays(view)
        distance = meet(origins, directions)
        paint = torch.sin((origins + distance[:, None] * directions) @ waves.T).sum(dim=1, keepdim=True)
        grey = torch.where(distance[:, None] > 0, 128.0 + 40.0 * paint, 20.0)
        images.append(grey.round().to(torch.uint8).expand(-1, 3).reshape(*SIZE, 3).numpy())
    return Scene(
        name="ball",
        images=np.stack(images),
        cameras=cameras(),
        masks=None,
        depths=None,
        names=tuple("01234"),
        train=(0, 1, 2, 3, 4),
        test=(),
        world_from_normalized=np.eye(4),
    )


def corners(radius: float = RADIUS) -> Tensor:
    axis = torch.linspace(-1.0, 1.0, G + 1)
    return (
        torch.linalg.vector_norm(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1), dim=-1) - radius
    )


def front() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels of view 0 in which the ball is met well from the front: pixels, origins, directions, points."""
    xy, origins, directions = view_rays(0, step=7)
    distance = meet(origins, directions)
    points = origins + distance[:, None] * directions
    kept = (distance > 0) & ((points * directions).sum(dim=1) < -0.7 * RADIUS)
    return xy[kept], origins[kept], directions[kept], points[kept]


def term(masks: BoolArray | None = None, made: Scene | None = None) -> PhotometricTerm:
    made = made or scene()
    return PhotometricTerm(made, made.train, masks, torch.device("cpu"), half=3, sources=4)


def test_neighbours_lie_beside_a_view_and_are_ordered() -> None:
    found = neighbours(cameras().outward, range(5), 4)
    assert found[0].tolist() == [1, 2, 3, -1]  # 10, 20 and 32 degrees; the one behind shows nothing of it
    assert found[4].tolist() == [-1] * 4
    assert neighbours(cameras().outward, (0, 3), 4)[0].tolist() == [3, -1, -1, -1]


@pytest.mark.parametrize("level", [0, 1])
def test_the_true_surface_agrees_and_a_shifted_one_does_not(level: int) -> None:
    xy, _, _, points = front()
    view = torch.zeros(len(xy), dtype=torch.long)
    true = term().agreement(view, xy, points, points, corners(), level)
    shifted = term().agreement(view, xy, points * 1.05, points, corners(RADIUS * 1.05), level)
    tilted = term().agreement(view, xy, points, points + torch.tensor([0.0, 0.0, 0.5]), corners(), level)
    assert float(true.weight.mean()) > 0.75
    assert float(true.loss[true.weight > 0].mean()) < 0.06
    assert float(shifted.loss[shifted.weight > 0].mean()) > 5 * float(true.loss[true.weight > 0].mean())
    assert float(tilted.loss[tilted.weight > 0].mean()) > 2 * float(true.loss[true.weight > 0].mean())


def test_the_gradient_pulls_a_shifted_surface_back() -> None:
    xy, _, directions, points = front()
    view = torch.zeros(len(xy), dtype=torch.long)
    for sign in (1.0, -1.0):
        shift = torch.zeros(len(xy), 1, requires_grad=True)
        found = term().agreement(view, xy, points + directions * (shift + sign * 0.012), points, corners())
        (found.loss * found.weight).sum().backward()
        assert shift.grad is not None
        assert sign * float(shift.grad.mean()) > 0
        assert float((sign * shift.grad > 0).float().mean()) > 0.8


def test_sources_that_show_something_else_have_no_say() -> None:
    xy, _, _, points = front()
    view = torch.zeros(len(xy), dtype=torch.long)
    masks = np.zeros((5, *SIZE), dtype=bool)
    nothing = term(masks).agreement(view, xy, points, points, corners())
    assert not nothing.weight.any()
    masks[1] = True
    assert term(masks).agreement(view, xy, points, points, corners()).weight.any()
    # A wall between the ball and the cameras, as the grid knows it
    axis = torch.linspace(-1.0, 1.0, G + 1)
    wall = torch.minimum(corners(), (axis[:, None, None] - 0.8).abs() - 0.1).contiguous()
    assert not term().agreement(view, xy, points, points, wall).weight.any()


def test_one_odd_source_is_outvoted() -> None:
    made = scene()
    made.images[2] = np.random.default_rng(0).integers(0, 255, made.images[2].shape)
    xy, _, _, points = front()
    view = torch.zeros(len(xy), dtype=torch.long)
    found = term(made=made).agreement(view, xy, points, points, corners())
    assert float(found.loss[found.weight > 0].mean()) < 0.06


def test_plain_patches_count_little() -> None:
    made = scene()
    made.images[:] = 128 + made.images // 64  # four grey values are left
    xy, _, _, points = front()
    found = term(made=made).agreement(torch.zeros(len(xy), dtype=torch.long), xy, points, points, corners())
    assert float(found.weight.max()) < 0.1


def model(radius: float) -> SurfaceModel:
    torch.manual_seed(0)
    spec = HashGridSpec(levels=2, features=2, log2_entries=10, base_resolution=4, max_resolution=16)
    sdf = SdfField(HashGrid(spec, "torch"), hidden=32, geometry_features=3, radius=radius)
    grid = OccupancyGrid(torch.ones(G, G, G, dtype=torch.bool))
    made = SurfaceModel(sdf, ColorField(3, 16, 1), grid, torch.from_numpy(cameras().centers), init_inv_std=60.0)
    made.refresh_grid()
    return made


def batch() -> RayBatch:
    xy, origins, directions, _ = front()
    rgb = torch.zeros(len(xy), 3)
    return RayBatch(origins, directions, torch.zeros(len(xy), dtype=torch.long), xy, rgb, torch.ones(len(xy)))


def zero_level(made: SurfaceModel, rays: RayBatch) -> Tensor:
    """Distance along rays to the zero level, by bisection."""
    low, high = torch.full((len(rays),), 2.0), torch.full((len(rays),), 3.0)
    for _ in range(30):
        middle = (low + high) / 2
        with torch.no_grad():
            inside = made.sdf.sdf(rays.origins + middle[:, None] * rays.directions) < 0
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    return low


def test_training_on_patches_alone_moves_the_zero_level_to_the_true_surface() -> None:
    made, rays = model(0.47), batch()
    truth = meet(rays.origins, rays.directions)
    before = (zero_level(made, rays) - truth).abs().mean()
    terms = SurfaceTerms(made, term(), PIXEL)
    optimizer = torch.optim.Adam(made.sdf.parameters(), lr=1e-3)
    none = rays[torch.zeros(0, dtype=torch.long)]
    for step in range(120):
        if step % 10 == 0:
            made.refresh_grid()
        out = made.render(none, 0.02, torch.zeros(0))
        loss = terms.losses(none, out, rays, level=int(step < 40), bending=False).patch / len(rays)
        _, gradients, _ = made.sdf(torch.rand(256, 3) * 1.6 - 0.8)
        loss = loss + 0.1 * (gradients.norm(dim=1) - 1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = (zero_level(made, rays) - truth).abs().mean()
    assert float(before) > 0.02
    assert float(after) < 0.3 * float(before)


def test_bending_does_not_depend_on_the_patches() -> None:
    made, rays = model(0.5), batch()
    out = made.render(rays, 0.02, torch.full((len(rays),), 0.5))
    with_patches = SurfaceTerms(made, term(), PIXEL).losses(rays, out, rays, level=0, bending=True)
    without = SurfaceTerms(made, None, PIXEL).losses(rays, out, None, level=0, bending=True)
    assert float(without.patch) == 0.0
    assert float(with_patches.patch) > 0.0
    assert float(with_patches.bend) > float(without.bend)  # the ball is not trained yet: nothing is sure
    assert float(SurfaceTerms(made, term(), PIXEL).losses(rays, out, rays, level=0, bending=False).bend) == 0.0


def test_batches_are_joined() -> None:
    rays = batch()
    assert len(joined(rays[:3], rays[5:])) == len(rays) - 2
    assert torch.equal(joined(rays[:3], rays[5:]).xy[3:], rays.xy[5:])
