"""Ask a run's feature field: where is the object like this point?

    python scripts/query_features.py run=RUN view=I 'point=[x,y]'
    python scripts/query_features.py run=RUN vertex=N          a vertex of RUN/mesh.ply

The run was trained with field=neus_feature. The point is in pixels (x, y) of the picture file as it lies on disk,
whatever the run's scene.downscale, as in prompts; integers are pixel centres. What is asked for is the feature that the
field renders there; the answer is its cosine with the features of every vertex, and of every pixel of some views.

Writes into `out=FOLDER` (default RUN/query): similarity.ply, the mesh with vertices coloured by similarity;
similarity.npz (similarity float32 [M], feature [C], and view and point, or vertex); view_%03d.png, the pictures with a
heat map on the target; query.png, all of it on one sheet, pictures `size=N` pixels wide (default 360). `views=[...]`
chooses the pictures: by default the asked view and five others, spread evenly over all. Other keys: scene.path, device,
threads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.runs.after.answer import answer  # noqa: E402
from nto3d.runs.after.query import read_options  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Ask, write the answer, and say where it is."""
    options, overrides = read_options(argv)
    answer(options, overrides, say=print)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
