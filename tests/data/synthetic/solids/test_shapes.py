"""Meshes of signed distances."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nto3d.data.synthetic.solids import shapes


def test_ball_has_the_volume_of_a_ball() -> None:
    solid = shapes.mesh_sdf(shapes.ball((3.0, -2.0, 1.0), 5.0), (-3, -8, -5), (9, 4, 7), 48)
    volume = trimesh.Trimesh(solid.vertices, solid.faces, process=False).volume
    assert volume == pytest.approx(4 / 3 * np.pi * 125, rel=0.01)
    outward = (solid.vertices - [3.0, -2.0, 1.0]) / 5.0
    np.testing.assert_allclose(solid.normals, outward, atol=0.01)


def test_a_shape_that_leaves_its_box_is_refused() -> None:
    with pytest.raises(ValueError, match="touches"):
        shapes.mesh_sdf(shapes.ball((0, 0, 0), 1.0), (-0.5, -2, -2), (2, 2, 2), 16)
