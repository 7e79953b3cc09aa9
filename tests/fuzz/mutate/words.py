"""Damage of key=value arguments, one a line."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate.raw import NUMBERS, damage
from tests.fuzz.mutate.trees import TEXTS

_VALUES = (
    *("null", "true", "[]", "{}", "[1,2]", "{a:1}", "[[1,2],[3]]", "nan", "inf", "-inf", "1e999", "1,2", "range(1,3)"),
    *(
        "choice(a,b)",
        "glob(*)",
        "sort(3,1)",
        "shuffle(1,2)",
        "interval(0,1)",
        "int('3')",
        "float('x')",
        "str([1])",
        "tag(a,1)",
    ),
    *(
        "${seed}",
        "${oc.env:X}",
        "${now:%Y}",
        "${hydra:job}",
        "${scene.path}${scene.path}",
        "???",
        "'",
        '"a',
        "[",
        "{a",
        "a=b",
    ),
    *("\\", "$", "${", "${${seed}}", "[" * 60, "[" * 3000, "extend_list(1)", "a" * 5000, "'a b'", "@", "::", "~"),
)
_KEYS = (
    *(
        "+a",
        "++seed",
        "~seed",
        "seed",
        "scene",
        "scene.path",
        "trainer",
        "trainer.steps",
        "hydra.run.dir",
        "hydra.mode",
    ),
    *(
        "prompts.points",
        "prompts.view",
        "field",
        "a.b.c",
        "scene@x",
        "experiment",
        "output",
        "resume",
        "",
        ".",
        "scene.",
        "0",
    ),
    *(
        "evaluate.max_views",
        "lift.rounds",
        "export.formats",
        "device",
        "mode",
        "depth",
        "single.checkpoint",
        "-m",
        "--cfg",
    ),
)


def words(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Arguments with other keys and values."""
    lines = content.split(b"\n")
    for _ in range(rng.choice((1, 1, 1, 2))):
        place = rng.randrange(len(lines))
        key, _, value = lines[place].partition(b"=")
        kind = rng.randrange(7)
        if kind < 3:
            texts = (rng.choice(_VALUES), rng.choice(TEXTS), str(rng.choice((1, -1)) * rng.choice(NUMBERS)))
            value = rng.choice(texts).encode("utf-8", "surrogateescape" if kind else "replace")
        elif kind == 3:
            key = rng.choice(_KEYS).encode()
        elif kind == 4:
            value = damage(rng, value, others)
        elif kind == 5:
            lines.append(rng.choice(others))
        else:
            key = damage(rng, key, others)
        lines[place] = key + b"=" + value
    return b"\n".join(lines)
