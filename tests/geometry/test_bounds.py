from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.geometry.bounds import ray_box, ray_sphere

Ray = tuple[list[float], list[float]]
LOWER, UPPER = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1.0, 2.0, 3.0])
DIAGONAL = [2**-0.5, 2**-0.5, 0.0]


def tensors(ray: Ray) -> tuple[Tensor, Tensor]:
    return torch.tensor([ray[0]]), torch.tensor([ray[1]])


@pytest.mark.parametrize(
    ("ray", "near", "far", "hit"),
    [
        (([0.0, 0.0, -3.0], [0.0, 0.0, 1.0]), 2, 4, True),  # through the middle
        (([0.0, 0.6, -3.0], [0.0, 0.0, 1.0]), 2.2, 3.8, True),  # 0.6, 0.8, 1
        (([0.0, 0.0, 0.5], [0.0, 0.0, 1.0]), 0, 0.5, True),  # from inside
        (([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]), 0, 1, True),  # from the centre
        (([0.0, 0.0, 3.0], [0.0, 0.0, 1.0]), 0, 0, False),  # behind
        (([0.0, 2.0, -3.0], [0.0, 0.0, 1.0]), 0, 0, False),  # beside
        (([0.0, 1.0, -3.0], [0.0, 0.0, 1.0]), 0, 0, False),  # a touch
        (([0.0, 0.0, -3.0], [0.0, 0.0, 2.0]), 1, 2, True),  # in units of the direction
    ],
)
def test_unit_sphere(ray: Ray, near: float, far: float, hit: bool) -> None:
    got_near, got_far, got_hit = ray_sphere(*tensors(ray))
    assert got_near.item() == pytest.approx(near, abs=1e-6)
    assert got_far.item() == pytest.approx(far, abs=1e-6)
    assert got_hit.item() is hit


def test_sphere_elsewhere() -> None:
    center = torch.tensor([0.0, 0.0, 10.0])
    near, far, hit = ray_sphere(*tensors(([0.0, 0.0, 0.0], [0.0, 0.0, 1.0])), radius=2.0, center=center)
    assert (near.item(), far.item(), hit.item()) == (8, 12, True)


@pytest.mark.parametrize(
    ("ray", "near", "far", "hit"),
    [
        (([-3.0, 0.0, 0.0], [1.0, 0.0, 0.0]), 2, 4, True),
        (([0.0, 0.0, 0.0], [0.0, 0.0, -1.0]), 0, 3, True),  # from inside, against an axis
        (([-3.0, 0.0, 0.0], [-1.0, 0.0, 0.0]), 0, 0, False),  # behind
        (([-3.0, 2.5, 0.0], [1.0, 0.0, 0.0]), 0, 0, False),  # parallel, outside the slab
        (([-3.0, 2.0, 0.0], [1.0, 0.0, 0.0]), 2, 4, True),  # parallel, within a face
        (([-3.0, -2.0, 0.0], DIAGONAL), 2 * 2**0.5, 4 * 2**0.5, True),  # enters by x at 2, leaves by x and y at 4
        (([-3.0, 1.0, 0.0], DIAGONAL), 0, 0, False),  # leaves y before it enters x
    ],
)
def test_box(ray: Ray, near: float, far: float, hit: bool) -> None:
    got_near, got_far, got_hit = ray_box(*tensors(ray), LOWER, UPPER)
    assert got_near.item() == pytest.approx(near, abs=1e-5)
    assert got_far.item() == pytest.approx(far, abs=1e-5)
    assert got_hit.item() is hit


def random_rays(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    origins = 4 * torch.randn(count, 3, generator=generator)
    return origins, torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)


def test_points_between_near_and_far_are_inside_and_others_are_not() -> None:
    origins, directions = random_rays(2000)
    t = torch.linspace(0, 20, 401)
    points = origins[:, None] + t[:, None] * directions[:, None]
    for (near, far, hit), inside in (
        (ray_sphere(origins, directions, 1.5), points.norm(dim=-1) < 1.5),
        (ray_box(origins, directions, LOWER, UPPER), ((points > LOWER) & (points < UPPER)).all(-1)),
    ):
        assert 0.02 < hit.float().mean() < 0.9
        assert ((near == 0) & (far == 0))[~hit].all()
        between = (t > near[:, None] + 1e-4) & (t < far[:, None] - 1e-4)
        assert inside[between].all()
        outside = (t < near[:, None] - 1e-4) | (t > far[:, None] + 1e-4)
        assert not inside[outside].any()


def test_a_distant_camera_does_not_lose_precision() -> None:
    # From 2,000 radii away, the far minus the near distance is still that of the chord.
    height = np.linspace(0, 0.99, 50)
    origins = torch.tensor(np.column_stack([np.zeros(50), height, np.full(50, -2000.0)]), dtype=torch.float32)
    near, far, hit = ray_sphere(origins, torch.tensor([[0.0, 0.0, 1.0]]).expand(50, 3))
    assert hit.all()
    np.testing.assert_allclose((far - near).numpy(), 2 * np.sqrt(1 - height**2), atol=5e-4)  # 2,000 * float32 epsilon


def test_no_rays() -> None:
    for near, far, hit in (
        ray_sphere(torch.zeros(0, 3), torch.zeros(0, 3)),
        ray_box(torch.zeros(0, 3), torch.zeros(0, 3), LOWER, UPPER),
    ):
        assert near.shape == far.shape == hit.shape == (0,)
