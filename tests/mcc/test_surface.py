"""The mesh of a shell lies on the object whose shell it is: closed, with its holes, its thin parts and its colours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from torch import Tensor

from nto3d.errors import InputError
from nto3d.mcc.query import Sweep, sweep
from nto3d.mcc.surface import shell_surface
from nto3d.types import FloatArray, Mesh

HALF = 0.1  # of the shell
Distance = Callable[[FloatArray], FloatArray]  # places [..., 3] -> signed distance to the object
CENTER = np.array([0.3, -0.2, 0.1])
TURN = trimesh.transformations.euler_matrix(0.3, 0.5, 0.7)[:3, :3]


def shell(distance: Distance, granularity: float = 0.05, threshold: float = 0.5, half: float = HALF) -> Sweep:
    """What a perfect network answers, soft at the shell's edges; at a threshold of 0.5 it is exactly `half` wide."""
    count = math.ceil(6 / granularity - 1e-9)
    axis = (np.arange(count) - count / 2) * (6 / count)
    away = np.abs(distance(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)))
    logit = (6.0 * np.tanh((half - away) / half * 2.0)).astype(np.float32)
    logit[away > 0.4] = -np.inf  # never asked
    return swept(axis, logit, threshold)


def swept(axis: FloatArray, logit: FloatArray, threshold: float = 0.5) -> Sweep:
    level = math.log(threshold / (1 - threshold))
    return Sweep(axis, logit, np.full((int((logit > level).sum()), 3), 90, dtype=np.uint8), level, logit.size)


def lattice(found: Sweep) -> FloatArray:
    return np.stack(np.meshgrid(found.axis, found.axis, found.axis, indexing="ij"), axis=-1)


def ball(center: FloatArray = CENTER, radius: float = 1.1) -> Distance:
    return lambda places: np.linalg.norm(places - center, axis=-1) - radius


def box(half_sides: tuple[float, float, float], center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    def distance(places: FloatArray) -> FloatArray:
        beyond = np.abs(places - np.array(center)) - np.array(half_sides)
        return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)

    return distance


def hollowed(width: float) -> Distance:
    """A cube of side 2 with a slot in its top: `width` x 1.4, 1.2 deep."""
    whole, slot = box((1, 1, 1)), box((width / 2, 0.7, 1.2), (0, 0, 1))
    return lambda places: np.maximum(whole(places), -slot(places))


def solid_of(mesh: Mesh, parts: int = 1, euler: int = 2) -> trimesh.Trimesh:
    """As a trimesh, which is closed, turned outwards, of so many parts and such an Euler number."""
    found = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert found.is_watertight
    assert found.is_winding_consistent
    pieces = found.split(only_watertight=False)
    assert len(pieces) == parts
    assert all(piece.volume > 0 for piece in pieces)
    assert found.euler_number == euler
    return found


def test_a_ball_that_the_sweep_found() -> None:
    def answer(places: Tensor) -> Tensor:
        away = ((places - torch.from_numpy(CENTER).float()).norm(dim=1) - 1.1).abs()
        classes = torch.zeros(len(places), 3, 256)
        classes[:, 0, 10] = classes[:, 1, 250] = 10.0
        classes[:, 2].scatter_(1, torch.where(places[:, :1] < 0.3, 40, 200), 10.0)
        return torch.cat([6.0 * torch.tanh((HALF - away) / HALF * 2.0)[:, None], classes.flatten(1)], dim=1)

    mesh = shell_surface(sweep(answer, 0.05, 0.3, 2**15))
    away = np.abs(ball()(mesh.vertices))
    assert away.mean() < 0.015  # 0.007 of it: at a threshold of 0.3 the shell is that much wider
    assert away.max() < 0.03
    found = solid_of(mesh)
    outward = found.triangles_center - CENTER
    assert (np.einsum("ij,ij->i", found.face_normals, outward) > 0.95 * np.linalg.norm(outward, axis=1)).all()
    assert mesh.colors is not None
    left, right = mesh.vertices[:, 0] < 0.2, mesh.vertices[:, 0] > 0.4
    assert (mesh.colors[left] == (10, 250, 40)).all()
    assert (mesh.colors[right] == (10, 250, 200)).all()


@pytest.mark.parametrize(("granularity", "most"), [(0.05, 0.004), (0.07, 0.008), (0.1, 0.02)])
def test_a_shell_of_exactly_the_width_gives_exactly_the_ball(granularity: float, most: float) -> None:
    mesh = shell_surface(shell(ball(), granularity))
    assert np.abs(ball()(mesh.vertices)).max() < most
    assert solid_of(mesh).volume == pytest.approx(4 / 3 * math.pi * 1.1**3, rel=most)


def test_the_half_width_is_what_the_surface_is_moved_back_by() -> None:
    mesh = shell_surface(shell(ball(), half=0.15), 0.15)
    assert np.abs(ball()(mesh.vertices)).max() < 0.01
    mesh = shell_surface(shell(ball(), half=0.15), 0.1)
    assert ball()(mesh.vertices).mean() == pytest.approx(0.05, abs=0.005)


def test_a_torus_keeps_its_hole() -> None:
    mesh = shell_surface(shell(lambda p: np.hypot(np.hypot(p[..., 0], p[..., 1]) - 1.2, p[..., 2]) - 0.45))
    found = solid_of(mesh, euler=0)
    assert found.volume == pytest.approx(2 * math.pi**2 * 1.2 * 0.45**2, rel=0.02)


def test_a_tilted_box_keeps_its_edges() -> None:
    distance = box((1.0, 0.8, 0.6))
    mesh = shell_surface(shell(lambda places: distance(places @ TURN.T)))
    assert np.abs(distance(mesh.vertices @ TURN.T)).max() < 0.012
    assert solid_of(mesh).volume == pytest.approx(8 * 0.8 * 0.6, rel=0.01)
    corners = np.array(np.meshgrid([-1, 1], [-0.8, 0.8], [-0.6, 0.6])).reshape(3, 8).T @ TURN
    assert cKDTree(mesh.vertices).query(corners)[0].max() < 0.04


@pytest.mark.parametrize("width", [0.35, 0.5, 1.0])
def test_a_cavity_wider_than_the_shell_stays_open(width: float) -> None:
    found = solid_of(shell_surface(shell(hollowed(width))))
    # Rounding four edges of 1.2 and the floor's takes as much away as a square has beyond its inscribed circle.
    rounded = (4 * 1.2 + 2 * (width + 1.4)) * (1 - math.pi / 4) * HALF**2
    assert found.volume == pytest.approx(8 - width * 1.4 * 1.2 + rounded, abs=0.05)


def test_a_cavity_hardly_wider_than_its_mouth_stays_open() -> None:
    """A groove 0.35 wide, of which the shell leaves three places, over a tunnel 0.55 wide: a neck, not a leak."""
    whole, groove, tunnel = box((1, 1, 1)), box((0.175, 0.7, 1.4), (0, 0, 1.1)), box((0.275, 0.7, 0.3))

    def distance(places: FloatArray) -> FloatArray:
        return np.maximum(whole(places), -np.minimum(groove(places), tunnel(places)))

    found = solid_of(shell_surface(shell(distance)))
    assert found.volume == pytest.approx(8 - 1.4 * (0.55 * 0.6 + 0.35 * 0.7), abs=0.1)  # filled: 0.8 more


@pytest.mark.parametrize("half", [0.1, 0.08, 0.06])
@pytest.mark.parametrize("turn", [np.eye(3), TURN])
@pytest.mark.parametrize("shift", [0.0, 0.0125, 0.025])
def test_a_thin_plate_does_not_vanish(half: float, turn: FloatArray, shift: float) -> None:
    """Also where its shell came out narrower than it should be."""
    distance = box((1.0, 0.01, 0.8), (0, shift, 0))
    mesh = shell_surface(shell(lambda places: distance(places @ turn.T), half=half))
    found = solid_of(mesh)  # an Euler number of two: no holes
    flat = mesh.vertices @ turn.T
    off = np.abs(flat[:, 1] - shift)
    assert off.max() < 0.05  # at the rim
    assert (off < 0.03).mean() > 0.98
    inner = (np.abs(flat[:, 0]) < 0.9) & (np.abs(flat[:, 2]) < 0.7)
    assert off[inner].mean() == pytest.approx(0.9 * 0.025, abs=0.003)  # what is kept on both sides
    assert found.volume == pytest.approx(2 * 1.6 * 2 * 0.9 * 0.025, rel=0.15)
    corners = np.array([[x, shift, z] for x in (-1, 1) for z in (-0.8, 0.8)]) @ turn
    assert cKDTree(mesh.vertices).query(corners)[0].max() < 0.06


@pytest.mark.parametrize("shift", [0.0, 0.0125, 0.02])
def test_a_thin_rod_does_not_fall_to_pieces(shift: float) -> None:
    distance = box((1.0, 0.005, 0.005), (0, shift, shift))
    mesh = shell_surface(shell(lambda places: distance(places @ TURN.T), half=0.09))
    solid_of(mesh)
    assert np.ptp((mesh.vertices @ TURN.T)[:, 0]) == pytest.approx(2.0, abs=0.06)
    assert distance(mesh.vertices @ TURN.T).max() < 0.05
    assert distance(mesh.vertices @ TURN.T).mean() < 0.03


def test_a_shell_seen_from_one_side_is_a_sheet() -> None:
    def distance(places: FloatArray) -> FloatArray:
        rim = np.hypot(np.hypot(places[..., 0], places[..., 1]) - 1.1, places[..., 2])
        return np.where(places[..., 2] > 0, np.abs(np.linalg.norm(places, axis=-1) - 1.1), rim)

    mesh = shell_surface(shell(distance))
    found = solid_of(mesh)
    assert distance(mesh.vertices).max() < 0.04
    assert found.volume == pytest.approx(2 * math.pi * 1.1**2 * 2 * 0.9 * 0.025, rel=0.15)  # a filled one has 2.79


def test_two_objects_stay_two() -> None:
    first, second = ball(np.array([1.2, 0, 0]), 0.8), box((0.5, 0.9, 0.5), (-1, 0, 0))
    mesh = shell_surface(shell(lambda places: np.minimum(first(places), second(places))))
    found = solid_of(mesh, parts=2, euler=4)
    volumes = sorted(piece.volume for piece in found.split())
    assert volumes == pytest.approx([8 * 0.5 * 0.9 * 0.5, 4 / 3 * math.pi * 0.8**3], rel=0.02)


def test_a_shell_with_random_holes_is_closed() -> None:
    found = shell(ball())
    logit = found.logit.copy()
    logit[found.occupied & (np.random.default_rng(3).random(logit.shape) < 0.05)] = -np.inf
    mesh = shell_surface(swept(found.axis, logit))
    solid_of(mesh)
    away = np.abs(ball()(mesh.vertices))
    assert away.mean() < 0.005
    assert away.max() < 0.06


@pytest.mark.parametrize(("width", "filled"), [(1, True), (2, True), (4, True), (8, False)])
def test_small_leaks_are_closed_large_ones_are_openings(width: int, filled: bool) -> None:
    """A square bore into a hollow ball, `width` places wide."""
    found = shell(ball(np.zeros(3)))
    logit = found.logit.copy()
    bore = slice(60 - width // 2, 60 - width // 2 + width)
    logit[bore, bore, 60:] = -np.inf
    mesh = shell_surface(swept(found.axis, logit))
    assert (solid_of(mesh).volume > 5.4) == filled  # a ball has 5.58
    if filled:
        assert np.abs(ball(np.zeros(3))(mesh.vertices)).max() < 0.08
    else:
        assert (np.abs(ball(np.zeros(3))(mesh.vertices)) < 0.03).mean() > 0.98  # the shell itself, but for the rim


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_shell_that_leaves_the_lattice_is_closed_at_the_border(side: float) -> None:
    found = shell(ball(np.array([2.2 * side, 0.1, 0.2])))
    mesh = shell_surface(found)
    end = found.axis[-1] if side > 0 else found.axis[0]
    reach = np.abs(mesh.vertices[:, 0]).max()
    assert abs(end) - 1e-6 < reach < abs(end) + 0.05
    cap = 2.2 + 1.1 - reach  # what is cut off
    expected = 4 / 3 * math.pi * 1.1**3 - math.pi * cap**2 * (3 * 1.1 - cap) / 3
    assert solid_of(mesh).volume == pytest.approx(expected, rel=0.01)


def test_a_shell_in_the_corner_of_the_lattice_is_closed() -> None:
    mesh = shell_surface(shell(ball(np.array([2.2, 2.4, 2.3]))))
    solid_of(mesh)
    free = (mesh.vertices < 2.8).all(axis=1)
    assert np.abs(ball(np.array([2.2, 2.4, 2.3]))(mesh.vertices[free])).max() < 0.02
    assert mesh.vertices.max() < 3.0


def test_colours_are_means_of_the_nearest_occupied_places() -> None:
    """Red grows along x by 40 a unit, so that means of places on all sides are right to within a place or two."""
    found = shell(ball())
    rgb = np.stack([128 + 40 * found.places[:, 0], *np.full((2, len(found.places)), 7)], axis=1).round()
    mesh = shell_surface(Sweep(found.axis, found.logit, rgb.astype(np.uint8), found.level, found.asked))
    assert mesh.colors is not None
    error = mesh.colors[:, 0] - (128 + 40 * mesh.vertices[:, 0])
    assert np.abs(error).max() < 40 * 0.05
    assert np.abs(error).mean() < 40 * 0.0125
    assert (mesh.colors[:, 1:] == 7).all()


def test_nothing_occupied_is_said() -> None:
    axis = np.linspace(-3, 2.9, 60)
    logit = np.full((60, 60, 60), -np.inf, dtype=np.float32)
    with pytest.raises(InputError, match=r"nothing is occupied at the threshold 0.3: .* got at most 0$"):
        shell_surface(swept(axis, logit, 0.3))
    logit[30, 30, 30] = -math.log(3)
    with pytest.raises(InputError, match=r"nothing is occupied at the threshold 0.3: .* got at most 0.25$"):
        shell_surface(swept(axis, logit, 0.3))


def test_a_crumb_is_no_shell() -> None:
    found = shell(ball())
    logit = np.full_like(found.logit, -np.inf)
    logit[50, 50, 50] = 3.0
    with pytest.raises(
        InputError, match=r"expected a shell about 0.2 thick, got 0.0\d+ at most; try a lower threshold"
    ):
        shell_surface(swept(found.axis, logit))


def test_everything_occupied_is_the_lattice() -> None:
    axis = (np.arange(30) - 15) * 0.2
    mesh = shell_surface(swept(axis, np.full((30, 30, 30), 5.0, dtype=np.float32)))
    found = solid_of(mesh)
    assert np.abs(found.bounds - [[-3] * 3, [2.8] * 3]).max() < 0.25


@pytest.mark.parametrize("half", [0.0, -0.1, math.nan, math.inf])
def test_impossible_widths_are_refused(half: float) -> None:
    with pytest.raises(ValueError, match="expected a positive half width"):
        shell_surface(swept(np.linspace(-3, 2.9, 60), np.zeros((60, 60, 60), dtype=np.float32)), half)
