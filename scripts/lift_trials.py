"""Try the lift where the truth is known: other clicks, damaged first masks, fewer rounds, fewer kinds of prompts.

    python scripts/lift_trials.py trials=clicks [count=10] [seed=0] [scene=...] [OVERRIDES]
    python scripts/lift_trials.py trials=damage [scene=dtu scene.path=FOLDER scene.downscale=2] [OVERRIDES]
    python scripts/lift_trials.py trials=rounds [OVERRIDES]
    python scripts/lift_trials.py trials=objects [recipes=[patchwork,touching]] [count=5] [seed=0] [second=true] ...

`clicks`: random clicks inside the target in random training views. `damage`: the first mask with a fifth cut away, with
a foreign patch, spilt over its outline. `rounds`: the click projected once (`lift.max_rounds=0`) against all rounds,
with points, points and box, and everything as prompts. `objects`: a random click each on the targets of `count` scenes
of every recipe, which are made first: many-coloured ones, some that touch their neighbours, some in the colours of the
table, some cut by the picture's border. The scene needs masks to compare with; they are used for nothing else. Geometry
is fitted once a scene. `second=true` tries results that are in doubt again, with the click that they ask for, answered
from the true masks. Prints a table; `out=FOLDER` keeps the scenes, masks, rounds and a trials.csv.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.trials.lift.run import read_options, try_lift  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Run the trials that the command line names."""
    options, overrides = read_options(argv)
    try_lift(options, overrides, say=partial(print, flush=True))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
