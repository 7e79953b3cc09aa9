"""Kinds of procedural scenes: what stands where, and who looks at it. Lengths in millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nto3d.data.synthetic.solids import objects, patchwork
from nto3d.data.synthetic.viewpoints import Rings


@dataclass(frozen=True)
class Recipe:
    """How to make one kind of scene. Lengths in millimetres.

    Attributes:
        name: key in `RECIPES`. about: one line for people. targets: the seed takes one of them in turn.
        neighbours: lowest and highest number of other objects on the table. ring: their distance from the middle.
        table_radius, table_top: the round table. floating: the target stands on a post, and what leaves the unit sphere
            (the lower post) is no part of it. ambient: share of the light from everywhere.
        touching: the neighbours stand against the target. like_table: the target has the table's colours.
        margin: radius of the unit sphere over the target's bounding radius. cameras: their plan.
        views, size: defaults (size is width, height). cells: marching cubes cells along the target's longest side;
        max_faces: of the ground-truth mesh. origin: world coordinates of the scene's own origin.
    """

    name: str
    about: str
    targets: tuple[str, ...]
    neighbours: tuple[int, int]
    ring: tuple[float, float]
    table_radius: float
    table_top: float
    floating: bool
    ambient: float
    margin: float
    cameras: Rings
    views: int
    size: tuple[int, int]
    cells: int
    max_faces: int
    origin: tuple[float, float, float]
    touching: bool = False
    like_table: bool = False


FLOATING_BASE = -77.0  # below this height a floating target is its post
_AROUND = Rings((22.0, 13.0, 50.0, 36.0, 65.0), distance=5.0, fill=0.45, jitter=0.03)

_TABLETOP = Recipe(
    "tabletop",
    "a jug, robot or trophy among three to six toys; everything varies with the seed",
    targets=tuple(objects.TARGETS),
    neighbours=(3, 6),
    ring=(90.0, 140.0),
    table_radius=270.0,
    table_top=0.0,
    floating=False,
    ambient=0.5,
    margin=1.12,
    cameras=_AROUND,
    views=32,
    size=(320, 240),
    cells=190,
    max_faces=24_000,
    origin=(250.0, 610.0, -90.0),
)
_CONCAVE = Recipe(
    "concave",
    "a pavilion with deep inner corners and a dish for a roof, on a post, cut by the border of some pictures",
    targets=("pavilion",),
    neighbours=(5, 5),
    ring=(150.0, 205.0),
    table_radius=260.0,
    table_top=-215.0,
    floating=True,
    ambient=0.55,
    margin=1.12,
    cameras=Rings((18.0, -20.0, 58.0, 0.0, 38.0), distance=4.5, fill=0.46, jitter=0.03, cut_every=4, cut=(0.08, 0.22)),
    views=40,
    size=(400, 300),
    cells=190,
    max_faces=40_000,
    origin=(-310.0, 540.0, 275.0),
)
_ALL = (
    replace(
        _TABLETOP,
        name="sample",
        about="a three-legged jug with a thin handle among toys on a table",
        targets=("jug",),
        neighbours=(5, 5),
        ring=(100.0, 165.0),
        origin=(420.0, -260.0, 135.0),
    ),
    _CONCAVE,
    _TABLETOP,
    replace(
        _TABLETOP,
        name="patchwork",
        about="a robot, trophy, jug, house or beast whose parts have clearly different colours",
        targets=tuple(patchwork.TARGETS),
        origin=(-140.0, 220.0, 310.0),
    ),
    replace(
        _TABLETOP,
        name="touching",
        about="a jug, robot or trophy; its neighbours stand against it",
        neighbours=(2, 3),
        touching=True,
        origin=(90.0, -330.0, 45.0),
    ),
    replace(
        _TABLETOP,
        name="camouflage",
        about="a jug, robot or trophy in the colours of its table",
        like_table=True,
        origin=(-70.0, 130.0, -260.0),
    ),
    replace(
        _TABLETOP,
        name="cropped",
        about="a jug, robot or trophy, cut by the border of every third picture",
        cameras=replace(_AROUND, cut_every=3, cut=(0.1, 0.25)),
        origin=(310.0, 75.0, 190.0),
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
