"""Extracting a mesh, sparse and dense."""

from __future__ import annotations

import time
from typing import Any

import torch

from nto3d.build.device import build_device
from nto3d.config.schema import Config, EncodingConfig, FieldConfig
from nto3d.export.surface import extract_dense, extract_surface
from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid.grid import HashGrid, HashGridSpec
from nto3d.trials.bench.table import Row
from nto3d.trials.bench.timing import memory, peak_gb


def textured_sphere(device: torch.device) -> SdfField:
    """A field of the default size that looks like a trained one: relief on every scale that it resolves."""
    encoding, sizes = EncodingConfig(), FieldConfig()
    spec = HashGridSpec(
        encoding.levels, encoding.features, encoding.log2_entries, encoding.base_resolution, encoding.max_resolution
    )
    grid = HashGrid(spec, "warp")
    sdf = SdfField(grid, hidden=sizes.hidden, layers=sizes.layers, radius=0.5)
    with torch.no_grad():
        for level, scale in enumerate(spec.scales):
            grid.table[spec.offsets[level] : spec.offsets[level + 1]].uniform_(-0.1 / scale, 0.1 / scale)
    return sdf.to(device)


def bench_mesh(kind: str, resolution: int, device_name: str) -> Row:
    """Time and memory of extracting a mesh, once."""
    device = build_device(Config(output="", device=device_name))
    sdf = textured_sphere(device)
    extract = {"sparse": extract_surface, "dense": extract_dense}[kind]
    box: dict[str, Any] = {"lower": [-0.6] * 3, "upper": [0.6] * 3, "device": device}
    extract(sdf.sdf, resolution=32, **box)  # compiles the kernels
    before = peak_gb()
    started = time.perf_counter()
    mesh = extract(sdf.sdf, resolution=resolution, **box)
    took = time.perf_counter() - started
    return {"seconds": took, "faces": len(mesh.faces), "peak_before_gb": before, **memory(device)}
