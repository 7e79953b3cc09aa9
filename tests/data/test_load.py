from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nto3d.config.schema import MaskUse, Reader, SceneConfig, SegmenterName
from nto3d.data import synthetic
from nto3d.data.load import load_scene
from nto3d.data.splits import split
from nto3d.errors import InputError
from nto3d.geometry.cameras import unproject
from tests.helpers import write_dtu_scene


def test_dtu_with_all_its_settings(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path, size=(24, 32))
    scene = load_scene(SceneConfig(path=str(tmp_path), name="ball", downscale=2, test_views=[3]))
    assert scene.name == "ball"
    assert scene.images.shape == (6, 12, 16, 3)
    assert scene.test == (3,)
    assert scene.masks is not None
    assert scene.masks.shape == (6, 12, 16)
    assert abs(scene.masks.mean() - written.masks.mean()) < 0.05


def test_masks_are_needed_only_where_they_are_used(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path, masks=False)
    with pytest.raises(InputError, match=r"pass scene\.masks=none"):
        load_scene(SceneConfig(path=str(tmp_path)))
    assert load_scene(SceneConfig(path=str(tmp_path), masks=MaskUse.none)).masks is None
    assert load_scene(SceneConfig(path=str(tmp_path)), SegmenterName.grabcut).masks is None


def test_masks_that_are_there_are_read_to_measure_with(tmp_path: Path) -> None:
    written = write_dtu_scene(tmp_path)
    masks = load_scene(SceneConfig(path=str(tmp_path)), SegmenterName.sam).masks
    assert masks is not None
    assert (masks == written.masks).all()


def test_a_procedural_scene_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int]] = []

    def make(recipe: str, seed: int, out: Path) -> None:
        made.append((recipe, seed))
        write_dtu_scene(out)
        (out / "scene.json").write_text(json.dumps({"recipe": recipe, "seed": seed}))

    monkeypatch.setattr(synthetic, "make_scene", make)
    config = SceneConfig(reader=Reader.synthetic, path=str(tmp_path / "new"), recipe="ball", seed=3)
    first, second = load_scene(config), load_scene(config)
    assert made == [("ball", 3)]
    assert np.array_equal(first.images, second.images)
    config.seed = 4
    with pytest.raises(InputError, match="procedural scene ball with seed 4, got ball with seed 3"):
        load_scene(config)


def test_an_ordinary_folder_is_no_procedural_scene(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    with pytest.raises(InputError, match=r"scene\.json: .*pass scene\.reader=dtu"):
        load_scene(SceneConfig(reader=Reader.synthetic, path=str(tmp_path)))


def test_a_scene_of_the_generator_is_read(tmp_path: Path) -> None:
    """What the generator writes and what the reader expects fit: the depths lie on the true surface."""
    synthetic.make_scene("sample", 0, tmp_path / "made", views=3, size=(80, 60))
    config = SceneConfig(reader=Reader.synthetic, path=str(tmp_path / "made"), test_views=[])
    scene = load_scene(config)
    assert scene.images.shape == (3, 60, 80, 3)
    assert scene.masks is not None
    assert scene.depths is not None
    assert scene.gt_mesh is not None
    y, x = np.nonzero(scene.masks[1])
    points = unproject(
        scene.cameras.intrinsics[1], scene.cameras.cam_to_world[1], np.column_stack([x, y]), scene.depths[1][y, x]
    )
    world = points @ scene.world_from_normalized[:3, :3].T + scene.world_from_normalized[:3, 3]
    surface = trimesh.Trimesh(scene.gt_mesh.vertices, scene.gt_mesh.faces, process=False)
    samples, _ = trimesh.sample.sample_surface(surface, 100_000, seed=0)
    distance = trimesh.proximity.cKDTree(samples).query(world)[0]
    assert np.median(distance) < 0.01 * scene.scale
    assert np.quantile(distance, 0.99) < 0.03 * scene.scale


@pytest.mark.parametrize(
    ("views", "test"),
    [
        (49, (8, 13, 16, 21, 26, 31, 34)),
        (64, (8, 13, 16, 21, 26, 31, 34, 56)),
        (24, (4, 12, 20)),
        (4, ()),
        (5, (4,)),
    ],
)
def test_default_split(views: int, test: tuple[int, ...]) -> None:
    train, held_out = split(views, None)
    assert held_out == test
    assert sorted(train + held_out) == list(range(views))
    assert 0 in train


def test_chosen_split_is_sorted_and_without_doubles() -> None:
    assert split(5, [3, 1, 3]) == ((0, 2, 4), (1, 3))
