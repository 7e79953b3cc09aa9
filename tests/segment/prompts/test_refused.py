"""Prompts that are refused: one line that names the place in the file, or the key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nto3d.config.schema import PromptsConfig
from nto3d.errors import InputError
from nto3d.segment.prompts.file import write_prompts
from nto3d.segment.prompts.read import read_prompts
from nto3d.types import Prompts, Scene
from tests.segment.prompts.conftest import click, from_text

FRAME = '{"index": 0, "point": [[3, 4]], "label": [1]}'


def named(*names: object) -> str:
    """A frame of each name, in a view of its own."""
    return json.dumps({"frames": [{"index": n, "point": [[3, 4]], "object": name} for n, name in enumerate(names)]})


BAD_FILES = {
    "not json": ("clicks", r"clicks\.json: expected prompts as JSON, it is damaged"),
    "cut short": ('{"frames": [' + FRAME, r"(damaged|empty)"),
    "empty": ("", r"(damaged|empty)"),
    "too deep": ("[" * 100_000, r"(damaged|empty)"),
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


def test_a_file_that_cannot_be_read_or_written(folder: Path, scene: Scene, tmp_path: Path) -> None:
    for file in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(
            InputError, match=rf"{file}: expected prompts as JSON, (there is no such file|it is no plain file)"
        ):
            read_prompts(PromptsConfig(file=str(file)), folder, scene, 1)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json: expected prompts as JSON"):
        read_prompts(PromptsConfig(file=str(tmp_path / "bytes.json")), folder, scene, 1)
    with pytest.raises(InputError, match="cannot write"):
        write_prompts(tmp_path / "gone" / "clicks.json", {None: [Prompts(0, np.ones((1, 2)), np.array([1]))]})
