"""What a recording of rerun holds, read back."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest


def entities(path: Path, timeline: str) -> dict[str, list[int | None]]:
    """Entity -> numbers of the timeline at which something is known of it; None: always, -9: not on this timeline."""
    reader = pytest.importorskip("rerun.chunk").RrdReader
    found: dict[str, list[int | None]] = defaultdict(list)
    for chunk in reader(path).stream().to_chunks():
        rows = [None if chunk.is_static else -9] * chunk.num_rows
        batch = chunk.to_record_batch()
        if timeline in batch.schema.names:
            rows = batch.column(timeline).to_pylist()
        found[chunk.entity_path] += rows
    return {name: sorted(rows, key=lambda row: -1 if row is None else row) for name, rows in found.items()}
