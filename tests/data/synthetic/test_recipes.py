"""Scenes for `lift_trials.py trials=objects`: many-coloured targets, touching neighbours, the table's colours."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.data.synthetic import arrange, build_scene
from nto3d.data.synthetic.plans import RECIPES
from nto3d.data.synthetic.recipes import SyntheticScene
from nto3d.data.synthetic.solids import objects, patchwork
from nto3d.types import FloatArray

SIZE = (80, 60)


def mean_colours(scene: SyntheticScene) -> dict[int, FloatArray]:
    """Mean colour of the ground truth's vertices, 0..255, by material."""
    colours = scene.rays.colors(scene.painted, scene.target).astype(float)
    return {int(material): colours[scene.painted == material].mean(axis=0) for material in np.unique(scene.painted)}


@pytest.mark.parametrize("seed", range(len(patchwork.TARGETS)))
def test_the_parts_of_a_patchwork_have_clearly_different_colours(seed: int) -> None:
    scene = build_scene("patchwork", seed, views=2, size=SIZE)
    means = list(mean_colours(scene).values())
    assert len(means) >= 3
    for number, one in enumerate(means):
        for other in means[:number]:
            assert np.linalg.norm(one - other) > 40.0
    # Each part is in sight, and rendered as what it is
    shot = scene.rays.render(scene.views[0])
    inside = shot.color[shot.object == 0].astype(float)
    spread = inside.std(axis=0).max()
    assert spread > 25.0


def test_other_recipes_have_one_material() -> None:
    scene = build_scene("tabletop", 3, views=1, size=SIZE)
    assert (scene.painted == 0).all()


def test_touching_neighbours_touch_without_overlap() -> None:
    plan = RECIPES["touching"]
    rng = np.random.default_rng(5)
    target = objects.jug(rng)
    neighbours = arrange.arrange(plan, target, rng)
    assert len(neighbours) >= 2
    for item in neighbours:
        low, high = np.array(item.low), np.array(item.high)
        axes = [np.linspace(low[k], high[k], 60) for k in range(3)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        inside = places[item.sdf(places) < 0.0]
        gap = float(target.sdf(inside).min())
        assert -0.2 < gap < 3.0  # millimetres; the points are 1.5 apart


def test_a_camouflaged_target_has_the_colours_of_the_table() -> None:
    scene = build_scene("camouflage", 1, views=2, size=(160, 120))
    shot = scene.rays.render(scene.views[1])
    table = len(scene.names) - 1
    mean = {index: shot.color[shot.object == index].astype(float).mean(axis=0) for index in (0, table)}
    hue = {index: value / value.sum() for index, value in mean.items()}
    assert np.abs(hue[0] - hue[table]).max() < 0.03
    other = build_scene("tabletop", 1, views=2, size=(160, 120))
    shot = other.rays.render(other.views[1])
    warm = shot.color[shot.object == 0].astype(float).mean(axis=0)
    assert np.abs(warm / warm.sum() - hue[table]).max() > 0.06


def test_a_cropped_target_leaves_some_pictures() -> None:
    scene = build_scene("cropped", 0, views=6, size=(160, 120))
    cut = 0
    for view in scene.views:
        mask = scene.rays.render(view).object == 0
        cut += bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
    assert cut == 2
