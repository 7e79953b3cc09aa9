"""A run in one picture: python scripts/dev/make_figure.py run=RUN [view=N] [out=RUN/figure.jpg] [scene.path=FOLDER].

Side by side, of one view (a held-out one by default): the picture, the mask, what the model renders, its normals, and
the shaded mesh seen by the same camera.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.report.pictures import write_picture  # noqa: E402
from nto3d.runs.after.figure import run_figure  # noqa: E402

QUALITY = 90


def main(argv: Sequence[str]) -> None:
    """Write the picture, and say where it is."""
    run, rest = pop_argument(argv, "run")
    view, out = None, Path(run) / "figure.jpg"
    if any(argument.startswith("view=") for argument in rest):
        text, rest = pop_argument(rest, "view")
        if not text.isdecimal():
            raise InputError(f"view: expected a number, got {text}")
        view = int(text)
    if any(argument.startswith("out=") for argument in rest):
        text, rest = pop_argument(rest, "out")
        out = Path(text)
    if out.suffix.lower() not in (".jpg", ".png"):
        raise InputError(f"out: expected a file ending in .jpg or .png, got {out}")
    write_picture(out, run_figure(Path(run), rest, view), QUALITY)
    print(out)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
