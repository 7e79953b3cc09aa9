"""A message is one short line, whatever it tells of."""

from __future__ import annotations

import pytest

from nto3d.errors import InputError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a.npz: expected\n  numbers,\tgot none ", "a.npz: expected numbers, got none"),
        ("got \x1b[31mred\x07 and \u202eback", "got \\x1b[31mred\\x07 and \\u202eback"),
        ("got \ud800", "got \\ud800"),
        ("größer als 5 µm, 图片/001.png", "größer als 5 µm, 图片/001.png"),
    ],
)
def test_a_message_is_one_line_that_steers_no_terminal(message: str, shown: str) -> None:
    assert str(InputError(message)) == shown
    assert str(InputError(message)).isprintable()


@pytest.mark.parametrize("letter", ["x", "\x1b"])
def test_what_came_is_cut_where_it_is_long(letter: str) -> None:
    text = str(InputError(f"scene.json: expected a number, got {letter * 100_000} in depth.scale"))
    assert text.startswith("scene.json: expected a number, got ")
    assert text.endswith(" in depth.scale")
    assert " ... " in text
    assert len(text) < 1300
    assert len(str(InputError("y" * 1200))) == 1200
