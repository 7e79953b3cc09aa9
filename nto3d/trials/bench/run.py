"""The benchmark as a whole: options, what is measured on which device, the table and the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import torch

from nto3d.config.io import parse_options
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.trials.bench.hashgrid import bench_hashgrid
from nto3d.trials.bench.mesh import bench_mesh
from nto3d.trials.bench.step import bench_step
from nto3d.trials.bench.surface import SCENES, VARIANTS, bench_surface
from nto3d.trials.bench.table import DOUBLE, JACOBIAN, PARTS, SURFACE, Row, machine, ratios, table
from nto3d.trials.bench.timing import apart


@dataclass
class Options:
    """What can be given as key=value."""

    out: str = "runs/bench.json"
    quick: bool = False  # leave out dense extraction at the highest resolution (minutes)
    device: str = "auto"  # auto: the CPU, and CUDA where there is one
    parts: list[str] = field(default_factory=lambda: list(PARTS))
    points: int = 65536
    log2_entries: list[int] = field(default_factory=lambda: [15, 19])
    steps: int = 400  # real training steps before one is timed
    resolutions: list[int] = field(default_factory=lambda: [256, 512])
    scenes: list[str] = field(default_factory=lambda: list(SCENES))  # of the part surface, see bench.surface
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))  # likewise
    train: list[str] = field(default_factory=list)  # likewise: further arguments of train.py


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if options.device != "auto" and not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise InputError(f"device: expected auto, cpu, cuda or cuda:N, got {options.device}")
    for key, given, known in (
        ("parts", options.parts, (*PARTS, SURFACE)),
        ("variants", options.variants, tuple(VARIANTS)),
    ):
        unknown = [name for name in given if name not in known]
        if unknown or not given:
            raise InputError(f"{key}: expected some of {', '.join(known)}, got {unknown or 'none'}")
    if min([options.points, *options.log2_entries, *options.resolutions]) < 1 or options.steps < 0:
        raise InputError("points, log2_entries and resolutions: expected positive numbers")
    return options


def measure(options: Options, device: str, note: Callable[[str], None]) -> list[Row]:
    """All parts on one device.

    Args:
        note: is told of every figure that is there.
    """
    rows: list[Row] = []

    def add(part: str, what: str, size: object, row: Row) -> None:
        rows.append({"part": part, "device": device, "size": size, "what": what, **row})
        note(f"measured {part} {size} {what} ({device})")

    if "hashgrid" in options.parts:
        for bits in options.log2_entries:
            for name in ("warp", "tcnn", DOUBLE, JACOBIAN):
                add("hashgrid", name, f"2^{bits}", apart(bench_hashgrid, name, bits, options.points, device))
    if "step" in options.parts:
        for row in apart(bench_step, ("warp", JACOBIAN, DOUBLE), options.steps, device):
            add("step", row.pop("backend"), "sample", row)
    if "mesh" in options.parts:
        for resolution in options.resolutions:
            for kind in ("sparse", "dense"):
                if kind == "dense" and options.quick and resolution == max(options.resolutions):
                    continue
                row = apart(bench_mesh, kind, resolution, device)
                add("mesh", kind, resolution, {"ms": row["seconds"] * 1e3, **row})
    return rows


def run_bench(options: Options, say: Callable[[str], None], note: Callable[[str], None]) -> None:
    """Measure, say the table, and write the JSON.

    Args:
        say: is told the table, and where the JSON is. note: is told of every figure that is there.

    Raises:
        InputError: a scene of the part surface is unknown, its training failed, or the JSON cannot be written.
    """
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    about = machine()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if options.device != "auto":
        devices = [options.device]
    rows = [row for device in devices for row in measure(options, device, note)]
    if SURFACE in options.parts:
        rows += bench_surface(options.scenes, options.variants, options.train, out.parent / "surface", note)
    gains = ratios(rows)
    say(table(about, rows, gains))
    result = {"date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}", "machine": about, "options": asdict(options)}
    write_atomic(out, json.dumps({**result, "rows": rows, "ratios": gains}, indent=2) + "\n")
    say(f"\nwrote {out}")
