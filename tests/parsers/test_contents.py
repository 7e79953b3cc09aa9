"""Descriptions of contents: what they let in, and the line about the first thing that they do not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nto3d.errors import InputError
from nto3d.parsers.contents import (
    Flag,
    Items,
    Kind,
    Maybe,
    Plain,
    Real,
    Record,
    Table,
    Text,
    Whole,
    check_contents,
    shown,
)
from nto3d.training.contents import Array

FILE = Path("a.json")
PAIR = Record({"a": Array(None, ("N", 2)), "b": Array(torch.uint8, ("N",), 0, 1)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Whole(0, 3), 3),
        (Real(), -2),
        (Real(0.5, 2.0, besides=(0.0,)), 0.0),
        (Real(finite=False), math.nan),
        (Text(("x", "y")), "y"),
        (Flag(), False),
        (Maybe(Whole()), None),
        (Items(Whole(), 2, 2), (1, 2)),
        (Table(Real()), {"x": 1.0, "y": 2}),
        (Record({"x": Whole()}, {"y": Flag()}), {"x": 1, "z": object()}),
        (Plain(), {"x": [1, None, {"y": "z"}]}),
        (PAIR, {"a": torch.zeros(4, 2), "b": torch.ones(4, dtype=torch.uint8)}),
    ],
)
def test_what_fits_passes(kind: Kind, value: Any) -> None:
    check_contents(kind, value, FILE)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Whole(0, 3), 4, "x: expected a whole number, 0 to 3, got 4"),
        (Whole(), True, "x: expected a whole number, .*, got True"),
        (Whole(), 1.0, "x: expected a whole number, .*, got 1.0"),
        (Whole(), 10**5000, "x: expected a whole number, .*, got a number of 16610 bits"),
        (Real(), "1.5", "x: expected a finite number, got '1.5'"),
        (Real(), math.nan, "x: expected a finite number, got nan"),
        (Real(), 10**400, "x: expected a finite number, got a number of 1329 bits"),
        (Real(0.0, 1.0), 1.5, "x: expected a number, 0 to 1, got 1.5"),
        (Real(1.0), math.inf, "x: expected a finite number from 1, got inf"),
        (Text(("x", "y")), None, "x: expected one of x, y, got None"),
        (Text(), ["a"] * 1000, "x: expected a string, got a list of 1000"),
        (Flag(), 1, "x: expected true or false, got 1"),
        (Items(Whole(), 2, 2), [1], "x: expected a list of 2, got a list of 1"),
        (Items(Whole()), [1, "a\nb"], r"x\[1\]: expected a whole number, .*, got 'a\\nb'"),
        (Table(Flag()), {1: True}, "x: expected a dict with strings for keys, got 1"),
        (Record({"y": Flag()}), {}, "x: expected the keys y; y is missing"),
        (Plain(), [torch.zeros(2)], r"x\[0\]: expected a number, a string, .*, got float32 \[2\]"),
        (Array(torch.float32, (2, None)), torch.zeros(3, 1), r"x: expected float32 \[2, any\], got float32 \[3, 1\]"),
        (Array(None, ()), torch.tensor(math.inf), "x: expected finite numbers, got inf"),
        (Array(), torch.zeros(1).expand(9), "x: expected a tensor of its own numbers"),
        (
            PAIR,
            {"a": torch.zeros(4, 2), "b": torch.ones(3, dtype=torch.uint8)},
            r"x\.b: expected uint8 \[4\], got uint8 \[3\]",
        ),
        (
            PAIR,
            {"a": torch.zeros(1, 2), "b": torch.tensor([7], dtype=torch.uint8)},
            r"x\.b: expected numbers from 0 to 1, got 7 to 7",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_first_contradiction_is_one_line(kind: Kind, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^a\.json: {words}") as caught:
        check_contents(Record({"x": kind}), {"x": value}, FILE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_values_are_shown_short() -> None:
    assert shown("a" * 1000) == "'" + "a" * 36 + "..."
    assert shown({"a": [1] * 10**6}) == "a dict of 1"
    assert shown(object()) == "object"
