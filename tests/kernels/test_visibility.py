"""Lines of sight past a sphere and a slab, whose shadows can be told by hand."""

import pytest
import torch

from nto3d.kernels.visibility import Watchers, first_hits, unoccluded
from tests.kernels.devices import DEVICES

G = 64


def corners() -> torch.Tensor:
    """Corner positions [G + 1, G + 1, G + 1, 3]."""
    axis = torch.linspace(-1.0, 1.0, G + 1)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def watchers(centers: torch.Tensor, facing: float = -1.0) -> Watchers:
    """Cameras [V, 3] without masks that look along -z, with a pixel of one unit at a distance of one."""
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0])).to(centers)
    project = torch.cat([turn.expand(len(centers), 3, 3), -(centers @ turn.T)[:, :, None]], dim=2).contiguous()
    masks = torch.zeros(len(centers), 0, 0, dtype=torch.uint8, device=centers.device)
    return Watchers(project, centers, masks, facing)


@pytest.mark.parametrize("device", DEVICES)
def test_a_sphere_hides_its_own_far_side(device: torch.device) -> None:
    grid = (torch.linalg.vector_norm(corners(), dim=-1) - 0.5).to(device)
    normal = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]], device=device)
    centers = torch.tensor([[0.0, 0.0, 3.0], [3.0, 0.0, 1.5]], device=device)
    views = torch.tensor([[0, 1, -1]] * 3, dtype=torch.int32, device=device)
    clear = unoccluded(grid, 0.5 * normal, normal, watchers(centers), views)
    # The top is seen by both, the side by the second, the bottom by none; no camera sees nothing
    assert clear[:, 0].tolist() == [True, True, False]
    assert clear[:, 1].tolist() == [True, True, False]
    assert not clear[:, 2].any()


def test_what_lies_beside_hides_too() -> None:
    x = corners()
    floor = x[..., 2] + 0.5
    post = torch.maximum((x[..., 0] - 0.3).abs() - 0.08, (x[..., 2] - 0.1).abs() - 0.5)
    grid = torch.minimum(floor, post).contiguous()
    point, normal = torch.tensor([[0.0, 0.0, -0.5]]), torch.tensor([[0.0, 0.0, 1.0]])
    centers = torch.tensor([[3.0, 0.0, 1.0], [-3.0, 0.0, 1.0], [0.0, 0.0, 3.0], [3.0, 0.0, 15.0]])
    clear = unoccluded(grid, point, normal, watchers(centers), torch.tensor([[0, 1, 2, 3]], dtype=torch.int32))
    assert clear.tolist() == [[False, True, True, True]]


def test_no_points_at_all() -> None:
    nothing = torch.zeros(0, 3)
    clear = unoccluded(torch.ones(3, 3, 3), nothing, nothing, watchers(nothing), torch.zeros(0, 4, dtype=torch.int32))
    assert clear.shape == (0, 4)


@pytest.mark.parametrize("device", DEVICES)
def test_a_mask_hides_what_is_not_in_it(device: torch.device) -> None:
    grid = (torch.linalg.vector_norm(corners(), dim=-1) - 0.5).to(device)
    up = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.0, 0.4]], device=device)
    point, normal = up * 0.5 / up.norm(dim=1, keepdim=True), up / up.norm(dim=1, keepdim=True)
    seen = watchers(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], device=device))
    # The points' pixels are (0, 0) and, half a unit beside at 0.6 from the camera, (0.5, 0), which rounds up to (1, 0)
    masks = torch.tensor([[[1, 0]], [[0, 1]]], dtype=torch.uint8, device=device)
    seen = Watchers(seen.project, seen.centers, masks, seen.facing)
    views = torch.tensor([[0, 1]] * 2, dtype=torch.int32, device=device)
    assert unoccluded(grid, point, normal, seen, views).tolist() == [[True, False], [False, True]]


def test_what_is_seen_aslant_does_not_count() -> None:
    grid = torch.linalg.vector_norm(corners(), dim=-1) - 0.5
    point, normal = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.0, 0.0, 1.0]])
    centers = torch.tensor([[0.0, 0.0, 3.0], [3.0, 0.0, 1.5]])
    views = torch.tensor([[0, 1]], dtype=torch.int32)
    assert unoccluded(grid, point, normal, watchers(centers, 0.3), views).tolist() == [[True, True]]
    assert unoccluded(grid, point, normal, watchers(centers, 0.4), views).tolist() == [[True, False]]


def test_what_lies_behind_the_camera_or_outside_the_sphere_hides_nothing() -> None:
    x = corners()
    floor = x[..., 2] + 0.5
    point, normal = torch.tensor([[0.0, 0.0, -0.5]]), torch.tensor([[0.0, 0.0, 1.0]])
    ceiling = torch.minimum(floor, (x[..., 2] - 0.85).abs() - 0.05).contiguous()
    centers, views = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 3.0]]), torch.tensor([[0, 1]], dtype=torch.int32)
    assert unoccluded(ceiling, point, normal, watchers(centers), views).tolist() == [[True, False]]
    beyond = torch.minimum(floor, (x - torch.tensor([0.8, 0.8, 0.8])).norm(dim=-1) - 0.25).contiguous()
    centers = torch.tensor([[2.4, 2.4, 3.4]])
    assert unoccluded(beyond, point, normal, watchers(centers), views[:, :1]).tolist() == [[True]]


@pytest.mark.parametrize("device", DEVICES)
def test_rays_hit_a_ball_where_it_is(device: torch.device) -> None:
    grid = (torch.linalg.vector_norm(corners(), dim=-1) - 0.5).to(device)
    origins = torch.tensor([[0.0, 0.0, 3.0], [0.3, 0.0, 3.0], [0.6, 0.0, 3.0], [0.0, 2.0, 2.0]], device=device)
    down = torch.tensor([0.0, 0.0, -1.0])
    directions = torch.stack([down, down, down, torch.tensor([0.0, -1.0, -1.0]) / 2**0.5]).to(device)
    hit = first_hits(grid, origins, directions).cpu()
    expected = torch.tensor([2.5, 3.0 - 0.4, -1.0, 8**0.5 - 0.5])
    assert hit[2] < 0.0
    known = expected > 0.0
    torch.testing.assert_close(hit[known], expected[known], atol=0.1 * 2.0 / G, rtol=0.0)
