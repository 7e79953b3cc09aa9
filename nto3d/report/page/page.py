"""The report: one HTML file that holds everything it shows and runs no script."""

from __future__ import annotations

import html
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from nto3d.files import write_atomic
from nto3d.report.lift import LiftRound
from nto3d.report.page.features import FeaturePictures, features_section
from nto3d.report.page.figures import Color, color_key, figure, legend
from nto3d.report.page.lift_section import lift_section
from nto3d.report.page.plots import line_chart, number
from nto3d.report.page.style import CSS
from nto3d.report.pictures import (
    DEPTH_MAP,
    ERROR_MAP,
    ViewPictures,
    animation_uri,
    color_map,
    data_uri,
    depth_range,
    error_ceiling,
    normal_picture,
    to_bytes,
)
from nto3d.types import ByteArray, FloatArray

UNITS = {"psnr": "dB", "psnr_mask": "dB"}
_NONE = "\N{EN DASH}"
PACKAGES = ("torch", "numpy", "warp-lang", "PyMCubes")


def write_report(
    path: Path,
    *,
    title: str,
    command: str,
    metrics: Mapping[str, float | str],
    views: Sequence[ViewPictures] = (),
    curves: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    turntables: Mapping[str, Sequence[ByteArray]] | None = None,
    config_yaml: str = "",
    notes: Sequence[str] = (),
    lifts: Mapping[str, Sequence[LiftRound]] | None = None,
    features: Sequence[FeaturePictures] = (),
    inputs: Mapping[str, ByteArray] | None = None,
    keys: Mapping[str, Mapping[str, Color]] | None = None,
) -> None:
    """Write the page; every text in it is escaped.

    Args:
        path: the .html file.
        title: of the page. command: how the run was started.
        metrics: name -> number (shown with four digits) or text.
        views: held-out views, one row each.
        curves: name -> (steps [N], values [N]).
        turntables: name -> frames uint8 [H, W, 3], shown moving and side by side.
        keys: name of a turntable -> what its colours (RGB, 0..255) mean: meaning -> colour.
        config_yaml: the whole configuration, folded in. notes: sentences under the title.
        inputs: name -> picture uint8 [H, W, 3], what a run on a single picture began with.
        lifts: rounds of each lift, by the object's name; "" where it has none.
        features: of held-out views, where there is a feature field.

    Raises:
        InputError: the file cannot be written.
    """
    body = [
        _head(title, command, notes),
        _section("Metrics", _metrics({name: value for name, value in metrics.items() if "." not in name})),
        _section("Objects", _objects(metrics)),
        _section("Input", _inputs(inputs or {})),
        _section("Surface", _turntables(turntables or {}, keys or {})),
        *_lifts(lifts or {}),
        _section("Held-out views", _views(views)),
        _section("Features", features_section(features)),
        _section("Training", _charts(curves or {})),
        _section("Configuration", _config(config_yaml)),
    ]
    write_atomic(path, _page(title, "".join(body)))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>" if content else ""


def _head(title: str, command: str, notes: Sequence[str]) -> str:
    facts = "".join(f"<span>{html.escape(name)} {html.escape(version)}</span>" for name, version in versions().items())
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        f'<header><h1>{html.escape(title)}</h1><pre class="card command">{html.escape(command)}</pre>'
        f'<p class="facts">{facts}</p>{f"<ul class=notes>{listed}</ul>" if listed else ""}</header>'
    )


def _metrics(metrics: Mapping[str, float | str]) -> str:
    cells = []
    for name, value in metrics.items():
        unit = f" <small>{UNITS[name]}</small>" if name in UNITS else ""
        cells.append(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(_number(value))}{unit}</dd></div>")
    return f'<dl class="metrics">{"".join(cells)}</dl>' if cells else ""


def _objects(metrics: Mapping[str, float | str]) -> str:
    """A table of the metrics that belong to named objects, NAME.KEY; empty without any."""
    rows: dict[str, dict[str, str]] = {}
    for name, value in metrics.items():
        owner, dot, key = name.partition(".")
        if dot:
            rows.setdefault(owner, {})[key] = _number(value)
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = "".join(f"<th>{html.escape(key.replace('_', ' '))}</th>" for key in ("object", *keys))
    body = ""
    for owner, row in rows.items():
        cells = "".join(f"<td>{html.escape(row.get(key, _NONE))}</td>" for key in keys)
        body += f"<tr><th>{html.escape(owner)}</th>{cells}</tr>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="card rounds">{table}</div>' if rows else ""


def _inputs(inputs: Mapping[str, ByteArray]) -> str:
    figures = "".join(figure(name, picture) for name, picture in inputs.items())
    return f'<div class="card view"><div class="pictures">{figures}</div></div>' if figures else ""


def _turntables(turntables: Mapping[str, Sequence[ByteArray]], keys: Mapping[str, Mapping[str, Color]]) -> str:
    return "".join(_turntable(name, frames, color_key(keys.get(name, {}))) for name, frames in turntables.items())


def _turntable(name: str, frames: Sequence[ByteArray], key: str) -> str:
    label = html.escape(name)
    sheet = "".join(f'<img src="{data_uri(frame)}" alt="{label}, frame {k}">' for k, frame in enumerate(frames))
    return (
        f'<div class="card turntable"><figure><figcaption><b>{label}</b></figcaption>'
        f'<img src="{animation_uri(frames)}" alt="{label}, turning">{key}</figure>'
        f'<div class="sheet">{sheet}</div></div>'
    )


def _lifts(lifts: Mapping[str, Sequence[LiftRound]]) -> list[str]:
    titles = {name: f"From the click: {name}" if name else "From the click" for name in lifts}
    return [_section(titles[name], lift_section(rounds)) for name, rounds in lifts.items()]


def _views(views: Sequence[ViewPictures]) -> str:
    ceiling = error_ceiling(views)
    return "".join(_view(view, ceiling) for view in views)


def _view(view: ViewPictures, ceiling: float) -> str:
    figures = [figure("truth", to_bytes(view.truth)), figure("render", to_bytes(view.render))]
    if view.normal is not None:
        figures.append(figure("normals", normal_picture(view.normal), "<div class=legend>(n + 1) / 2 as RGB</div>"))
    if view.depth is not None:
        low, high = depth_range(view.depth)
        picture = color_map(view.depth, low, high, DEPTH_MAP, view.depth > 0)
        figures.append(figure("depth", picture, legend(low, high, DEPTH_MAP)))
    picture = color_map(view.error, 0, ceiling, ERROR_MAP)
    figures.append(figure("absolute error", picture, legend(0, ceiling, ERROR_MAP)))
    shown = "".join(
        f"<span>{html.escape(name)} {_number(value)}{' ' + UNITS[name] if name in UNITS else ''}</span>"
        for name, value in view.metrics.items()
    )
    heading = f"<h3>{html.escape(view.name)}{shown}</h3>"
    return f'<div class="card view">{heading}<div class="pictures">{"".join(figures)}</div></div>'


def _charts(curves: Mapping[str, tuple[FloatArray, FloatArray]]) -> str:
    charts = "".join(line_chart(name, steps, values) for name, (steps, values) in curves.items())
    return f'<div class="charts">{charts}</div>' if charts else ""


def _config(config_yaml: str) -> str:
    if not config_yaml:
        return ""
    return f'<details class="card"><summary>all settings</summary><pre>{html.escape(config_yaml)}</pre></details>'


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)
