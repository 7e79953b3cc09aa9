"""Keys that had another name in earlier versions: run folders and checkpoints of those still hold them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

RENAMED = {"lift.witnesses": "lift.transfer_views", "lift.reach": "lift.geometry_gradient"}  # dotted: earlier, now


def with_present_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as nested dicts, its keys under the names that they have now; the given one stays as it is."""
    result = copy.deepcopy(dict(tree))
    for earlier, now in RENAMED.items():
        *groups, key = earlier.split(".")
        inner: Any = result
        for group in groups:
            inner = inner.get(group) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and key in inner:
            inner[now.rpartition(".")[2]] = inner.pop(key)
    return result
