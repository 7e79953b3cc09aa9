"""Damage of trees: JSON, YAML, and what torch saves, whose values become others of every kind."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from tests.fuzz.mutate.raw import NUMBERS

DEPTHS = (2, 40, 70, 1000, 5000, 30_000)
TEXTS = (
    *("", " ", "a", "null", "nan", "1e999", "-0", "${seed}", "${oc.env:HOME}", "${folder_name:a}", "???", "../..", "/"),
    *(
        "\0",
        "\n",
        "a\nb",
        "\u202e",
        "\ud800",
        "\U0001f600",
        "é" * 100,
        "x" * 5000,
        "%s%n",
        "{}",
        "[",
        "'",
        '"',
        "=",
        "~",
    ),
    *("٣", "²", "1_000", "0x10", "1" * 5000, "Infinity", "<b>", "*a", "&a", "!!python/object:os.system"),
)


def some_value(rng: Random) -> Any:
    """A value of any kind that JSON or YAML can hold."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice((1, -1)) * rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice((float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 0.5, 1e-300, 1e300, -1e9, 10**400))
    if kind in (3, 4):
        return rng.choice(TEXTS)
    if kind == 5:
        return [some_value(rng) for _ in range(rng.choice((0, 1, 2, 3, 4, 16)))]
    if kind == 6:
        return {str(rng.choice(TEXTS)): some_value(rng) for _ in range(rng.choice((0, 1, 2)))}
    return rng.choice(([[]], [[[1]]], [{}], {"a": {}}, [0] * 3000))


def places(tree: Any) -> list[tuple[Any, Any]]:
    """All (container, key) of a tree of dicts and lists."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            waiting.append(node[key])
    return found


def copied(tree: Any) -> Any:
    """The tree with containers of its own; tuples become lists, dicts of other kinds dicts."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list | tuple) else tree


def changed(rng: Random, tree: Any, replace: Any = None) -> Any:
    """The tree with one to three values replaced, removed, renamed, wrapped or exchanged.

    Args:
        replace: (generator, old value) -> a new one; by default of any kind.
    """
    tree = {"": copied(tree)}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = places(tree)
        node, key = rng.choice(found)
        kind = rng.randrange(10)
        if kind < 5:
            node[key] = some_value(rng) if replace is None else replace(rng, node[key])
        elif kind == 5 and (key != "" or len(node) > 1):
            del node[key]
        elif kind == 6 and isinstance(node, dict) and key != "":
            node[rng.choice((*TEXTS, *(str(name) for name in node)))] = node.pop(key)
        elif kind == 7:
            node[key] = rng.choice(([node[key]], {"a": node[key]}, [copied(node[key]) for _ in range(3)]))
        elif kind == 8:
            other, its = rng.choice(found)
            node[key] = copied(other.get(its) if isinstance(other, dict) else other[its] if its < len(other) else None)
        elif isinstance(node[key], int | float) and not isinstance(node[key], bool):
            node[key] = rng.choice((-node[key], node[key] + 1, node[key] - 1, str(node[key]), float(node[key])))
    return tree.get("")


def json_tree(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """JSON with other values, or nested deep."""
    if rng.random() < 0.03:
        depth = rng.choice(DEPTHS)
        return rng.choice((b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
    tree = changed(rng, json.loads(content))
    if rng.random() < 0.05:
        return json.dumps(tree, indent=1).encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    return json.dumps(tree, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


def yaml_tree(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """YAML with other values, nested deep, or with anchors, tags and several documents."""
    kind = rng.random()
    if kind < 0.03:
        depth = rng.choice(DEPTHS)
        return rng.choice((b"[" * depth, b"{a: " * depth + b"1" + b"}" * depth, b"- " * depth, b"? " * depth))
    if kind < 0.08:
        lines = content.split(b"\n")
        extra = (b"a: &a [1]", b"b: *a", b"<<: {a: 1}", b"---", b"? [1]: 2", b"- 1", b"a: !!binary aa", b"%YAML 9.9")
        more = (b"seed: !!int x", b"a: !!timestamp 2001-99-99", b"a: 2001-01-01", b"a: !!set {b}", b"seed: 1:2:3:4")
        lines.insert(rng.randrange(len(lines)), rng.choice(extra + more))
        return b"\n".join(lines)
    tree = changed(rng, yaml.safe_load(content))
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def other_tensor(rng: Random, old: Any) -> Any:
    """Another tensor in the place of one, or another value of any kind."""
    if not isinstance(old, Tensor) or rng.random() < 0.2:
        return some_value(rng)
    kind = rng.randrange(6)
    if kind == 0:
        return old.to(rng.choice((torch.float64, torch.float16, torch.int64, torch.bool, torch.uint8, torch.complex64)))
    if kind == 1:
        shape = [rng.choice((0, 1, 2, 3, 7, side, side + 1)) for side in old.shape[:3]]
        return torch.zeros(shape, dtype=old.dtype)
    if kind == 2:
        return old.reshape(-1) if rng.random() < 0.5 else old[None]
    if kind == 3 and old.is_floating_point():
        return torch.full_like(old, rng.choice((float("nan"), float("inf"), 1e30, 0.0)))
    if kind == 4:
        return torch.zeros(1, dtype=old.dtype).expand(
            rng.choice(((1 << 20,), (1000, 1000, 100), tuple(old.shape) or (1,)))
        )
    noise = np.frombuffer(rng.randbytes(max(1, old.numel())), dtype=np.uint8)[: old.numel()]
    return torch.from_numpy(noise.copy()).reshape(old.shape).to(old.dtype)


def torch_tree(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """What torch saved with other values and tensors, saved again."""
    tree = torch.load(io.BytesIO(content), weights_only=True)
    buffer = io.BytesIO()
    torch.save(changed(rng, tree, other_tensor), buffer)
    return buffer.getvalue()
