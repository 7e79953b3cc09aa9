"""A picture with its name, and the scale of a colour map, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping

from nto3d.report.page.plots import number
from nto3d.report.pictures import data_uri, scale_uri
from nto3d.types import ByteArray

Color = tuple[int, int, int]


def figure(name: str, picture: ByteArray, below: str = "") -> str:
    """A picture uint8 [H, W, 3] under its name, with some HTML below; the name is escaped."""
    name = html.escape(name)
    image = f'<img src="{data_uri(picture)}" alt="{name}" loading="lazy">'
    return f"<figure><figcaption><b>{name}</b></figcaption>{image}{below}</figure>"


def color_key(meanings: Mapping[str, Color]) -> str:
    """What colours (RGB, 0..255) mean, a line each: meaning -> colour. The meanings are escaped; empty without any."""
    lines = "".join(
        f'<div><i style="background:rgb({red},{green},{blue})"></i>{html.escape(meaning)}</div>'
        for meaning, (red, green, blue) in meanings.items()
    )
    return f'<div class="key">{lines}</div>' if lines else ""


def legend(low: float, high: float, palette: int) -> str:
    """A palette of OpenCV as a strip between the values at its ends."""
    strip = f'<img src="{scale_uri(palette)}" alt="scale">'
    return f'<div class="legend"><span>{number(low)}</span>{strip}<span>{number(high)}</span></div>'
