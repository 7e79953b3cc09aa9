"""Export a run's mesh again, from its checkpoint; the pictures are not needed.

    python scripts/export_mesh.py run=RUN export.resolution=512 export.format=glb [export.output=FILE]

Writes RUN/mesh.FORMAT, or the file of `export.output`, whose suffix is its format. With RUN/mesh.ply, RUN/mesh.npz is
written, too, and the features of the vertices where there is a feature field. Of a run with named objects,
RUN/mesh_NAME.FORMAT and RUN/mesh.glb are written as well; a GLB holds the objects as named nodes. Other keys:
export.largest_only, export.colors, export.unseen, device, threads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.runs.after.export import export_run  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Export the mesh of a run, and say where it is."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, overrides = pop_argument(argv, "run")
    print(export_run(Path(folder), overrides))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
