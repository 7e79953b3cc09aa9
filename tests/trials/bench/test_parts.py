"""The parts of the benchmark at toy sizes, in this process."""

from __future__ import annotations

import pytest
import torch

from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid, HashGridSpec
from nto3d.trials.bench.hashgrid import bench_hashgrid
from nto3d.trials.bench.mesh import bench_mesh
from nto3d.trials.bench.step import bench_step, by_autograd
from nto3d.trials.bench.table import DOUBLE, JACOBIAN
from nto3d.trials.bench.timing import seconds

TINY = ("scene.downscale=8", "field.start=sphere", "field.hidden=16", "encoding.log2_entries=8", "threads=1")
CPU = torch.device("cpu")


def test_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    first, second = seconds([lambda: calls.append("a"), lambda: calls.append("b")], 3, CPU)
    assert calls == ["a", "b"] * 4
    assert min(first, second) >= 0


@pytest.mark.parametrize("name", ["warp", DOUBLE, JACOBIAN])
def test_a_hash_grid_is_timed(name: str) -> None:
    row = bench_hashgrid(name, 8, 64, "cpu")
    assert row["ms"] == pytest.approx(row["forward_ms"] + row["backward_ms"])
    assert row["forward_ms"] > 0
    assert row["peak_gb"] > 0.05


def test_a_backend_that_is_missing_says_so() -> None:
    assert "missing" in bench_hashgrid("tcnn", 8, 64, "cpu")


def test_plain_torch_computes_the_same() -> None:
    sdf = SdfField(HashGrid(HashGridSpec(4, 2, 8, 4, 32), "torch"), hidden=16, layers=2)
    torch.nn.init.uniform_(sdf.encoding.table, -0.1, 0.1)
    positions = torch.rand(50, 3) - 0.5
    for ours, theirs in zip(sdf(positions), by_autograd(sdf, positions), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_dense_and_sparse_extraction_find_the_same() -> None:
    torch.manual_seed(0)
    rows = [bench_mesh(kind, 16, "cpu") for kind in ("sparse", "dense")]
    assert rows[0]["faces"] > 100
    assert rows[0]["faces"] == pytest.approx(rows[1]["faces"], rel=0.05)  # the texture is drawn anew
    assert all(0 < row["peak_before_gb"] <= row["peak_gb"] for row in rows)


def test_a_training_step_is_timed_with_each_backend() -> None:
    threads = torch.get_num_threads()
    try:
        rows = bench_step(("warp", JACOBIAN), 1, "cpu", TINY)
    finally:
        torch.set_num_threads(threads)
    assert [row["backend"] for row in rows] == ["warp", JACOBIAN]
    assert all(row["ms"] > 0 and row["rays"] > 0 for row in rows)
