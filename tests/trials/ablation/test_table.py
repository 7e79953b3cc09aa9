"""What the table says of two sets of numbers."""

from __future__ import annotations

import pytest

from nto3d.trials.ablation.table import comparison, number, table_row, verdict


@pytest.mark.parametrize(
    ("metric", "first", "second", "expected"),
    [
        ("psnr", [1.0, 3.0], [2.0, 6.0], "within the spread"),  # 2 against the larger of 1.41 and 2.83
        ("psnr", [1.0, 1.0], [2.0, 2.0], "better"),
        ("psnr", [2.0, 2.0], [1.0, 1.0], "worse"),
        ("chamfer", [2.0, 2.0], [1.0, 1.0], "better"),
        ("psnr", [1.0, 1.0], [1.0, 1.0], "within the spread"),
        ("psnr", [1.0, 1.0], [float("nan"), 2.0], ""),
        ("psnr", [1.0], [2.0, 2.0], "one seed"),
        ("psnr", [], [2.0, 2.0], ""),
        ("feature_constant", [1.0, 1.0], [2.0, 2.0], ""),
    ],
)
def test_verdicts(metric: str, first: list[float], second: list[float], expected: str) -> None:
    assert verdict(metric, first, second) == expected


def test_numbers_have_four_digits_of_the_larger_one() -> None:
    assert [number(value, value) for value in (0.001234567, 0.5, 12.3456, 123456.0)] == [
        *("0.001235", "0.5000", "12.35", "123456")
    ]
    assert number(float("inf"), 1.0) == "inf"
    assert table_row("chamfer", [float("inf"), 1.0], [0.0, 0.0]).startswith("| chamfer ↓ | inf | 0.000")


def test_rows_stand_in_the_order_of_what_matters() -> None:
    runs = [[{"zebra": 1.0, "train_seconds": 2.0, "psnr": 3.0}], [{"chamfer": 1.0, "psnr": 4.0}]]
    head, _, *rows = comparison(["a", "b"], runs)
    assert head == "| | a | b | difference | b is |"
    assert [row.split(" ")[1] for row in rows] == ["psnr", "chamfer", "train_seconds", "zebra"]
