from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from nto3d.errors import InputError
from nto3d.export.regions import box, intersect, unit_sphere
from nto3d.export.surface import NoSurfaceError, extract_dense, extract_surface
from nto3d.types import Mesh

Field = Callable[[Tensor], Tensor]
CUBE = {"lower": [-1.0] * 3, "upper": [1.0] * 3}


def sphere(radius: float = 0.5, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Field:
    return lambda x: (x - torch.tensor(center)).norm(dim=-1) - radius


def torus(x: Tensor) -> Tensor:
    return ((x[:, :2].norm(dim=-1) - 0.5) ** 2 + x[:, 2] ** 2).sqrt() - 0.15


def two_spheres(x: Tensor) -> Tensor:
    return torch.minimum(sphere(0.2, (-0.6, -0.6, -0.6))(x), sphere(0.15, (0.7, 0.7, 0.7))(x))


def sheet(x: Tensor) -> Tensor:
    """A disc 0.044 thick, tilted out of the lattice: little more than one cell at resolution 64."""
    normal = torch.tensor([0.2, -0.1, 1.0]) / 1.05**0.5
    return torch.maximum((x @ normal - 0.05).abs() - 0.022, x.norm(dim=-1) - 0.8)


def lattice_cube(x: Tensor) -> Tensor:
    """A cube whose faces lie exactly on lattice points, where the field is exactly zero."""
    return x.abs().amax(dim=-1) - 0.5


def bumpy(x: Tensor) -> Tensor:
    """Not a distance: the gradient is between 0.4 and 1.4."""
    return sphere(0.5)(x) + 0.02 * torch.sin(20 * x).sum(dim=-1)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def canonical_faces(mesh: Mesh) -> np.ndarray:
    first = mesh.faces.argmin(axis=1)
    turned = np.take_along_axis(mesh.faces, (first[:, None] + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T)]


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("field", [sphere(), torus, two_spheres, sheet, lattice_cube, bumpy])
def test_sparse_equals_dense(field: Field, scale: float) -> None:
    arguments = {"resolution": 64, **CUBE}
    sparse = extract_surface(lambda x: scale * field(x), **arguments)
    dense = extract_dense(lambda x: scale * field(x), **arguments)
    np.testing.assert_allclose(sparse.vertices, dense.vertices, atol=1e-12)
    np.testing.assert_array_equal(canonical_faces(sparse), canonical_faces(dense))
    assert solid(sparse).is_watertight


def test_uneven_bounds_equal_dense() -> None:
    arguments = {"resolution": 45, "lower": [-0.9, -0.62, -1.0], "upper": [1.0, 0.7, 0.33]}
    sparse, dense = (extract(torus, **arguments) for extract in (extract_surface, extract_dense))
    np.testing.assert_allclose(sparse.vertices, dense.vertices, atol=1e-12)
    np.testing.assert_array_equal(canonical_faces(sparse), canonical_faces(dense))


def test_sphere_has_its_radius_area_and_volume() -> None:
    mesh = extract_surface(sphere(), resolution=64, **CUBE)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.5, atol=5e-4)
    shape = solid(mesh)
    assert shape.area == pytest.approx(np.pi, rel=5e-3)
    assert shape.volume == pytest.approx(np.pi / 6, rel=5e-3)  # positive: faces look outwards
    assert shape.euler_number == 2


@pytest.mark.parametrize(("field", "euler"), [(torus, 0), (two_spheres, 4), (sheet, 2)])
def test_topology(field: Field, euler: int) -> None:
    shape = solid(extract_surface(field, resolution=64, **CUBE))
    assert shape.is_watertight
    assert shape.is_winding_consistent
    assert shape.euler_number == euler


def test_few_points_are_evaluated() -> None:
    count = 0

    def counting(x: Tensor) -> Tensor:
        nonlocal count
        count += len(x)
        return sphere()(x)

    extract_surface(counting, resolution=128, **CUBE)
    assert count < 129**3 / 6


def test_each_lattice_point_is_evaluated_once_after_the_search() -> None:
    seen: list[Tensor] = []

    def recording(x: Tensor) -> Tensor:
        seen.append(x)
        return torus(x)

    extract_surface(recording, resolution=64, **CUBE)
    fine = torch.cat(seen[3:])  # corners, coarse centres, block centres come first
    assert len(fine.unique(dim=0)) == len(fine)


def test_a_surface_that_leaves_the_seeds_is_followed() -> None:
    """The search may start only at x < -0.9, the tube reaches to x = 0.8."""

    def tube(x: Tensor) -> Tensor:
        along = x[:, 0].clamp(-0.95, 0.7)
        return torch.stack([x[:, 0] - along, x[:, 1], x[:, 2]], dim=-1).norm(dim=-1) - 0.1

    mesh = extract_surface(tube, resolution=64, occupied=lambda low, _: low[:, 0] < -0.9, **CUBE)
    dense = extract_dense(tube, resolution=64, **CUBE)
    np.testing.assert_allclose(mesh.vertices, dense.vertices, atol=1e-12)


def test_occupied_receives_box_corners_and_can_rule_out_a_component() -> None:
    def occupied(low: Tensor, high: Tensor) -> Tensor:
        torch.testing.assert_close(high - low, torch.full_like(low, 0.25))
        return high[:, 0] < 0.3

    mesh = extract_surface(two_spheres, resolution=64, occupied=occupied, **CUBE)
    assert solid(mesh).euler_number == 2
    assert mesh.vertices[:, 0].max() < 0


def test_a_steep_field_is_not_missed() -> None:
    sparse, dense = (
        extract(lambda x: 30 * sphere(0.31)(x), resolution=64, **CUBE) for extract in (extract_surface, extract_dense)
    )
    np.testing.assert_allclose(sparse.vertices, dense.vertices, atol=1e-12)


def test_border_is_open_or_closed_as_asked() -> None:
    opened = extract_surface(sphere(1.2), resolution=32, **CUBE)
    assert not solid(opened).is_watertight
    closed = solid(extract_surface(sphere(1.2), resolution=32, close_border=True, **CUBE))
    assert closed.is_watertight
    assert np.abs(closed.vertices).max() == pytest.approx(1 - 1 / 32, abs=1e-6)
    filled = solid(extract_surface(lambda x: x[:, 0] * 0 - 1, resolution=32, close_border=True, **CUBE))
    assert filled.volume == pytest.approx((2 - 2 / 32) ** 3, rel=1e-2)


def test_region_cuts_the_solid() -> None:
    """A half space cut to the unit sphere is half a ball."""
    mesh = extract_surface(lambda x: x[:, 2], resolution=64, lower=[-1.1] * 3, upper=[1.1] * 3, region=unit_sphere)
    shape = solid(mesh)
    assert shape.is_watertight
    assert shape.volume == pytest.approx(2 / 3 * np.pi, rel=1e-2)


def test_regions_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.75]])
    torch.testing.assert_close(unit_sphere(x), torch.tensor([-1.0, 2.0, -0.25]))
    torch.testing.assert_close(box([-1] * 3, [1, 2, 1])(x), torch.tensor([-1.0, 1.0, -0.25]))
    torch.testing.assert_close(intersect(unit_sphere, lambda y: y[:, 2])(x), torch.tensor([0.0, 2.0, 0.75]))


def test_no_surface_is_an_input_error() -> None:
    for extract in (extract_surface, extract_dense):
        with pytest.raises(NoSurfaceError, match="no surface in the region"):
            extract(lambda x: x.norm(dim=-1) + 1, resolution=16, **CUBE)
    assert issubclass(NoSurfaceError, InputError)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resolution": 4}, "at least 8"),
        ({"lower": [1, 0, 0], "upper": [0, 1, 1]}, "lower < upper"),
        ({"lower": [0, 0]}, "3 numbers"),
    ],
)
def test_bad_arguments(changed: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract_surface(sphere(), **({"resolution": 16, **CUBE} | changed))


def test_a_field_that_is_not_finite_is_named() -> None:
    with pytest.raises(InputError, match="not finite"):
        extract_surface(lambda x: torch.where(x[:, 0] > 0.9, torch.nan, x.norm(dim=-1) - 0.5), resolution=16, **CUBE)


def test_a_field_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match="expected an sdf"):
        extract_surface(lambda x: x.norm(dim=-1, keepdim=True) - 0.5, resolution=16, **CUBE)
