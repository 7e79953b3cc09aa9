"""Ray marching against geometry derived by hand and against the torch twin."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.kernels.march.march import Cells, Guide, march
from nto3d.kernels.march.torch_twin import march_torch
from nto3d.types import Samples
from tests.kernels.devices import DEVICES


def full(resolution: int = 16, value: int = 1) -> Tensor:
    return torch.full((resolution,) * 3, value, dtype=torch.uint8)


def one_ray(
    origin: list[float], direction: list[float], cells: Cells, dt: float = 0.01, guide: Guide | None = None
) -> Samples:
    device = cells.grid.device
    aim = functional.normalize(torch.tensor([direction], device=device), dim=1)
    middle = torch.full((1,), 0.5, device=device)
    return march(torch.tensor([origin], device=device), aim, cells, dt, middle, guide=guide)


def random_rays(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Rays from around the sphere, from within it, along the axes, and some that miss; jitter."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=generator)
    directions = functional.normalize(torch.randn(count, 3, generator=generator) * 0.7 - origins, dim=1)
    axes = torch.eye(3).repeat(2, 1) * torch.tensor([[1.0]] * 3 + [[-1.0]] * 3)
    directions[: 6 * (count // 24)] = axes.repeat(count // 24, 1)
    return origins, directions, torch.rand(count, generator=generator)


@pytest.mark.parametrize("device", DEVICES)
def test_a_slab_of_occupied_cells(device: torch.device) -> None:
    grid = full(16, 0)
    grid[6:10] = 1  # cells of 1/8: x from -1/4 to 1/4
    samples = one_ray([-3.0, 0.05, 0.05], [1.0, 0.0, 0.0], Cells.of(grid.to(device)), dt=0.01)
    entry = 3.0 - math.sqrt(1.0 - 2 * 0.05**2)  # where the ray meets the unit sphere
    lattice = [entry + (k + 0.5) * 0.01 for k in range(200)]
    expected = torch.tensor([t for t in lattice if 2.75 < t < 3.25])
    assert len(expected) == 50
    torch.testing.assert_close(samples.t.cpu(), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(samples.positions[:, 0].cpu(), expected - 3.0, rtol=0, atol=2e-6)
    assert (samples.positions[:, 1:] == torch.tensor(0.05)).all()
    assert samples.ray.tolist() == [0] * 50
    assert samples.offsets.tolist() == [0, 50]
    assert (samples.dt == torch.tensor(0.01)).all()


@pytest.mark.parametrize("device", DEVICES)
def test_a_chord_of_the_sphere_has_its_length(device: torch.device) -> None:
    for height in (0.0, 0.6, 0.8):
        samples = one_ray([0.0, height, -5.0], [0.0, 0.0, 1.0], Cells.of(full().to(device)), dt=0.01)
        assert abs(len(samples) - 200.0 * math.sqrt(1.0 - height**2)) <= 1.0
        assert float(samples.positions.norm(dim=1).max()) <= 1.0 + 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_one_sample_a_cell_along_a_diagonal_of_cells(device: torch.device) -> None:
    resolution = 10  # not a multiple of the block size
    grid = full(resolution, 0)
    steps = torch.arange(resolution)
    grid[steps, steps, steps] = 1
    dt = 3**0.5 * 0.2  # a cell's diagonal
    samples = one_ray([-2.0] * 3, [1.0] * 3, Cells.of(grid.to(device)), dt=dt)
    # The sphere cuts the corners off: |x| < 1 on the diagonal is 2 / dt = 5.8 lattice points from its entry on.
    radii = torch.tensor([-1.0 + (k + 0.5) * dt for k in range(6)])
    torch.testing.assert_close(samples.positions.cpu(), (radii / 3**0.5)[:, None].expand(-1, 3), rtol=0, atol=2e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_rays_that_see_nothing(device: torch.device) -> None:
    cells = Cells.of(full().to(device))
    assert len(one_ray([0.0, 1.1, -3.0], [0.0, 0.0, 1.0], cells)) == 0  # passes by
    assert len(one_ray([0.0, 0.0, -3.0], [0.0, 0.0, -1.0], cells)) == 0  # looks away
    assert len(one_ray([0.0, 0.0, -3.0], [0.0, 0.0, 1.0], Cells.of(full(16, 0).to(device)))) == 0  # empty
    nobody = torch.zeros(0, 3, device=device)
    samples = march(nobody, nobody, cells, 0.01, nobody[:, 0])
    assert len(samples) == 0
    assert samples.offsets.tolist() == [0]


@pytest.mark.parametrize("device", DEVICES)
def test_a_ray_that_starts_inside(device: torch.device) -> None:
    samples = one_ray([0.25, 0.0, 0.0], [1.0, 0.0, 0.0], Cells.of(full().to(device)), dt=0.01)
    assert len(samples) == 75  # from 1/4 to 1, beginning at the origin of the ray
    assert float(samples.t[0]) == pytest.approx(0.005)
    assert float(samples.positions[-1, 0]) == pytest.approx(0.995)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resolution", [16, 12, 64])
@pytest.mark.parametrize("share", [0.02, 0.4, 1.0])
def test_agrees_with_the_twin(resolution: int, share: float, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(3)
    grid = (torch.rand(resolution, resolution, resolution, generator=generator) < share).to(torch.uint8)
    origins, directions, jitter = random_rays(600)
    dt = 0.013
    expected = march_torch(origins, directions, grid, dt, jitter)
    found = march(origins.to(device), directions.to(device), Cells.of(grid.to(device)), dt, jitter.to(device))
    near = -(origins * directions).sum(1) - (1 - (origins.cross(directions, dim=1) ** 2).sum(1)).clamp(min=0).sqrt()

    def lattice(samples: Samples) -> dict[tuple[int, int], Tensor]:
        ray = samples.ray.cpu().long()
        number = ((samples.t.cpu() - near.clamp(min=0)[ray]) / dt - jitter[ray]).round().int()
        return {(int(r), int(k)): x for r, k, x in zip(ray, number, samples.positions.cpu(), strict=True)}

    here, there = lattice(found), lattice(expected)
    assert len(here) == len(found)
    for key in here.keys() & there.keys():
        assert float((here[key] - there[key]).abs().max()) < 2e-6
    for key in here.keys() ^ there.keys():  # they may differ where rounding decides on which side of a border it lies
        x = (here | there)[key]
        place = (x + 1.0) * (resolution / 2)
        border = float((place - place.round()).abs().min())
        assert min(border, abs(float(x.norm()) - 1.0)) < 2e-4, (key, x)
    assert len(here.keys() ^ there.keys()) < 0.002 * len(there) + 3
    counts = torch.bincount(found.ray.cpu().long(), minlength=600)
    assert torch.equal(found.offsets.cpu(), torch.cat([torch.zeros(1), counts.cumsum(0)]).int())


def plane(resolution: int, device: torch.device, offset: float = 0.0) -> Tensor:
    """Signed distance x - offset at the cells' corners: solid towards -x."""
    axis = torch.linspace(-1.0, 1.0, resolution + 1, device=device) - offset
    return axis[:, None, None].expand(resolution + 1, resolution + 1, resolution + 1).contiguous()


@pytest.mark.parametrize("device", DEVICES)
def test_a_guide_keeps_only_samples_that_count(device: torch.device) -> None:
    cells = Cells.of(full().to(device))
    dt, sharpness, least = 0.01, 50.0, 0.003
    guide = Guide(plane(16, device), sharpness, least, cells)
    samples = one_ray([3.0, 0.1, 0.0], [-1.0, 0.0, 0.0], cells, dt=dt, guide=guide)
    # On the way down the transmittance is the logistic itself, so a sample weighs the drop over its interval.
    x = torch.tensor([math.sqrt(0.99) - (k + 0.5) * dt for k in range(199)], dtype=torch.float64)
    weight = torch.sigmoid(sharpness * (x + dt / 2)) - torch.sigmoid(sharpness * (x - dt / 2))
    expected = x[weight > least]
    assert 15 < len(expected) < 25
    torch.testing.assert_close(samples.positions[:, 0].cpu(), expected.float(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_what_lies_behind_a_surface_is_not_sampled(device: torch.device) -> None:
    cells = Cells.of(full().to(device))
    guide = Guide(plane(16, device, offset=0.4), 200.0, 0.003, cells)
    samples = one_ray([3.0, 0.0, 0.0], [-1.0, 0.0, 0.0], cells, guide=guide)
    assert 0 < len(samples) < 12
    assert float((samples.positions[:, 0] - 0.4).abs().max()) < 0.05


@pytest.mark.parametrize("device", DEVICES)
def test_lost_rays_fall_back_to_the_hull(device: torch.device) -> None:
    kept, hull = full(16, 0), full(16, 0)
    kept[7:9] = 1
    hull[:, 4:12] = 1  # |y| < 1/2
    cells, fallback = Cells.of(kept.to(device)), Cells.of(hull.to(device))
    guide = Guide(plane(16, device), 100.0, 0.003, fallback)
    lost = one_ray([0.5, -3.0, 0.0], [0.0, 1.0, 0.0], cells, guide=guide)  # along the plane, in front of it
    assert torch.equal(lost.positions, one_ray([0.5, -3.0, 0.0], [0.0, 1.0, 0.0], fallback).positions)
    assert len(lost) == pytest.approx(100, abs=1)
    found = one_ray([3.0, 0.0, 0.0], [-1.0, 0.0, 0.0], cells, guide=guide)
    assert 0 < len(found) < 20
    assert float(found.positions[:, 0].abs().max()) < 0.08


def test_the_result_does_not_depend_on_the_threads() -> None:
    origins, directions, jitter = random_rays(2000)
    grid = (torch.rand(24, 24, 24, generator=torch.Generator().manual_seed(1)) < 0.3).to(torch.uint8)
    cells = Cells.of(grid)
    for guide in (None, Guide(plane(24, torch.device("cpu")), 30.0, 0.003, cells)):
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(march(origins, directions, cells, 0.01, jitter, guide=guide))
        for other in results[1:]:
            for name in ("positions", "ray", "t", "dt", "offsets"):
                assert torch.equal(getattr(results[0], name), getattr(other, name))


def test_blocks_cover_their_cells() -> None:
    grid = full(16, 0)
    grid[3, 9, 15] = 1
    assert torch.nonzero(Cells.of(grid).blocks).tolist() == [[0, 1, 1]]
    assert torch.equal(Cells.of(full(12)).blocks, full(12))  # 8 does not divide 12


def test_what_cannot_be_marched_is_said() -> None:
    nobody = torch.zeros(0, 3)
    with pytest.raises(ValueError, match="positive dt, got 0"):
        march(nobody, nobody, Cells.of(full()), 0.0, nobody[:, 0])
    for grid in (full().float(), full()[:8], full()[0]):
        with pytest.raises(ValueError, match=r"uint8 \[G, G, G\]"):
            Cells.of(grid)
