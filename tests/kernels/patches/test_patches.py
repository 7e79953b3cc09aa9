"""Patches carried over a plane: against the torch twin in float64, and against pictures that show a known plane."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nto3d.kernels.patches.patches import Patches, PatchViews, patch_ncc
from nto3d.kernels.patches.torch_twin import patch_ncc_torch
from nto3d.types import Cameras
from tests.helpers import look_at
from tests.kernels.devices import DEVICES

SIZE = (48, 64)
CENTERS = np.array([[0.0, -3.0, 0.3], [0.5, -3.0, 0.2], [-0.6, -2.9, 0.5], [0.1, -3.2, 1.0]])
TILTED = torch.nn.functional.normalize(torch.tensor([0.3, -1.0, 0.2]), dim=0)


def cameras() -> Cameras:
    intrinsics = np.array([[70.0, 0.0, 31.0], [0.0, 72.0, 24.5], [0.0, 0.0, 1.0]])
    return Cameras(np.repeat(intrinsics[None], 4, axis=0), np.array([look_at(center) for center in CENTERS]), SIZE)


def pattern(places: Tensor) -> Tensor:
    """Grey values 0..255 painted on space; smooth, so that a bilinear reading is near them."""
    waves = torch.sin(places @ torch.tensor([[9.0, 2.0, 4.0], [-3.0, 1.0, 11.0]], dtype=places.dtype).T)
    return 128.0 + 60.0 * waves[:, 0] + 50.0 * waves[:, 1]


def pictures_of_a_plane() -> Tensor:
    """uint8 [V, H, W] of the plane through the origin with normal TILTED."""
    scene, (height, width) = cameras(), SIZE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    q = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3).double()
    result = []
    for pose, intrinsics in zip(scene.cam_to_world, scene.intrinsics, strict=True):
        directions = q @ torch.from_numpy(pose[:, :3] @ np.linalg.inv(intrinsics)).T
        center = torch.from_numpy(pose[:, 3])
        reach = -(TILTED.double() @ center) / (directions @ TILTED.double())
        grey = pattern(center + directions * reach[:, None]).round().clamp(0, 255)
        result.append(grey.to(torch.uint8).reshape(height, width))
    return torch.stack(result)


def points_at(xy: Tensor, view: int, normal: Tensor = TILTED, shift: float = 0.0) -> Tensor:
    """Where the rays of pixels meet the plane through shift * normal."""
    scene = cameras()
    q = torch.cat([xy, torch.ones(len(xy), 1)], dim=1).double()
    pose = scene.cam_to_world[view]
    directions = q @ torch.from_numpy(pose[:, :3] @ np.linalg.inv(scene.intrinsics[view])).T
    center = torch.from_numpy(pose[:, 3])
    reach = (shift - normal.double() @ center) / (directions @ normal.double())
    return (center + directions * reach[:, None]).float()


def noise(views: int = 4) -> Tensor:
    return torch.randint(0, 256, (views, *SIZE), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


def some_patches(count: int, device: torch.device | str, **options: float) -> tuple[Tensor, Tensor, Patches]:
    """Patches of view 0 with points and normals near the plane; some sources missing, some patches near the border."""
    generator = torch.Generator().manual_seed(1)
    xy = torch.rand(count, 2, generator=generator) * torch.tensor([63.0, 47.0])
    xy[: count // 2] = xy[: count // 2].round()
    normal = torch.nn.functional.normalize(TILTED + 0.3 * torch.randn(count, 3, generator=generator), dim=1)
    sources = torch.randint(-1, 4, (count, 5), generator=generator).int()
    patches = Patches(
        torch.zeros(count, dtype=torch.int32, device=device), xy.to(device), sources.to(device), **options
    )
    return points_at(xy, 0).to(device), normal.to(device), patches


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("shrink", "options"),
    [(1.0, {"half": 2}), (2.0, {"half": 3, "step": 2.0}), (1.0, {"half": 3, "alike": 40.0, "near": 1.5})],
)
def test_values_and_gradients_are_those_of_the_twin(
    device: torch.device, shrink: float, options: dict[str, float]
) -> None:
    grey = noise()[:, :: int(shrink), :: int(shrink)].contiguous().to(device)
    views = PatchViews.of(cameras(), grey, shrink)
    point, normal, patches = some_patches(60, device, **options)
    found = []
    for function, dtype in ((patch_ncc, torch.float32), (patch_ncc_torch, torch.float64)):
        x, n = (value.to(dtype).detach().clone().requires_grad_() for value in (point, normal))
        ncc, valid, variance = function(x, n, views, patches)
        weights = torch.linspace(-1.0, 2.0, ncc.numel(), dtype=dtype, device=device).reshape(ncc.shape)
        (ncc * weights).sum().backward()
        assert x.grad is not None
        assert n.grad is not None
        found.append((ncc.detach(), valid, variance, x.grad, n.grad))
    ours, twin = found
    assert torch.equal(ours[1], twin[1])
    assert 0.2 < ours[1].float().mean() < 0.8  # some of each kind
    for mine, theirs in zip(ours[2:] + ours[:1], twin[2:] + twin[:1], strict=True):
        scale = theirs.abs().max()
        assert (mine - theirs).abs().max() < 2e-3 * scale


def test_bright_plain_sources_with_a_dark_corner() -> None:
    """Sums of large values would swallow what a nearly plain patch has; a plain one has nothing at all."""
    grey = noise()
    grey[1:3] = 250 + grey[1:3] % 2
    grey[3] = 200
    grey[1:, 0, 0] = torch.tensor([0, 255, 255], dtype=torch.uint8)
    views = PatchViews.of(cameras(), grey)
    point, normal, patches = some_patches(60, "cpu", half=3)
    ncc, valid, _ = patch_ncc(point, normal, views, patches)
    expected, known, _ = patch_ncc_torch(point.double(), normal.double(), views, patches)
    assert torch.equal(valid, known)
    assert not valid[patches.sources == 3].any()
    assert valid[(patches.sources == 1) | (patches.sources == 2)].float().mean() > 0.2
    assert (ncc - expected).abs().max() < 1e-3


def test_a_patch_of_the_true_plane_looks_the_same_everywhere() -> None:
    views = PatchViews.of(cameras(), pictures_of_a_plane())
    xy = torch.tensor([[20.0, 20.0], [31.0, 24.0], [40.0, 30.0]])
    patches = Patches(torch.zeros(3, dtype=torch.int32), xy, torch.tensor([[1, 2, 3]] * 3).int(), 3)
    ncc, valid, _ = patch_ncc(points_at(xy, 0), TILTED.expand(3, 3).contiguous(), views, patches)
    assert valid.all()
    assert float(ncc.min()) > 0.99
    off, _, _ = patch_ncc(points_at(xy, 0, shift=0.15), TILTED.expand(3, 3).contiguous(), views, patches)
    assert float(off.max()) < float(ncc.min()) - 0.002


def test_following_the_gradient_finds_the_plane() -> None:
    views = PatchViews.of(cameras(), pictures_of_a_plane())
    xy = torch.tensor([[24.0, 22.0], [31.0, 24.0], [38.0, 28.0], [30.0, 30.0]])
    count = len(xy)
    patches = Patches(torch.zeros(count, dtype=torch.int32), xy, torch.tensor([[1, 2, 3]] * count).int(), 3)
    shift = torch.full((count, 1), 0.03, requires_grad=True)
    tilt = torch.full((count, 3), 0.08, requires_grad=True)
    optimizer = torch.optim.Adam([shift, tilt], lr=2e-3)
    for _ in range(150):
        normal = torch.nn.functional.normalize(TILTED + tilt, dim=1)
        ncc, valid, _ = patch_ncc(points_at(xy, 0) + shift * TILTED, normal, views, patches)
        loss = (1.0 - ncc)[valid].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    angle = torch.rad2deg(torch.acos((torch.nn.functional.normalize(TILTED + tilt, dim=1) @ TILTED).clamp(max=1.0)))
    assert float(shift.detach().abs().max()) < 0.005
    assert float(angle.detach().max()) < 2.0


def test_gain_and_offset_of_a_picture_do_not_matter() -> None:
    grey = pictures_of_a_plane()
    dimmed = grey.clone()
    dimmed[1] = (0.5 * grey[1].float() + 30.0).round().to(torch.uint8)
    xy = torch.tensor([[31.0, 24.0]])
    patches = Patches(torch.zeros(1, dtype=torch.int32), xy, torch.tensor([[1]]).int(), 3)
    both = [
        float(patch_ncc(points_at(xy, 0), TILTED[None].contiguous(), PatchViews.of(cameras(), g), patches)[0])
        for g in (grey, dimmed)
    ]
    assert both[1] == pytest.approx(both[0], abs=2e-3)


def test_what_cannot_be_compared_is_not_valid() -> None:
    grey = pictures_of_a_plane()
    grey[0, 20:30, 10:20] = 77  # plain here
    grey[2] = 200  # plain there
    views = PatchViews.of(cameras(), grey)
    xy = torch.tensor([[15.0, 25.0], [31.0, 24.0], [31.0, 24.0], [1.0, 1.0]])
    normal = torch.stack([TILTED, TILTED, -TILTED, TILTED])
    patches = Patches(torch.zeros(4, dtype=torch.int32), xy, torch.tensor([[1, 2, -1]] * 4).int(), 3)
    ncc, valid, variance = patch_ncc(points_at(xy, 0), normal, views, patches)
    assert valid.tolist() == [[False] * 3, [True, False, False], [False] * 3, [False] * 3]
    assert float(variance[0]) == pytest.approx(0.0, abs=1e-3)
    assert (ncc[~valid] == 0.0).all()


def test_threads_do_not_change_the_bits() -> None:
    views, (point, normal, patches) = PatchViews.of(cameras(), noise()), some_patches(3000, "cpu", half=3)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        x = point.clone().requires_grad_()
        ncc, _, _ = patch_ncc(x, normal, views, patches)
        ncc.sum().backward()
        results.append((ncc.detach(), x.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] is not None
    assert torch.equal(results[0][1], results[1][1])


def test_no_patches_at_all() -> None:
    point, normal, patches = some_patches(0, "cpu", half=2)
    ncc, valid, variance = patch_ncc(point, normal, PatchViews.of(cameras(), noise()), patches)
    assert ncc.shape == valid.shape == (0, 5)
    assert variance.shape == (0,)
