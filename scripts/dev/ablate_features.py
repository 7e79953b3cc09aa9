"""Does the feature field help? The same trainings with and without it, several seeds, as a table.

    python scripts/dev/ablate_features.py                                                         the bundled sample
    python scripts/dev/ablate_features.py scene=dtu scene.path=FOLDER scene.downscale=2 evaluate.points=FILE.npz
                                                                  the sample, then that scene (sample=false: it alone)
    python scripts/dev/ablate_features.py seeds=[0,1,2] fields=[neus,neus_feature] out=FOLDER table=FILE.md [OVERRIDES]

OVERRIDES go to train.py as they are, for both fields; `scene=`, `scene.*`, `prompts.*` and `evaluate.points=` are the
given scene's and do not reach the sample beside it. `logger=none`, `evaluate.report=false` and `segmenter=precomputed`
unless they are given: so both fields train on the same masks, those in the scene's folder. OUT is runs/ablation.

Every training is a process of its own, one at a time, the fields in turn for each seed, in OUT/SCENE/FIELD/seed_N. What
is finished there with the same settings is not run again: the same command goes on after an interruption. A training
that was interrupted begins anew, so that its seconds and memory are those of a whole one. After each training
OUT/results.json (every number) and the table (default OUT/table.md) are brought up to date. Mean ± sample standard
deviation over the seeds; a difference counts if it is larger than the larger of the two deviations.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.trials.ablation.plan import read_options  # noqa: E402
from nto3d.trials.ablation.run import ablate  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Train what is not trained yet, and print the table."""
    options, overrides = read_options(argv)
    command = shlex.join(["python", "scripts/dev/ablate_features.py", *argv])
    ablate(options, overrides, command, say=partial(print, flush=True))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
