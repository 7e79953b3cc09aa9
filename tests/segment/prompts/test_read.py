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

SIZE = (47, 64)  # divisible by none of the reductions below


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts")
    write_dtu_scene(path, 3, SIZE)
    return path


@pytest.fixture(scope="module")
def scene(folder: Path) -> Scene:
    return read_dtu(folder)


def click(**values: object) -> PromptsConfig:
    return PromptsConfig(**{"view": 0, **values})  # type: ignore[arg-type]


def from_text(text: str, folder: Path, scene: Scene, tmp_path: Path) -> tuple[Prompts, ...]:
    file = tmp_path / "clicks.json"
    file.write_text(text, encoding="utf-8")
    return read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)


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


FRAME = '{"index": 0, "point": [[3, 4]], "label": [1]}'


def named(*names: object) -> str:
    """A frame of each name, in a view of its own."""
    return json.dumps({"frames": [{"index": n, "point": [[3, 4]], "object": name} for n, name in enumerate(names)]})


BAD_FILES = {
    "not json": ("clicks", r"clicks\.json: expected prompts as JSON, it is malformed"),
    "cut short": ('{"frames": [' + FRAME, r"malformed"),
    "empty": ("", r"malformed"),
    "too deep": ("[" * 100_000, r"malformed"),
    "a list": ("[1]", r'expected \{"frames": \[\.\.\.\]\} and no other key, got \[1\]'),
    "another key": ('{"frames": [' + FRAME + '], "version": 1}', r"no other key, got .*version"),
    "no frames": ('{"frames": []}', r"frames: expected a list with at least one frame, got \[\]"),
    "frames no list": ('{"frames": 3}', r"frames: expected a list .*got 3"),
    "frame no object": ('{"frames": [' + FRAME + ", 7]}", r"frames\[1\]: expected an object .*got 7"),
    "no index": ('{"frames": [{"point": [[3, 4]], "label": [1]}]}', r"frames\[0\]\.index is missing"),
    "index a string": ('{"frames": [{"index": "0", "point": [[3, 4]]}]}', r"frames\[0\]\.index: expected .*got '0'"),
    "index a bool": ('{"frames": [{"index": true, "point": [[3, 4]]}]}', r"frames\[0\]\.index: .*got True"),
    "index no whole number": ('{"frames": [{"index": 0.0, "point": [[3, 4]]}]}', r"frames\[0\]\.index: .*got 0\.0"),
    "no such view": ('{"frames": [{"index": 3, "point": [[3, 4]]}]}', r"\[0\]\.index: .*from 0 to 2, got 3"),
    "negative view": ('{"frames": [{"index": -1, "point": [[3, 4]]}]}', r"\[0\]\.index: .*from 0 to 2, got -1"),
    "a view twice": ('{"frames": [' + FRAME + ", " + FRAME + "]}", r"\[1\]\.index: .*once, got 0 again"),
    "unknown key": ('{"frames": [{"index": 0, "points": [[3, 4]]}]}', r"frames\[0\]\.points: unknown key, .*point"),
    "no point": ('{"frames": [{"index": 0}]}', r"frames\[0\]\.point is missing"),
    "point null": ('{"frames": [{"index": 0, "point": null}]}', r"frames\[0\]\.point: expected a value, got null"),
    "points empty": ('{"frames": [{"index": 0, "point": []}]}', r"frames\[0\]\.point: .*got \[\]"),
    "point flat": ('{"frames": [{"index": 0, "point": [3, 4]}]}', r"frames\[0\]\.point\[0\]: expected \[x, y\], got 3"),
    "three numbers": ('{"frames": [{"index": 0, "point": [[3, 4, 5]]}]}', r"point\[0\]: .*got \[3, 4, 5\]"),
    "nested": ('{"frames": [{"index": 0, "point": [[[3], [4]]]}]}', r"point\[0\]: expected numbers.*got \[3\]"),
    "NaN": ('{"frames": [{"index": 0, "point": [[NaN, 4]]}]}', r"point\[0\]: expected numbers .*got nan"),
    "infinite": ('{"frames": [{"index": 0, "point": [[3, -Infinity]]}]}', r"point\[0\]: .*got -inf"),
    "huge": ('{"frames": [{"index": 0, "point": [[3, 1' + "0" * 400 + "]]}]}", r"point\[0\]: expected numbers"),
    "a string": ('{"frames": [{"index": 0, "point": [["3", 4]]}]}', r"point\[0\]: .*got '3'"),
    "a bool": ('{"frames": [{"index": 0, "point": [[true, 4]]}]}', r"point\[0\]: .*got True"),
    "outside": (
        '{"frames": [{"index": 0, "point": [[3, 4], [64, 4]]}]}',
        r"point\[1\]: .*64 x 47.*got \[64\.0, 4",
    ),
    "label no list": ('{"frames": [{"index": 0, "point": [[3, 4]], "label": 1}]}', r"\.label: expected .*got 1"),
    "too few labels": ('{"frames": [{"index": 0, "point": [[3, 4]], "label": []}]}', r"\.label: .*1 points, got 0"),
    "label 2": ('{"frames": [{"index": 0, "point": [[3, 4]], "label": [2]}]}', r"label\[0\]: expected 1 .*got 2"),
    "label bool": ('{"frames": [{"index": 0, "point": [[3, 4]], "label": [true]}]}', r"label\[0\]: .*got True"),
    "label 1.0": ('{"frames": [{"index": 0, "point": [[3, 4]], "label": [1.0]}]}', r"label\[0\]: .*got 1\.0"),
    "all negative": (
        '{"frames": [{"index": 0, "point": [[3, 4]], "label": [0]}]}',
        r"\.label: .*at least one 1.*\[0",
    ),
    "1 and 0 on one pixel": (
        '{"frames": [{"index": 0, "point": [[3, 4], [3.2, 4]], "label": [1, 0]}]}',
        r"point\[1\]: expected points of label 0 beside",
    ),
    "a name with a dot": (named("a.b"), r"frames\[0\]\.object: expected a name of letters.*'a\.b'"),
    "a name that is a path": (named("cup", "../a"), r"frames\[1\]\.object: expected a name"),
    "a name with a space": (named("a b"), r"object: expected a name"),
    "a name with a line": (named("a\n"), r"object: expected a name"),
    "no name": (named(""), r"object: expected a name .*got ''"),
    "a long name": (named("a" * 65), r"at most 64 characters"),
    "a name of many bytes": (named("\U00020000" * 64), r"object: expected a name"),
    "a name null": (named(None), r"frames\[0\]\.object: expected a value, got null"),
    "a name a number": (named(3), r"object: expected a name .*got 3"),
    "a view twice of one object": (
        named("cup", "cup").replace('"index": 1', '"index": 0'),
        r"frames\[1\]\.index: expected each view once of cup, got 0 again",
    ),
    "names that differ in case": (
        named("cup", "Cup"),
        r"frames\[1\]\.object: expected names that differ in more than their case, got Cup beside cup",
    ),
    "a name that frames without one have": (
        named("jug", "Object").replace('{"frames": [', '{"frames": [{"index": 2, "point": [[5, 4]]}, '),
        r"frames\[2\]\.object: expected another name than Object beside frames without one, .*called object",
    ),
    "a name that frames without one have, first": (
        named("object").replace("}]}", '}, {"index": 2, "point": [[5, 4]]}]}'),
        r"frames\[0\]\.object: expected another name than object beside frames without one",
    ),
    "box of three": ('{"frames": [{"index": 0, "box": [1, 2, 3]}]}', r"\.box: expected \[x0, y0, x1, y1\], got"),
    "box turned": ('{"frames": [{"index": 0, "box": [30, 2, 3, 40]}]}', r"\.box: .*x0 < x1 and y0 < y1, got"),
    "box outside": ('{"frames": [{"index": 0, "box": [3, 2, 30, 90]}]}', r"\.box: .*inside the picture of 64 x 47"),
    "box of strings": ('{"frames": [{"index": 0, "box": [1, 2, "3", 4]}]}', r"\.box\[2\]: .*got '3'"),
    "click beside the box": (
        '{"frames": [{"index": 0, "point": [[3, 4]], "box": [10, 10, 20, 20]}]}',
        r"point\[0\]: expected points of label 1 in the box, got \[3\.0, 4\.0\]",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_one_line_that_names_the_place(case: str, folder: Path, scene: Scene, tmp_path: Path) -> None:
    text, words = BAD_FILES[case]
    with pytest.raises(InputError, match=words) as caught:
        from_text(text, folder, scene, tmp_path)
    assert "clicks.json" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"view": None, "points": [[3, 4]]}, r"prompts\.view is missing: .*prompts\.points belongs to"),
        ({"view": 1}, r"prompts\.points is missing: .*view 1"),
        ({"labels": [1]}, r"prompts\.points is missing"),
        ({"view": 9, "points": [[3, 4]]}, r"prompts\.view: expected a view from 0 to 2, got 9"),
        ({"points": [[3, 4]], "labels": [0]}, r"prompts\.labels: expected at least one 1"),
        ({"points": [[3, 4, 5]]}, r"prompts\.points\[0\]: expected \[x, y\]"),
        ({"points": [[float("nan"), 5]]}, r"prompts\.points\[0\]: expected numbers"),
        ({"box": [1, 1, 1.5, 9]}, r"prompts\.box: .*x0 < x1"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(
    values: dict[str, object], words: str, folder: Path, scene: Scene
) -> None:
    with pytest.raises(InputError, match=words):
        read_prompts(click(**values), folder, scene, 1)


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


def test_a_file_that_cannot_be_read_or_written(folder: Path, scene: Scene, tmp_path: Path) -> None:
    for file in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(InputError, match=rf"{file}: expected a prompts file, it cannot be read"):
            read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json: expected prompts as JSON"):
        read_prompts(PromptsConfig(file=str(tmp_path / "bytes.json")), folder, scene, 1)
    with pytest.raises(InputError, match="cannot write"):
        write_prompts(tmp_path / "gone" / "clicks.json", {None: [Prompts(0, np.ones((1, 2)), np.array([1]))]})
