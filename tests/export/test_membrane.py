"""Membranes over holes whose least energy is known, or found by a dense solution."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nto3d.export import membrane as membrane_module
from nto3d.export.membrane import Membrane, blurred, neighbours_of
from nto3d.types import Mesh

N = 40


def sheet() -> Mesh:
    """A square of N x N vertices, z = 0, 0 <= x, y <= N - 1, with edges of 1 and one diagonal a cell."""
    y, x = np.mgrid[:N, :N]
    corner = (y * N + x)[:-1, :-1].reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, N + 1], corner + [0, N + 1, N]])
    return Mesh(np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(float), faces)


def middle(margin: int) -> np.ndarray:
    inside = np.zeros((N, N), dtype=np.bool_)
    inside[margin:-margin, margin:-margin] = True
    return inside.reshape(-1)


@pytest.fixture
def _precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps, so that a solution can be compared."""
    monkeypatch.setattr(membrane_module, "PRECISION", 1e-6)


@pytest.mark.usefixtures("_precise")
def test_a_plane_stays_a_plane() -> None:
    mesh, free = sheet(), middle(4)
    plane = mesh.vertices @ np.array([[0.1], [-0.2], [0.0]]) + 3
    lumpy = np.where(free[:, None], np.random.default_rng(0).normal(size=plane.shape), plane)
    found = Membrane(mesh, free).solve(lumpy, np.zeros(N * N))
    np.testing.assert_allclose(found, plane, atol=2e-3)
    np.testing.assert_array_equal(found[~free], plane[~free])


@pytest.mark.usefixtures("_precise")
def test_a_sheet_that_is_pulled_equals_the_dense_solution() -> None:
    mesh, free = sheet(), middle(6)
    rng = np.random.default_rng(1)
    values, pull = rng.normal(size=(N * N, 2)), np.where(rng.random(N * N) < 0.1, 0.5, 0.0)
    membrane = Membrane(mesh, free)
    found = membrane.solve(values, pull)
    system = membrane._energy.toarray() + np.diag(pull[free])
    right = pull[free, None] * values[free] - membrane._given.toarray() @ values[~free]
    np.testing.assert_allclose(found[free], np.linalg.solve(system, right), atol=2e-3)
    np.testing.assert_allclose(membrane.solve(values, pull, start=found), found, atol=2e-3)


def test_patches_are_the_connected_parts_of_what_is_free() -> None:
    free = middle(5).reshape(N, N)
    free[:, N // 2] = False
    patch = Membrane(sheet(), free.reshape(-1)).patch.reshape(N, N)
    assert len(set(patch[10:30, 6:19].ravel().tolist())) == 1
    assert patch[20, 10] != patch[20, 30]


def test_neighbours_and_their_means() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    graph = neighbours_of(Mesh(np.asarray(ball.vertices), ball.faces.astype(np.int64)))
    assert sorted(graph.sum(axis=1).tolist()) == [5.0] * 12 + [6.0] * 30
    assert (graph != graph.T).nnz == 0
    single = np.zeros(42)
    single[0] = 1.0
    once = blurred(graph, single, 1)
    assert once[0] == 0.5
    assert np.count_nonzero(once) == 6
    assert blurred(graph, np.ones(42), 7) == pytest.approx(np.ones(42))
