"""What the benchmark says about its figures: the machine, the ratios and the table."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from nto3d.runs.folder import versions

Row = dict[str, Any]
DOUBLE, JACOBIAN = "torch, double backward", "torch, Jacobian"
PARTS = ("hashgrid", "step", "mesh")  # and "surface", which takes long and is measured only when asked for
SURFACE = "surface"


def machine() -> Row:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    return {"cpu": cpu, "cores": cores, "gpu": gpu, "system": platform.system(), "load": load, "versions": versions()}


def ratios(rows: list[Row]) -> list[Row]:
    """What was gained, and what is asked of it on two cores."""
    found: list[Row] = []

    def time_of(part: str, what: str, size: object, device: str) -> float | None:
        keys = {"part": part, "what": what, "size": size, "device": device}
        return next((row["ms"] for row in rows if keys.items() <= row.items() and "ms" in row), None)

    def add(part: str, slow: str, fast: str, size: object, device: str, needed: float | None) -> None:
        a, b = time_of(part, slow, size, device), time_of(part, fast, size, device)
        if a is not None and b is not None:
            wanted = needed if device == "cpu" else None
            found.append({"what": f"{part} {size} ({device}): {slow} / {fast}", "ratio": a / b, "needed": wanted})

    for device in ("cpu", "cuda"):
        sizes = {part: sorted({row["size"] for row in rows if row["part"] == part}) for part in PARTS}
        for size in sizes["hashgrid"]:
            add("hashgrid", DOUBLE, "warp", size, device, {"2^15": 20.0, "2^19": 6.0}.get(size))
            add("hashgrid", JACOBIAN, "warp", size, device, None)
            add("hashgrid", "warp", "tcnn", size, device, None)
        for size in sizes["step"]:
            add("step", JACOBIAN, "warp", size, device, 4.0)
            add("step", DOUBLE, "warp", size, device, None)
        for size in sizes["mesh"]:
            add("mesh", "dense", "sparse", size, device, 6.0 if size == 512 else None)
    return found


def table(about: Row, rows: list[Row], gains: list[Row]) -> str:
    """Everything that was measured, as text."""
    lines = [f"{about['cpu']}, {about['cores']} cores, GPU: {about['gpu'] or 'none'}, load {about['load']:.1f} before"]
    lines += [", ".join(f"{name} {version}" for name, version in about["versions"].items()), ""]
    lines.append(f"{'part':<9} {'device':<6} {'size':<10} {'what':<24} {'ms':>10} {'peak GB':>8}")
    for row in rows:
        start = f"{row['part']:<9} {row['device']:<6} {row['size']:<10} {row['what']:<24}"
        if "missing" in row:
            lines.append(f"{start} not available: {row['missing']}")
            continue
        details = [f"{key[:-3]} {row[key]:.1f} ms" for key in ("forward_ms", "backward_ms") if key in row]
        details += [f"{row[key]:,} {key}" for key in ("rays", "samples", "faces") if key in row]
        if row["part"] == SURFACE:
            fixed = {"part", "device", "size", "what", "ms", "peak_gb", "train_seconds"}
            details = [f"{key} {value:.4g}" for key, value in row.items() if key not in fixed]
        lines.append(f"{start} {row['ms']:>10,.1f} {row['peak_gb']:>8.2f}  {', '.join(details)}")
    lines.append("")
    for gain in gains:
        asked = f"  (at least {gain['needed']:g})" if gain["needed"] else ""
        lines.append(f"{gain['what']:<60} {gain['ratio']:>8.1f}x{asked}")
    return "\n".join(lines)
