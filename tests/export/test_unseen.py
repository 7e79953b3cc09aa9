"""A box on the ground: its underside is unseen, and lumpy, because nothing told it otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from nto3d.export.surface import extract_surface
from nto3d.export.unseen import close_unseen, trim_unseen, unseen_region
from nto3d.types import Mesh

HALF, HEIGHT = 0.5, 0.6
DIAGONAL = (2 * (2 * HALF) ** 2 + HEIGHT**2) ** 0.5


def box(positions: Tensor) -> Tensor:
    """The box |x|, |y| < 0.5, 0 < z < 0.6."""
    apart = (positions - torch.tensor([0, 0, HEIGHT / 2])).abs() - torch.tensor([HALF, HALF, HEIGHT / 2])
    return apart.clamp(min=0).norm(dim=1) + apart.amax(dim=1).clamp(max=0)


def lumpy(positions: Tensor) -> Tensor:
    """The box with a lump that hangs out of its underside to z = -0.4."""
    return torch.minimum(box(positions), (positions - torch.tensor([0.1, 0.0, -0.1])).norm(dim=1) - 0.3)


def on_the_ground(seen_from: float = 0.01) -> Mesh:
    """The lumpy box, red at its left and blue at its right, seen by five views above a height."""
    mesh = extract_surface(lumpy, resolution=96, lower=[-0.8] * 3, upper=[0.8] * 3)
    colors = np.where(mesh.vertices[:, :1] < 0, [200, 0, 0], [0, 0, 200]).astype(np.uint8)
    seen = np.where(mesh.vertices[:, 2] < seen_from, 0, 5).astype(np.uint16)
    return Mesh(mesh.vertices, mesh.faces, colors, seen)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def test_the_underside_of_a_box_becomes_flat_and_stays_closed() -> None:
    mesh = on_the_ground()
    closed = close_unseen(mesh)
    assert mesh.vertices[:, 2].min() < -0.35
    assert closed.vertices[:, 2].min() > -0.02 * DIAGONAL
    assert closed.vertices[closed.seen == 0, 2].max() < 0.05
    assert solid(closed).is_watertight
    assert solid(closed).volume == pytest.approx(HEIGHT, rel=0.03)
    np.testing.assert_array_equal(closed.faces, mesh.faces)
    still = mesh.vertices[:, 2] > 0.15
    np.testing.assert_array_equal(closed.vertices[still], mesh.vertices[still])
    assert closed.seen is not None
    assert mesh.seen is not None
    np.testing.assert_array_equal(closed.seen[still], mesh.seen[still])


def test_the_membrane_stays_within_the_hull_of_what_is_seen() -> None:
    """The walls go on downwards, so a plate without bounds would bulge below them."""
    mesh = extract_surface(box, resolution=96, lower=[-0.8] * 3, upper=[0.8] * 3)
    seen = np.where(mesh.vertices[:, 2] < 0.2, 0, 5).astype(np.uint16)
    closed = close_unseen(Mesh(mesh.vertices, mesh.faces, None, seen))
    assert closed.vertices[:, 2].min() > 0.2 - 0.02 * DIAGONAL
    assert np.abs(closed.vertices[:, :2]).max() < HALF + 0.01 * DIAGONAL


def test_the_membrane_takes_its_colours_from_the_border() -> None:
    closed = close_unseen(on_the_ground())
    assert closed.colors is not None
    under, x = closed.vertices[:, 2] < 0.02, closed.vertices[:, 0]
    left, right = (closed.colors[under & side].mean(axis=0) for side in (x < -0.35, x > 0.35))
    assert left[0] > 150 > 50 > left[2]
    assert right[2] > 150 > 50 > right[0]
    middle = closed.colors[under & (np.linalg.norm(closed.vertices[:, :2], axis=1) < 0.05)]
    assert np.abs(middle.astype(int) - [100, 0, 100]).max() < 40  # a mean, not one of both


def test_the_unit_does_not_matter() -> None:
    mesh = on_the_ground()
    large = mesh.transformed(np.diag([250.0, 250.0, 250.0, 1.0]))
    np.testing.assert_allclose(close_unseen(large).vertices / 250, close_unseen(mesh).vertices, atol=1e-3)


def test_a_trimmed_box_is_open_with_a_straight_border() -> None:
    mesh = on_the_ground(seen_from=0.2)
    trimmed = trim_unseen(mesh)
    shape = solid(trimmed)
    assert not shape.is_watertight
    edges, counts = np.unique(shape.edges_sorted, axis=0, return_counts=True)
    border = trimmed.vertices[np.unique(edges[counts == 1])]
    assert np.ptp(border[:, 2]) < 0.045  # three cells: at the box's corners it bends
    assert border[:, 2] == pytest.approx(0.2, abs=0.03)
    assert counts.max() == 2
    assert trimmed.vertices[:, 2].max() == pytest.approx(HEIGHT, abs=1e-3)
    assert trimmed.colors is not None
    assert trimmed.seen is not None
    assert (trimmed.seen == 5).mean() > 0.9
    outward = shape.face_normals[shape.triangles_center[:, 2] > HEIGHT - 0.01]
    assert outward[:, 2].min() > 0.5


def test_single_vertices_are_no_region() -> None:
    """Noise: some unseen vertices in seen surface, some seen ones in unseen surface."""
    mesh = on_the_ground()
    assert mesh.seen is not None
    noise = np.random.default_rng(0).random(len(mesh.vertices))
    noisy = replace(mesh, seen=np.where(noise < 0.05, np.where(mesh.seen > 0, 0, 2), mesh.seen).astype(np.uint16))
    height = mesh.vertices[:, 2]
    unseen = unseen_region(noisy)
    assert not unseen[height > 0.06].any()
    assert unseen[height < -0.04].all()
    closed = close_unseen(noisy)
    np.testing.assert_array_equal(closed.vertices[height > 0.15], mesh.vertices[height > 0.15])
    assert closed.seen is not None
    assert closed.seen[height < -0.04].max() == 0  # nothing of the membrane was seen
    assert closed.seen[height > 0.15].min() == 0  # and single vertices still tell


def test_pieces_that_no_view_sees_go() -> None:
    mesh = on_the_ground()
    crumb = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    vertices = np.concatenate([mesh.vertices, np.asarray(crumb.vertices) + [0, 0, 0.3]])
    faces = np.concatenate([mesh.faces, crumb.faces + len(mesh.vertices)])
    assert mesh.seen is not None
    seen = np.concatenate([mesh.seen, np.zeros(len(crumb.vertices), dtype=np.uint16)])
    both = Mesh(vertices, faces, None, seen)
    np.testing.assert_allclose(close_unseen(both).vertices, close_unseen(mesh).vertices, atol=1e-3)
    assert len(trim_unseen(both).faces) == len(trim_unseen(mesh).faces)


@pytest.mark.parametrize("views", [0, 4])
def test_a_mesh_of_one_kind_stays_as_it_is(views: int) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    mesh = Mesh(np.asarray(ball.vertices), ball.faces.astype(np.int64), None, np.full(len(ball.vertices), views))
    for treated in (close_unseen(mesh), trim_unseen(mesh)):
        np.testing.assert_array_equal(treated.vertices, mesh.vertices)
        np.testing.assert_array_equal(treated.faces, mesh.faces)


def test_surface_that_one_view_sees_is_seen() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4)
    seen = (np.asarray(ball.vertices)[:, 2] > -0.5).astype(np.uint16)
    unseen = unseen_region(Mesh(np.asarray(ball.vertices), ball.faces.astype(np.int64), None, seen))
    assert not unseen[ball.vertices[:, 2] > -0.3].any()
    assert unseen[ball.vertices[:, 2] < -0.55].all()


def test_the_membrane_does_not_pass_through_seen_surface() -> None:
    """A thick bowl of which only the inside and the upper rim are seen: a soap film would cut through the inside."""

    def bowl(positions: Tensor) -> Tensor:
        hole = (positions - torch.tensor([0.0, 0.0, HEIGHT])).norm(dim=1) - 0.4
        return torch.maximum(box(positions), -hole)

    mesh = extract_surface(bowl, resolution=96, lower=[-0.8] * 3, upper=[0.8] * 3)
    inside = (np.linalg.norm(mesh.vertices - [0, 0, HEIGHT], axis=1) < 0.41) | (mesh.vertices[:, 2] > 0.45)
    closed = close_unseen(replace(mesh, seen=np.where(inside, 5, 0)))
    middle = np.linalg.norm(closed.vertices[:, :2], axis=1) < 0.1
    floor = closed.vertices[middle & inside, 2].min()
    assert floor == pytest.approx(0.2, abs=0.01)
    assert closed.vertices[middle & ~inside, 2].max() < floor
    assert solid(closed).volume > 0


def test_the_counts_must_be_known() -> None:
    with pytest.raises(ValueError, match="seen"):
        close_unseen(replace(on_the_ground(), seen=None))
