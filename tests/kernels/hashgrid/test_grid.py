"""The hash grid's layout by hand; its torch twin against hand-derived values, autograd and finite differences."""

import numpy as np
import pytest
import torch

from nto3d.errors import InputError
from nto3d.kernels.hashgrid.grid import HashGrid
from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.kernels.hashgrid.torch_twin import TorchEncoder
from tests.kernels.grids import SPECS, places, random_table


def test_layout_by_hand() -> None:
    spec = HashGridSpec(levels=3, features=2, log2_entries=9, base_resolution=4, max_resolution=16)
    assert spec.width == 6
    assert spec.growth == 2.0
    assert spec.scales == (3.0, 7.0, 15.0)
    assert spec.resolutions == (4, 8, 16)
    assert spec.sizes == (64, 512, 512)  # 16^3 = 4096 vertices do not fit into 2^9 rows
    assert spec.hashed == (False, False, True)
    assert spec.offsets == (0, 64, 576, 1088)


def test_rows_are_filled_up_to_multiples_of_eight() -> None:
    spec = HashGridSpec(levels=1, features=2, log2_entries=19, base_resolution=5, max_resolution=5)
    assert spec.growth == 1.0
    assert spec.sizes == (128,)  # 5^3 = 125
    assert spec.hashed == (False,)


def test_the_finest_level_has_the_resolution_asked_for() -> None:
    spec = HashGridSpec(levels=10, features=2, log2_entries=15, base_resolution=16, max_resolution=512)
    assert spec.scales[0] == 15.0
    assert spec.scales[-1] == pytest.approx(511.0, rel=1e-5)
    assert all(np.float32(scale) == scale for scale in spec.scales)  # tiny-cuda-nn's arithmetic
    assert np.allclose(np.diff(np.log(np.array(spec.scales) + 1)), np.log(32) / 9)


@pytest.mark.parametrize(
    "values", [(0, 2, 15, 16, 64), (2, 0, 15, 16, 64), (2, 2, 0, 16, 64), (2, 2, 29, 16, 64), (2, 2, 9, 16, 15)]
)
def test_impossible_layouts_are_refused(values: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        HashGridSpec(*values)


def test_values_by_hand_in_the_first_cell() -> None:
    # Two vertices an axis; row i holds i, and row x + 2 y + 4 z belongs to vertex (x, y, z): a linear function.
    encoder = TorchEncoder(HashGridSpec(1, 1, 10, 2, 2))
    table = torch.arange(8.0)[:, None]
    x = torch.tensor([[-1.0, -1.0, -1.0], [-0.5, -0.75, -1.0]])  # u = 0; u = (1/4, 1/8, 0): places u + 1/2
    features, jacobian = encoder(x, table, torch.ones(1), True)
    assert torch.allclose(features[:, 0], torch.tensor([3.5, 0.75 + 2 * 0.625 + 4 * 0.5]))
    assert torch.allclose(jacobian[..., 0], torch.tensor([0.5, 1.0, 2.0]).expand(2, 3))  # du/dx = 1/2


def test_values_by_hand_where_dense_rows_wrap_round() -> None:
    encoder = TorchEncoder(HashGridSpec(1, 1, 10, 2, 2))
    table = torch.arange(8.0)[:, None]
    features, _ = encoder(torch.ones(1, 3), table, torch.ones(1), True)  # place 1.5: vertices 1 and 2 of an axis
    rows = [(x + 2 * y + 4 * z) % 8 for x in (1, 2) for y in (1, 2) for z in (1, 2)]
    assert float(features) == pytest.approx(sum(rows) / 8)


def test_hashed_rows_by_hand() -> None:
    encoder = TorchEncoder(HashGridSpec(1, 1, 6, 16, 16))
    corners = np.array([[1, 2, 3], [0, 0, 0], [15, 16, 1]], dtype=np.uint32)
    with np.errstate(over="ignore"):
        mixed = corners[:, 0] ^ (corners[:, 1] * np.uint32(2654435761)) ^ (corners[:, 2] * np.uint32(805459861))
    rows = encoder._index(torch.from_numpy(corners.astype(np.int64)), 16, 0)
    assert rows.tolist() == (mixed % 64).tolist()


@pytest.mark.parametrize("name", SPECS)
def test_the_twin_agrees_with_autograd_and_finite_differences(name: str) -> None:
    spec = SPECS[name]
    encoder, table = TorchEncoder(spec), random_table(spec).double()
    weight = torch.linspace(1.0, 0.25, spec.levels, dtype=torch.float64)
    x = places(spec, 20, margin=0.02).double().requires_grad_(True)
    features, jacobian = encoder(x, table, weight, True)
    for column in range(spec.width):
        (slope,) = torch.autograd.grad(features[:, column].sum(), x, retain_graph=True)
        torch.testing.assert_close(jacobian[:, :, column], slope, rtol=1e-10, atol=1e-10)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-6
        ahead, _ = encoder(x + step, table, weight, False)
        behind, _ = encoder(x - step, table, weight, False)
        torch.testing.assert_close(jacobian[:, axis], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)


def test_the_twin_differentiates_by_the_table() -> None:
    spec = HashGridSpec(2, 2, 5, 2, 6)
    encoder, weight = TorchEncoder(spec), torch.tensor([1.0, 0.5], dtype=torch.float64)
    table = random_table(spec).double().requires_grad_(True)
    x = places(spec, 3).double()
    assert torch.autograd.gradcheck(lambda rows: encoder(x, rows, weight, True), (table,))


def test_levels_fade_in_by_hand() -> None:
    grid = HashGrid(HashGridSpec(4, 2, 8, 4, 16), "torch")
    for active, expected in ((2.25, [1.0, 1.0, 0.25, 0.0]), (4.0, [1.0] * 4), (0.5, [0.5, 0.0, 0.0, 0.0])):
        grid.set_active_levels(active)
        assert grid.level_weight.tolist() == expected
    x = torch.rand(5, 3)
    features, jacobian = grid.with_jacobian(x)
    assert torch.equal(features, grid(x))
    assert features[:, 2:].abs().max() == 0
    assert jacobian[..., 2:].abs().max() == 0


def test_the_table_starts_small_and_is_seeded() -> None:
    spec = HashGridSpec(2, 2, 8, 4, 16)
    tables = [HashGrid(spec, "torch", torch.Generator().manual_seed(seed)).table for seed in (1, 1, 2)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
    assert 5e-5 < float(tables[0].detach().abs().max()) <= 1e-4


def test_an_unknown_backend_is_one_line() -> None:
    with pytest.raises(InputError, match=r"encoding\.backend: expected one of warp, torch, tcnn, got 'numba'"):
        HashGrid(HashGridSpec(1, 1, 8, 4, 4), "numba")
