"""Ratios of what was measured, and the table."""

from __future__ import annotations

from nto3d.trials.bench.table import DOUBLE, JACOBIAN, Row, machine, ratios, table


def row(part: str, what: str, size: object, ms: float, **more: object) -> Row:
    return {"part": part, "device": "cpu", "size": size, "what": what, "ms": ms, "peak_gb": 0.5, **more}


ROWS = [
    row("hashgrid", "warp", "2^15", 2.0, forward_ms=0.5, backward_ms=1.5),
    row("hashgrid", DOUBLE, "2^15", 50.0),
    {"part": "hashgrid", "device": "cpu", "size": "2^15", "what": "tcnn", "missing": "no CUDA"},
    row("step", JACOBIAN, "sample", 900.0),
    row("step", "warp", "sample", 300.0, rays=1024, samples=20000),
    row("surface", "everything", "sample", 1e3, chamfer_relative=0.123456, train_seconds=1.0),
]


def test_ratios_of_what_is_there() -> None:
    found = {gain["what"]: (gain["ratio"], gain["needed"]) for gain in ratios(ROWS)}
    assert found == {
        f"hashgrid 2^15 (cpu): {DOUBLE} / warp": (25.0, 20.0),
        f"step sample (cpu): {JACOBIAN} / warp": (3.0, 4.0),
    }


def test_the_table_has_a_line_for_each() -> None:
    lines = table(machine(), ROWS, ratios(ROWS)).splitlines()
    assert " cores, GPU: " in lines[0]
    assert "torch " in lines[1]
    assert lines[4].split()[:4] == ["hashgrid", "cpu", "2^15", "warp"]
    assert lines[4].endswith("forward 0.5 ms, backward 1.5 ms")
    assert lines[6].endswith("not available: no CUDA")
    assert lines[8].endswith("1,024 rays, 20,000 samples")
    assert lines[9].endswith("chamfer_relative 0.1235")  # the seconds are the milliseconds
    assert lines[-2].endswith("25.0x  (at least 20)")
