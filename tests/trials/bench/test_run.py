"""The benchmark as a whole at toy sizes: what it measures comes out in table and JSON; its arguments are checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nto3d.config.io import CONFIG_ERRORS, explain
from nto3d.errors import InputError
from nto3d.trials.bench import run
from nto3d.trials.bench.run import read_options, run_bench


def here(function: Callable[..., Any], *args: Any) -> Any:
    """Instead of `apart`, which takes a process for each part."""
    return function(*args)


def test_a_tiny_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "apart", here)
    out, said, noted = tmp_path / "deep" / "bench.json", list[str](), list[str]()
    sizes = ["points=512", "log2_entries=[8]", "resolutions=[16,24]", "quick=true", "device=cpu"]
    options = read_options([f"out={out}", "parts=[hashgrid,mesh]", *sizes])
    run_bench(options, said.append, noted.append)
    result = json.loads(out.read_text())
    rows = {(row["part"], row["what"], row["size"]): row for row in result["rows"]}
    for key in (("hashgrid", "warp", "2^8"), ("hashgrid", "torch, double backward", "2^8"), ("mesh", "sparse", 24)):
        assert rows[key]["ms"] > 0
        assert rows[key]["peak_gb"] > 0.05
    assert "missing" in rows["hashgrid", "tcnn", "2^8"]
    assert ("mesh", "dense", 24) not in rows  # quick
    assert ("mesh", "dense", 16) in rows
    warp, twin = rows["hashgrid", "warp", "2^8"], rows["hashgrid", "torch, double backward", "2^8"]
    (ratio,) = (gain["ratio"] for gain in result["ratios"] if "double backward / warp" in gain["what"])
    assert ratio == pytest.approx(twin["ms"] / warp["ms"])
    assert result["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert result["options"]["points"] == 512
    table, wrote = said
    assert "double backward" in table
    assert wrote == f"\nwrote {out}"
    assert noted == [f"measured {part} {size} {what} (cpu)" for part, what, size in rows]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("size=3", "unknown key size"),
        ("parts=[grid]", "parts: expected some of"),
        ("parts=[]", "parts: expected some of"),
        ("points=0", "expected positive numbers"),
        ("steps=-1", "expected positive numbers"),
        ("quick=perhaps", "quick"),
        ("device=tpu", "device: expected auto, cpu"),
        ("variants=[nothing]", "variants: expected some of"),
    ],
)
def test_bad_arguments_are_one_line(argument: str, words: str) -> None:
    with pytest.raises((InputError, *CONFIG_ERRORS)) as caught:
        read_options([argument])
    assert words in explain(caught.value)
