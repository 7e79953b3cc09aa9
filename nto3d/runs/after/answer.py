"""The answer to a question to a run's feature field, as files: how alike every vertex is, and pictures of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from nto3d.errors import InputError
from nto3d.export.mesh_io import write_mesh
from nto3d.files import write_arrays
from nto3d.report.pictures import write_png
from nto3d.report.shade import Shading, guess_up, turntable
from nto3d.report.sheet import COLUMNS, captioned, sheet
from nto3d.runs.after.query import Asked, AskedRun, Options, ask, open_asked
from nto3d.stages.features.query import (
    PALETTE,
    colored_mesh,
    heat_picture,
    marked,
    shown_views,
    similarity_range,
    vertex_similarity,
    view_similarity,
)
from nto3d.types import ByteArray, FloatArray


def answer(options: Options, overrides: Sequence[str], say: Callable[[str], None]) -> None:
    """Ask, and write the answer.

    Args:
        overrides: for the run's configuration, keys of RUN_KEYS. say: is told every file, and how alike things are.

    Raises:
        InputError: the run cannot be asked, there is no such view, point or vertex, or a file cannot be written.
    """
    run = open_asked(options, overrides)
    asked = ask(options, run)
    similarity = vertex_similarity(run.model, run.normalized.vertices, asked.feature)
    scale = similarity_range(similarity)
    out = _folder(options)
    colored = colored_mesh(run.mesh, similarity, scale)
    write_mesh(colored, out / "similarity.ply")
    say(str(out / "similarity.ply"))
    _write_numbers(out / "similarity.npz", options, similarity, asked.feature)
    say(str(out / "similarity.npz"))
    tiles = []
    if asked.view is not None and asked.xy is not None:
        picture = marked(run.scene.images[asked.view], asked.xy)
        tiles.append(captioned(picture, f"asked: {asked.title}", options.size))
    for view in options.views or shown_views(len(run.scene.cameras), asked.view):
        picture = _heat(run, asked, view, scale)
        path = out / f"view_{view:03d}.png"
        write_png(path, picture)
        say(str(path))
        tiles.append(captioned(picture, f"view {view}", options.size))
    up = run.world_from_normalized[:3, :3] @ guess_up(run.scene.cameras.cam_to_world) / run.scene.scale
    turns = turntable(colored, COLUMNS, (options.size, options.size), up, Shading.color)
    title = f"{run.scene.name}: similarity to {asked.title} (cosine of features)"
    write_png(out / "query.png", sheet(tiles, turns, scale, PALETTE, title))
    say(str(out / "query.png"))
    ends = f"{float(similarity.min()):.3f} to {float(similarity.max()):.3f}"
    say(f"similarity {ends}, shown from {scale[0]:.3f} to {scale[1]:.3f}")


def _folder(options: Options) -> Path:
    """Where the answer goes, made, and without pictures of another question."""
    out = Path(options.out) if options.out is not None else Path(options.run) / "query"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: cannot make the folder {out}: {error.strerror}") from error
    for earlier in out.glob("view_[0-9]*.png"):
        earlier.unlink()
    return out


def _heat(run: AskedRun, asked: Asked, view: int, scale: tuple[float, float]) -> ByteArray:
    """A view's picture with the heat map, and the asked point where it lies in this view."""
    seen = view_similarity(run.model, run.scene, view, asked.feature, run.dt)
    picture = heat_picture(run.scene.images[view], seen, scale, None if run.masks is None else run.masks[view])
    return marked(picture, asked.xy) if view == asked.view and asked.xy is not None else picture


def _write_numbers(path: Path, options: Options, similarity: FloatArray, feature: Tensor) -> None:
    """Write similarity.npz: what was asked, and the answer [M]."""
    numbers = {"similarity": similarity, "feature": feature.cpu().numpy()}
    for key in ("view", "point", "vertex"):
        if getattr(options, key) is not None:
            numbers[key] = np.asarray(getattr(options, key))
    write_arrays(path, numbers)
