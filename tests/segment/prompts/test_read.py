"""Prompts of the configuration and of files, in pixels of the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.config.schema import PromptsConfig
from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.segment.prompts.file import write_prompts
from nto3d.segment.prompts.read import ObjectPrompts, beside, read_objects, read_prompts, read_unreduced, refusing
from nto3d.types import Prompts, Scene
from tests.helpers import write_dtu_scene
from tests.segment.prompts.conftest import SIZE, click, from_text


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_a_click_stays_on_what_was_clicked(tmp_path: Path, factor: int) -> None:
    """One block of pixels is white: a click on any of them lands on the one white pixel of the reduced picture."""
    write_dtu_scene(tmp_path, 3, SIZE)
    row, column = 6 * factor, 8 * factor
    image = np.zeros((*SIZE, 3), np.uint8)
    image[row : row + factor, column : column + factor] = 255
    Image.fromarray(image).save(tmp_path / "image" / "001.png")
    scene = read_dtu(tmp_path, downscale=factor)
    white = np.argwhere(scene.images[1, :, :, 0] == 255)
    assert white.tolist() == [[6, 8]]
    corners = [[column, row], [column + factor - 1, row], [column, row + factor - 1]]
    (prompts,) = read_prompts(click(view=1, points=corners), tmp_path, scene, factor)
    assert (np.rint(prompts.points) == [8, 6]).all()
    # The block's centre is the centre of the reduced pixel, exactly
    middle = [[column + (factor - 1) / 2, row + (factor - 1) / 2]]
    (prompts,) = read_prompts(click(view=1, points=middle), tmp_path, scene, factor)
    np.testing.assert_allclose(prompts.points, [[8, 6]], atol=1e-12)


def test_a_box_is_mapped_like_points_and_ends_in_the_picture(folder: Path) -> None:
    scene = read_dtu(folder, downscale=5)  # 12 x 9 of 64 x 47
    (prompts,) = read_prompts(click(box=[9.5, 4.5, 64.0, 47.0]), folder, scene, 5)
    assert prompts.box is not None
    np.testing.assert_allclose(prompts.box, [1.5, 0.5, 11.5, 8.5])
    assert len(prompts.points) == 0


def test_the_whole_file_can_be_clicked_whatever_the_reduction(folder: Path) -> None:
    """The reduction crops the last columns: they are in the file all the same, and one further is not."""
    for factor in (1, 3, 5):
        scene = read_dtu(folder, downscale=factor)
        height, width = scene.cameras.size
        (prompts,) = read_prompts(click(points=[[63, 46], [0, 0]]), folder, scene, factor)
        pixels = np.rint(prompts.points)
        assert ((pixels >= 0) & (pixels < [width, height])).all()
        assert pixels[0].tolist() == [width - 1, height - 1]
        for outside in ([64, 3], [3, 47], [-1, 3], [3, -0.6]):
            with pytest.raises(InputError, match=r"prompts\.points\[1\]: .*inside the picture of 64 x 47 pixels, got"):
                read_prompts(click(points=[[3, 3], outside]), folder, scene, factor)


def test_labels_default_to_the_target(folder: Path, scene: Scene) -> None:
    (prompts,) = read_prompts(click(points=[[3, 4], [5.5, 6]]), folder, scene, 1)
    assert prompts.labels.tolist() == [1, 1]
    (prompts,) = read_prompts(click(points=[[3, 4], [5.5, 6]], labels=[0, 1]), folder, scene, 1)
    assert prompts.labels.tolist() == [0, 1]
    assert prompts.points.tolist() == [[3, 4], [5.5, 6]]


def test_files_hold_several_views(folder: Path, scene: Scene, tmp_path: Path) -> None:
    points = np.array([[30.0, 20.0], [1.25, 2.0]])
    later = Prompts(2, points, np.array([1, 0]), box=np.array([10.0, 5.0, 50.5, 40.0]))
    earlier = Prompts(0, points[:1], np.array([1]))
    write_prompts(tmp_path / "clicks.json", {None: [later, earlier]})
    first, second = read_unreduced(PromptsConfig(file=str(tmp_path / "clicks.json")), folder, scene, 1)[None]
    assert (first.view, second.view) == (0, 2)
    assert first.box is None
    assert second.box is not None
    assert second.box.tolist() == [10.0, 5.0, 50.5, 40.0]
    assert second.points.tolist() == points.tolist()
    assert second.labels.tolist() == [1, 0]
    frame = json.loads((tmp_path / "clicks.json").read_text())["frames"][1]
    assert frame == {"index": 0, "point": [[30, 20]], "label": [1]}


def test_the_scene_s_own_file_is_the_default(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path, 3, SIZE)
    scene = read_dtu(tmp_path)
    with pytest.raises(InputError) as caught:
        read_prompts(PromptsConfig(), tmp_path, scene, 1)
    for word in (str(tmp_path / "prompts.json"), "prompts.points=[[x,y]]", "scripts/annotate.py", "\n"):
        assert (word in str(caught.value)) is (word != "\n")
    # A byte order mark, as some editors leave it
    (tmp_path / "prompts.json").write_text('\ufeff{"frames": [{"index": 1, "point": [[5, 6]], "label": [1]}]}')
    (prompts,) = read_prompts(PromptsConfig(), tmp_path, scene, 1)
    assert (prompts.view, prompts.points.tolist()) == (1, [[5, 6]])
    # The command line wins over the default file, and contradicts one that is named
    (prompts,) = read_prompts(click(points=[[7, 8]]), tmp_path, scene, 1)
    assert prompts.points.tolist() == [[7, 8]]
    with pytest.raises(InputError, match=r"prompts\.view: cannot be given together with prompts\.file=other\.json"):
        read_prompts(click(points=[[7, 8]], file="other.json"), tmp_path, scene, 1)


def test_a_frame_may_say_no_more_than_what_is_no_part_of_it(folder: Path, scene: Scene, tmp_path: Path) -> None:
    text = '{"frames": [{"index": 2, "point": [[3, 4]], "label": [0]}, {"index": 0, "point": [[5, 6]]}]}'
    first, second = from_text(text, folder, scene, tmp_path)
    assert (first.view, first.targeted, second.view, second.targeted) == (0, True, 2, False)
    alone = '{"frames": [{"index": 2, "point": [[3, 4]], "label": [0]}, {"index": 0, "point": [[5, 6]], "label": [0]}]}'
    with pytest.raises(InputError, match=r"frames\[0\]\.label: expected at least one 1"):
        from_text(alone, folder, scene, tmp_path)


def test_frames_name_objects(folder: Path, scene: Scene, tmp_path: Path) -> None:
    """Each has its views, in the order in which the names come; what has no name beside them is called object."""
    file = tmp_path / "clicks.json"
    frames = [(2, "Becher_1", [3, 4]), (1, "tee-kanne", [5, 4]), (0, "Becher_1", [6, 4]), (2, None, [7, 4])]
    listed = [
        {"index": view, "point": [point], **({} if name is None else {"object": name})} for view, name, point in frames
    ]
    file.write_text(json.dumps({"frames": listed}))
    objects = read_objects(PromptsConfig(file=str(file)), folder, scene, 1)
    assert list(objects) == ["Becher_1", "tee-kanne", "object"]
    assert [prompts.view for prompts in objects["Becher_1"]] == [0, 2]
    assert objects["object"][0].points.tolist() == [[7, 4]]
    with pytest.raises(InputError, match=r"clicks\.json: expected one object, got Becher_1, tee-kanne, object"):
        read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)
    file.write_text(json.dumps({"frames": listed[:1]}))
    assert list(read_objects(PromptsConfig(file=str(file)), folder, scene, 1)) == ["Becher_1"]
    assert len(read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)) == 1
    file.write_text(json.dumps({"frames": listed[3:]}))
    assert list(read_objects(PromptsConfig(file=str(file)), folder, scene, 1)) == [None]


def test_names_have_letters_of_all_languages_in_one_form(folder: Path, scene: Scene, tmp_path: Path) -> None:
    for name, stored in (("\u8336\u58f6", "\u8336\u58f6"), ("caf\u00e9", "caf\u00e9"), ("cafe\u0301", "caf\u00e9")):
        objects = read_unreduced_from({"index": 0, "point": [[3, 4]], "object": name}, folder, scene, tmp_path)
        assert list(objects) == [stored]
    prompts = Prompts(1, np.array([[3.0, 4.0]]), np.array([1]))
    other = Prompts(2, prompts.points, prompts.labels)
    write_prompts(tmp_path / "clicks.json", {"\u8336": [prompts], "cup": [other]})
    again = read_unreduced(PromptsConfig(file=str(tmp_path / "clicks.json")), folder, scene, 1)
    assert list(again) == ["\u8336", "cup"]


def read_unreduced_from(frame: dict[str, object], folder: Path, scene: Scene, tmp_path: Path) -> ObjectPrompts:
    (tmp_path / "one.json").write_text(json.dumps({"frames": [frame]}))
    return read_unreduced(PromptsConfig(file=str(tmp_path / "one.json")), folder, scene, 1)


def test_a_click_on_one_object_is_a_negative_one_of_the_others() -> None:
    cup = Prompts(0, np.array([[3.0, 4.0], [9.0, 9.0]]), np.array([1, 0]))
    jug = Prompts(0, np.array([[20.0, 4.0], [3.2, 4.1], [9.0, 9.0], [5.0, 5.0]]), np.array([1, 1, 1, 0]))
    elsewhere = Prompts(1, np.array([[30.0, 4.0]]), np.array([1]))
    boxed = Prompts(2, np.zeros((0, 2)), np.zeros(0, np.int64), box=np.array([0.0, 0.0, 5.0, 5.0]))
    others = beside({"cup": [cup], "jug": [jug, elsewhere, boxed]}, "cup")
    assert [some.view for some in others] == [0, 1]  # a box points at no place
    assert all((some.labels == 0).all() for some in others)
    found = refusing(cup, others)
    assert found.points.tolist() == [[3, 4], [9, 9], [20, 4]]  # not where it would contradict, or say nothing new
    assert found.labels.tolist() == [1, 0, 0]
    assert refusing(cup, beside({"cup": [cup]}, "cup")) is cup
