"""Point at the target in one view: writes prompts.json and an overlay of the mask that it gives.

    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y]]
    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y],[x,y]] labels=[1,0] box=[x0,y0,x1,y1]
    python scripts/annotate.py scene=FOLDER view=7 points=[[x,y]] add=true        another view in the same file
    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y]] object=cup add=true    another object in it
    python scripts/annotate.py suggest=true run=RUN [answer=yes]        where a second click would help most
    python scripts/annotate.py ... segmenter=sam checkpoint=sam_vit_b_01ec64.pth
    python scripts/annotate.py ... segmenter=hf model=weights/sam2.1-hiera-tiny

Coordinates are pixels (x, y) of the picture file; label 1 lies on the target, 0 beside it. `out=FILE` (default
SCENE/prompts.json, where train.py looks) is replaced only with `overwrite=true`; `add=true` replaces the frame of this
view and object, and no other one. `overlay=FILE` (default overlay.png) shows the mask, its outline and the prompts.
`downscale=N` segments the picture reduced, as `scene.downscale=N` would.

`suggest=true` shows, over the masks of a run that are in doubt, the place where one more click would tell most.
`answer=yes` (the place is part of the object) or `answer=no` adds that click to those of the run, in the prompts file
that it read or in `out=FILE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.runs.annotate import annotate, read_options, suggest  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Segment, write the file and the overlay, and say where they are."""
    options = read_options(argv)
    (suggest if options.suggest else annotate)(options, say=print)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
