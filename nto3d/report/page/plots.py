"""Line charts as inline SVG, without a script."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from nto3d.types import FloatArray

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 28
MOST_POINTS = 500


def smoothed(values: FloatArray, share: float = 0.02) -> FloatArray:
    """Exponential moving average [N] over about `share` of the curve, without the bias towards its first value."""
    keep = 1 - 1 / max(1.0, share * len(values))
    result = np.empty(len(values))
    total = weight = 0.0
    for index, value in enumerate(values):
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        result[index] = total / weight
    return result


def line_chart(title: str, steps: FloatArray, values: FloatArray) -> str:
    """An SVG of a curve: the raw values [N] faint, smoothed on top; logarithmic where they span much.

    Values that are not finite are left out.
    """
    steps, values = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values) & np.isfinite(steps)
    steps, values = steps[finite], values[finite]
    if len(values) == 0:
        return _frame(title, '<text x="50%" y="50%" text-anchor="middle">no values</text>', "no values")
    smooth = smoothed(values)
    logarithmic = bool(values.min() > 0 and smooth.max() / smooth.min() > 20)
    low, high = (float(np.percentile(values, 0.5)), float(np.percentile(values, 99.5)))
    low, high = min(low, float(smooth[-1])), max(high, float(smooth[-1]))
    if logarithmic:
        low, high = np.log10(low), np.log10(high)
    margin = 0.05 * (high - low) or max(0.05 * abs(high), 0.05)
    low, high = low - margin, high + margin

    def place(series: FloatArray) -> str:
        every = np.unique(np.linspace(0, len(series) - 1, MOST_POINTS).round().astype(np.int64))
        scaled = (np.log10(np.maximum(series[every], 1e-300)) if logarithmic else series[every]).clip(low, high)
        x = LEFT + (WIDTH - LEFT - RIGHT) * (steps[every] - steps[0]) / max(float(steps[-1] - steps[0]), 1e-12)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - scaled) / (high - low)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    parts = [_vertical_axis(low, high, logarithmic), _horizontal_axis(float(steps[0]), float(steps[-1]))]
    parts.append(f'<polyline class="raw" points="{place(values)}"/>')
    parts.append(f'<polyline class="smooth" points="{place(smooth)}"/>')
    summary = f"{number(float(smooth[-1]))} at the end{', log scale' if logarithmic else ''}"
    return _frame(title, "".join(parts), summary)


def _frame(title: str, content: str, summary: str) -> str:
    label = html.escape(title)
    caption = f"<figcaption><b>{label}</b><span>{html.escape(summary)}</span></figcaption>"
    return (
        f'<figure class="chart">{caption}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{content}</svg></figure>"
    )


def _vertical_axis(low: float, high: float, logarithmic: bool) -> str:
    parts = []
    for tick in _log_ticks(low, high) if logarithmic else _ticks(low, high):
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - tick) / (high - low)
        label = number(10**tick if logarithmic else tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _horizontal_axis(first: float, last: float) -> str:
    if last <= first:
        return ""
    parts = []
    for tick in _ticks(first, last):
        x = LEFT + (WIDTH - LEFT - RIGHT) * (tick - first) / (last - first)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{number(tick)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between `low` and `high`."""
    raw = (high - low) / most
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [float(step * k) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Exponents of round numbers: powers of ten, with 2 and 5 between them where there are few."""
    factors: Sequence[int] = (1,) if high - low > 2 else (1, 2, 5)
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    every = max(1, round((high - low) / 5))
    ticks = [float(decade + np.log10(factor)) for decade in decades if decade % every == 0 for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def number(value: float) -> str:
    """A number in a few digits, thousands parted by commas."""
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2g}"
