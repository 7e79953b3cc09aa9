"""What is measured of a mesh, and how it looks, does not depend on its unit and place."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from nto3d.evaluate.geometry import mesh_metrics, point_metrics, sample_surface, volume
from nto3d.evaluate.overlap import share_in_common
from nto3d.report.shade import turntable
from nto3d.types import Mesh

UTM = (450000.0, 5400000.0, 300.0)
LENGTHS = ("accuracy", "completeness", "chamfer", "points_mean", "points_median")


def ball(radius: float, scale: float, place: tuple[float, float, float]) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    vertices = (np.asarray(shape.vertices) + [0.1, 0.0, 0.0]) * scale + place
    return Mesh(vertices, shape.faces.astype(np.int64))


def measured(scale: float, place: tuple[float, float, float]) -> dict[str, float]:
    """Lengths in units of the scale."""
    inner, outer = ball(1.0, scale, place), ball(1.1, scale, place)
    found = mesh_metrics(inner, outer, samples=2000, threshold_share=0.03, seed=0)
    found |= point_metrics(sample_surface(outer, 500, 3), inner)
    found = {name: value / scale if name in LENGTHS else value for name, value in found.items()}
    return found | {"volume": volume(inner) / scale**3, "common": share_in_common(inner, outer)}


@pytest.mark.parametrize(("scale", "place"), [(1e-7, (0.0, 0.0, 0.0)), (1e6, (0.0, 0.0, 0.0)), (1.0, UTM), (0.01, UTM)])
def test_figures_and_pictures_are_those_of_the_same_shape(scale: float, place: tuple[float, float, float]) -> None:
    expected = measured(1.0, (0.0, 0.0, 0.0))
    assert measured(scale, place) == pytest.approx(expected, rel=1e-4)
    up = np.array([0.0, 0.0, 1.0])
    (here,), (there,) = (
        turntable(ball(1.0, *where), 1, (40, 40), up) for where in ((1.0, (0.0, 0.0, 0.0)), (scale, place))
    )
    assert np.abs(here.astype(int) - there).max() <= 2
