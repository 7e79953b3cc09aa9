"""How well does an MCC complete objects that it has not seen? Measured on procedural ones.

    python scripts/evaluate_mcc.py weights=FILE [objects=50] [granularity=0.05] [thresholds=[0.3]] [first=1000000]
                                   [extent=3.0] [cache=FOLDER] [picture=FILE.png] [pictured=10]
                                   [calibrated=FILE.safetensors]

Prints means over the objects, one line a threshold: F-score, precision and recall at 0.1, of the seen points alone, and
the share of the unseen surface that was found (all in the network's unit, Wu et al. 2023, section 4). `picture` shows
the first `pictured` objects: what the network saw, its mesh and the true one, from the camera and from behind.
`calibrated` instead writes the network with its answers shifted so that the first threshold is the best on the objects,
as `mode=train_mcc` does at its end; then choose others with `first` than those that are measured with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.trials.mcc import evaluate_mcc, read_options  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Measure, print, and draw where asked."""
    evaluate_mcc(read_options(argv), say=print)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
