"""Evaluate a run again, or any mesh.

    python scripts/evaluate.py run=RUN [evaluate.points=FILE.npz] [evaluate.max_views=N] [scene.path=FOLDER]
    python scripts/evaluate.py run=RUN mesh=FILE            another mesh of the same scene
    python scripts/evaluate.py mesh=FILE truth=FILE         two meshes in one frame
    python scripts/evaluate.py mesh=FILE evaluate.points=FILE.npz

`run=RUN` renders the held-out views from the checkpoint, measures RUN/mesh.ply and brings RUN/metrics.json up to date
(what cannot be measured again, such as the time of training, stays). The other forms print, and write `out=FILE`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.runs.after.evaluate import evaluate  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Evaluate, print, and write."""
    paths: dict[str, Path | None] = dict.fromkeys(("run", "mesh", "truth", "out"))
    rest = list(argv)
    for key in paths:
        if any(argument.startswith(f"{key}=") for argument in rest):
            value, rest = pop_argument(rest, key)
            paths[key] = Path(value)
    metrics = evaluate(paths["run"], paths["mesh"], paths["truth"], rest)
    for name, number in metrics.items():
        print(f"{name:<18} {number:.4f}")
    if paths["out"] is not None:
        write_atomic(paths["out"], json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
