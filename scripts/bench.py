"""Measure what the speed rests on: python scripts/bench.py [quick=true] [out=runs/bench.json] [device=cpu].

Prints one table and writes a JSON. Every part runs in a process of its own, so that its peak memory is its own.

- Hash grid: features, the gradient g = J w by position of a scalar made of them (what a normal is), and the backward
  pass of a loss on both, for the gradients of table and w. `torch, double backward` is how it is done in plain torch:
  the gradient by autograd, differentiated again. `torch, Jacobian` is the twin with the Jacobian written out.
- Training step: one whole step of `trainer=fast` on the bundled sample after `steps` real steps, the same batch each.
- Mesh: a sphere of radius 0.5 with texture, in a box of +-0.6, sparse and dense.
- Surface, only with parts=[surface]: whole trainings, with and without each part that makes the surface good.
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
from nto3d.trials.bench.run import read_options, run_bench  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Measure, print the table and write the JSON."""
    run_bench(read_options(argv), say=print, note=partial(print, file=sys.stderr))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
