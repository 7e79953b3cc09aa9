from __future__ import annotations

import numpy as np
import pytest

from nto3d.types import Mesh

CORNERS, FACE = np.eye(3), np.array([[0, 1, 2]])


def test_a_mesh_takes_its_counts_along() -> None:
    moved = Mesh(CORNERS, FACE, None, np.array([3, 0, 7])).transformed(np.diag([-2.0, 2.0, 2.0, 1.0]))
    assert moved.seen is not None
    assert moved.seen.tolist() == [3, 0, 7]
    assert moved.faces.tolist() == [[2, 1, 0]]  # mirrored
    assert Mesh(CORNERS, FACE).transformed(np.eye(4)).seen is None


@pytest.mark.parametrize("seen", [np.array([1, 2]), np.array([1.0, 2.0, 3.0]), np.ones((3, 1), dtype=int)])
def test_counts_are_an_integer_a_vertex(seen: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"seen, integers \[3\]"):
        Mesh(CORNERS, FACE, None, seen)
