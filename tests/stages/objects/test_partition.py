"""Solids of known shape divided among the objects that they are made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from nto3d.config.schema import ExportConfig, Unseen
from nto3d.errors import InputError
from nto3d.evaluate.geometry import volume
from nto3d.evaluate.overlap import common_volume
from nto3d.export.regions import Field, box
from nto3d.export.visibility import Visibility
from nto3d.geometry.cameras import RayCaster, every_pixel
from nto3d.geometry.hull import cell_centers
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.stages.objects.meshes import Objects, extract_objects
from nto3d.stages.objects.partition import CELLS, Labels, Partition, label_surface, winding_numbers
from nto3d.stages.reconstruct.mesh import extract_mesh
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, Cameras, Mesh
from tests.helpers import look_at
from tests.render.spheres import NormalColor

SIZE, FOCAL, VIEWS = (80, 80), 92.0, 18


def ball(center: Sequence[float], radius: float) -> Field:
    return lambda p: (p - torch.tensor(center)).norm(dim=-1) - radius


SHAPES: dict[str, tuple[list[Field], list[float]]] = {
    "two spheres that touch": (
        [ball((-0.4, 0.0, 0.0), 0.4), ball((0.3, 0.0, 0.0), 0.3)],
        [4 / 3 * np.pi * 0.064, 4 / 3 * np.pi * 0.027],
    ),
    "a box on a box": (
        [box([-0.2, -0.15, 0.0], [0.2, 0.25, 0.45]), box([-0.5, -0.4, -0.3], [0.4, 0.5, 0.0])],
        [0.4 * 0.4 * 0.45, 0.9 * 0.9 * 0.3],
    ),
    "three boxes in a row": (
        [box([x, -0.2, -0.2], [x + 0.4, 0.2, 0.2]) for x in (-0.6, -0.2, 0.2)],
        [0.4**3] * 3,
    ),
}


def cameras() -> Cameras:
    """All around, above and below."""
    turn = np.arange(VIEWS) * np.pi * (3 - 5**0.5)
    height = 1 - 2 * (np.arange(VIEWS) + 0.5) / VIEWS
    around = np.sqrt(1 - height**2)
    centers = 2.6 * np.stack([around * np.cos(turn), around * np.sin(turn), height], axis=1)
    lens = np.array([[FOCAL, 0.0, SIZE[1] / 2 - 0.5], [0.0, FOCAL, SIZE[0] / 2 - 0.5], [0.0, 0.0, 1.0]])
    return Cameras(np.repeat(lens[None], VIEWS, axis=0), np.stack([look_at(center) for center in centers]), SIZE)


def looked_at(shapes: list[Field]) -> tuple[dict[int, Projection], list[dict[int, BoolArray]]]:
    """What all cameras see of the shapes, by sphere tracing, and the mask of each."""
    caster, seen, masks = RayCaster(cameras(), "cpu"), {}, [{} for _ in shapes]  # type: ignore[var-annotated]
    xy, _ = every_pixel(SIZE, 1, torch.device("cpu"))
    for view in range(VIEWS):
        origins, ways = caster(torch.full((len(xy),), view), xy)
        depth = torch.zeros(len(xy))
        for _ in range(80):
            depth += torch.stack([shape(origins + depth[:, None] * ways) for shape in shapes]).amin(dim=0)
        distance = torch.stack([shape(origins + depth[:, None] * ways) for shape in shapes])
        hit = (distance.amin(dim=0) < 1e-3).numpy()
        for number, mask in enumerate(masks):
            mask[view] = (hit & (distance.argmin(dim=0).numpy() == number)).reshape(SIZE)
        maps = np.where(hit, depth.numpy(), 0.0).astype(np.float32), hit.astype(np.float32)
        zero = np.zeros(SIZE, np.float32)
        seen[view] = Projection(view, zero, maps[0].reshape(SIZE), maps[1].reshape(SIZE), zero > 0)
    return seen, masks


class Union(torch.nn.Module):
    """All shapes as one field."""

    def __init__(self, shapes: list[Field]) -> None:
        super().__init__()
        self.shapes = shapes

    def sdf(self, positions: Tensor) -> Tensor:
        return torch.stack([shape(positions) for shape in self.shapes]).amin(dim=0)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normals = torch.nn.functional.normalize(positions + 1e-6, dim=1)
        return self.sdf(positions), normals, positions.new_zeros((len(positions), 1))


def divided(case: str, unseen: Unseen = Unseen.mark) -> tuple[Objects, dict[str, Mesh]]:
    """Every step from projections to meshes; the visibilities are those of the shapes' masks."""
    shapes, _ = SHAPES[case]
    seen, masks = looked_at(shapes)
    labels, missing = label_surface(cameras(), seen, masks)
    assert missing == ()
    sights = {
        f"{n}": Visibility(cameras(), np.stack([mask[view] for view in range(VIEWS)])) for n, mask in enumerate(masks)
    }
    objects = Objects(labels, sights)
    hull = torch.ones(64, 64, 64, dtype=torch.bool)
    model = SurfaceModel(Union(shapes), NormalColor(), OccupancyGrid(hull), torch.zeros(1, 3))  # type: ignore[arg-type]
    config = ExportConfig(resolution=128, unseen=unseen)
    return objects, extract_objects(model, np.eye(4), config, objects)


remembered = functools.cache(divided)


@pytest.mark.parametrize(
    ("case", "unseen"), [*((case, Unseen.close) for case in SHAPES), ("a box on a box", Unseen.mark)]
)
def test_parts_are_closed_whole_and_apart(case: str, unseen: Unseen) -> None:
    volumes = SHAPES[case][1]
    _, meshes = remembered(case, unseen)
    assert len(meshes) == len(volumes)
    for mesh, true in zip(meshes.values(), volumes, strict=True):
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight
        assert volume(mesh) == pytest.approx(solid.volume)
        assert volume(mesh) == pytest.approx(true, rel=0.05)  # borders are found to half a cell
    parts = list(meshes.values())
    for number, first in enumerate(parts):
        for second in parts[:number]:
            assert common_volume(first, second) <= 0.001 * min(volume(first), volume(second))


def test_the_same_input_gives_the_same_bits() -> None:
    (objects, one), (_, two) = remembered("a box on a box", Unseen.mark), divided("a box on a box")
    again = Objects.from_state(objects.state_dict())
    assert again.names == objects.names
    assert again.labels is not None
    assert objects.labels is not None
    assert np.array_equal(again.labels.nearest, objects.labels.nearest)
    assert again.labels.nearest.dtype == objects.labels.nearest.dtype
    for name, mesh in one.items():
        assert np.array_equal(mesh.vertices, two[name].vertices)
        assert np.array_equal(mesh.faces, two[name].faces)
        assert np.array_equal(again.visibilities[name].shown, objects.visibilities[name].shown)


def test_a_wrong_patch_goes_to_what_surrounds_it() -> None:
    """A patch of one object's masks on the other one, in every view."""
    shapes, _ = SHAPES["two spheres that touch"]
    seen, masks = looked_at(shapes)
    right, _ = label_surface(cameras(), seen, masks)
    spot = ball((-0.8, 0.0, 0.0), 0.08)
    caster = RayCaster(cameras(), "cpu")
    xy, _ = every_pixel(SIZE, 1, torch.device("cpu"))
    for view, found in seen.items():
        origins, ways = caster(torch.full((len(xy),), view), xy)
        places = origins + ways * torch.from_numpy(found.depth.reshape(-1, 1))
        wrong = (spot(places).numpy() < 0).reshape(SIZE) & masks[0][view]
        masks[0][view], masks[1][view] = masks[0][view] & ~wrong, masks[1][view] | wrong
    mended, _ = label_surface(cameras(), seen, masks)
    surface = np.abs(Union(shapes).sdf(torch.from_numpy(cell_centers(CELLS))).numpy()) < 0.02
    assert (mended.nearest != right.nearest)[surface].mean() < 0.001


def test_an_object_without_surface_is_told() -> None:
    shapes, _ = SHAPES["two spheres that touch"]
    seen, masks = looked_at(shapes)
    nothing = {view: np.zeros(SIZE, dtype=bool) for view in seen}
    assert label_surface(cameras(), seen, [masks[0], nothing, masks[1]])[1] == (1,)


def test_winding_numbers_of_a_box() -> None:
    """All of it winds once; the upper half of its surface half way round at the middle of the cut."""
    solid = np.zeros((20, 22, 24), dtype=bool)
    solid[4:16, 5:17, 6:18] = True
    labels = np.zeros(solid.shape, dtype=np.int64)
    labels[:, :, 12:] = 1
    lower, upper = winding_numbers(labels, 2, solid)
    np.testing.assert_allclose((lower + upper)[solid], 1.0, atol=0.01)
    np.testing.assert_allclose((lower + upper)[~solid], 0.0, atol=0.01)
    np.testing.assert_allclose(lower[:, :, ::-1], upper, atol=1e-5)
    assert ((upper > lower) == (labels == 1))[solid].all()


def test_borders_leave_no_place_to_two() -> None:
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 3, (16, 16, 16)).repeat(8, 0).repeat(8, 1).repeat(8, 2)
    parts = Partition(Labels(owner.astype(np.uint8), 3), np.full((CELLS,) * 3, 1.0))
    places = torch.from_numpy(rng.uniform(-1, 1, (20_000, 3))).float()
    values = torch.stack([parts(number)(places) for number in range(3)])
    assert ((values < 0).sum(dim=0) <= 1).all()
    assert ((values < 0).sum(dim=0) == 1).float().mean() > 0.7


def test_what_belongs_to_nobody_is_one_line() -> None:
    model = SurfaceModel(
        Union([ball((0.0, 0.0, 0.0), 0.4)]),  # type: ignore[arg-type]
        NormalColor(),
        OccupancyGrid(torch.ones(16, 16, 16, dtype=torch.bool)),
        torch.zeros(1, 3),
    )
    with pytest.raises(InputError, match="no place in the hull of the masks belongs to it"):
        extract_mesh(model, np.eye(4), ExportConfig(resolution=16), None, lambda p: torch.ones(len(p)))
