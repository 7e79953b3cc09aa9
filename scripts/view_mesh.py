"""Pictures of a mesh in one PNG: python scripts/view_mesh.py mesh=FILE [out=mesh.png] [frames=4] [size=360].

The pictures stand side by side: a turntable, or with `scene=FOLDER view=N` the view of that camera. `up=[x,y,z]` (or
`scene=FOLDER`) says which way is up; shading: clay, flat, color, normals.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from nto3d.cli import guarded  # noqa: E402
from nto3d.report.pictures import write_png  # noqa: E402
from nto3d.runs.after.mesh_view import mesh_pictures, read_options  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Write the pictures side by side, and say where they are."""
    options = read_options(argv)
    write_png(Path(options.out), np.concatenate(mesh_pictures(options), axis=1))
    print(options.out)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
