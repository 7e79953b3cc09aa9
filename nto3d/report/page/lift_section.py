"""The part of the report that shows how the click became masks of all views."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from nto3d.report.lift import (
    BOX,
    EXTRA,
    HIDDEN,
    MISSING,
    NEGATIVE,
    OUTLINE,
    POSITIVE,
    PRIOR_MAP,
    Color,
    LiftRound,
)
from nto3d.report.pictures import data_uri, scale_uri

QUALITY = 82  # of the pictures, which are many
SHOWN = ("agreement", "iou", "trust")  # beside a round's heading


def lift_section(rounds: Sequence[LiftRound]) -> str:
    """A table of the rounds, a key to the pictures, and a strip of views for each round; empty without rounds.

    The first and the last round are unfolded.
    """
    if not rounds:
        return ""
    pictured = [lift_round for lift_round in rounds if lift_round.pictures]
    key = _key(any(math.isfinite(lift_round.values.get("iou", math.nan)) for lift_round in rounds)) if pictured else ""
    strips = "".join(_strip(lift_round, index in (0, len(pictured) - 1)) for index, lift_round in enumerate(pictured))
    return _table(rounds) + key + strips


def _table(rounds: Sequence[LiftRound]) -> str:
    names = list(dict.fromkeys(name for lift_round in rounds for name in lift_round.values))
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in ("round", *names))
    body = ""
    for lift_round in rounds:
        values = (_value(name, lift_round.values.get(name, math.nan)) for name in names)
        body += f"<tr><th>{lift_round.number}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
    return f'<div class="card rounds"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _value(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.3f}"


def _key(with_truth: bool) -> str:
    """What the colours mean, panel by panel."""
    asked = _mark("disc", POSITIVE, "on the target (a click of yours is larger)") + _mark(
        "cross", NEGATIVE, "beside it"
    )
    asked += _mark("line", BOX, "box") + _mark("line", OUTLINE, "mask")
    answered = _mark("block", HIDDEN, "hidden by something in front")
    if with_truth:
        answered += _mark("block", EXTRA, "not in the given mask") + _mark("block", MISSING, "missing from it")
    scale = f'<span class="scale">0 <img src="{scale_uri(PRIOR_MAP)}" alt="scale"> 1</span>'
    rows = (("left: asked", asked), ("middle: mask", answered), ("right: projection of all views", scale))
    return f'<div class="key">{"".join(f"<p><b>{name}</b>{marks}</p>" for name, marks in rows)}</div>'


def _mark(kind: str, color: Color, text: str) -> str:
    sign = "\N{MULTIPLICATION SIGN}" if kind == "cross" else ""
    return f'<span><i class="{kind}" style="--mark:rgb{color}">{sign}</i>{text}</span>'


def _strip(lift_round: LiftRound, unfolded: bool) -> str:
    facts = "".join(
        f"<span>{name} {_value(name, lift_round.values[name])}</span>"
        for name in SHOWN
        if math.isfinite(lift_round.values.get(name, math.nan))
    )
    title = "the click, propagated to all views" if lift_round.number == 0 else f"round {lift_round.number}"
    figures = ""
    for name, picture in lift_round.pictures.items():
        label = html.escape(name)
        source = data_uri(picture, QUALITY)
        figures += (
            f'<figure><figcaption><b>{label}</b></figcaption><img src="{source}" alt="{label}" loading="lazy"></figure>'
        )
    return (
        f'<details class="card view"{" open" if unfolded else ""}><summary><b>{title}</b>{facts}</summary>'
        f'<div class="strip">{figures}</div></details>'
    )
