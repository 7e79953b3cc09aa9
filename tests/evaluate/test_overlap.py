"""Volume in common of meshes whose overlap is known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nto3d.evaluate.geometry import volume
from nto3d.evaluate.overlap import common_volume
from nto3d.types import Mesh


def of(shape: trimesh.Trimesh, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    return Mesh(np.asarray(shape.vertices, dtype=np.float64) + shift, np.asarray(shape.faces, dtype=np.int64))


def test_two_boxes_that_overlap() -> None:
    box = trimesh.creation.box((1.0, 2.0, 3.0))
    assert volume(of(box)) == pytest.approx(6.0)
    assert common_volume(of(box), of(box, (0.5, 0.4, 0.25))) == pytest.approx(0.5 * 1.6 * 2.75, rel=0.01)
    assert common_volume(of(box), of(box, (0.999, 0.0, 0.0))) == pytest.approx(0.001 * 2 * 3, rel=0.01)
    assert common_volume(of(box), of(box, (1.0, 0.0, 0.0))) == 0.0
    assert common_volume(of(box), of(box, (5.0, 0.0, 0.0))) == 0.0


def test_two_spheres_that_overlap() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
    for apart in (0.3, 1.0, 1.7):  # a lens of two caps
        lens = np.pi * (4 + apart) * (2 - apart) ** 2 / 12
        assert common_volume(of(ball), of(ball, (0.0, apart, 0.0))) == pytest.approx(lens, rel=0.01)
    assert common_volume(of(ball), of(ball, (1.5, 1.5, 0.0))) == 0.0  # their boxes overlap, they do not


def test_one_in_a_hollow_of_the_other() -> None:
    shell = trimesh.creation.icosphere(subdivisions=4, radius=1.0)
    hollow = trimesh.creation.icosphere(subdivisions=4, radius=0.8)
    hollow.invert()
    both = trimesh.util.concatenate([shell, hollow])
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    assert common_volume(of(both), of(ball)) == 0.0
    assert common_volume(of(shell), of(ball)) == pytest.approx(volume(of(ball)), rel=0.01)
