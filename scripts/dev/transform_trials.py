"""Does the mesh follow? The bundled sample in other frames, names and kinds of files, a run on each, as a table.

    python scripts/dev/transform_trials.py                                          all of it, half an hour
    python scripts/dev/transform_trials.py only=[World,'masks: 0 and 1']            headings, or parts of names
    python scripts/dev/transform_trials.py table=docs/transformed.md [OVERRIDES]    the table as a file

OVERRIDES go to train.py. `out=FOLDER` is where the copies are made, one at a time, in place of a temporary folder. The
exit code is 1 if a row is not as expected.
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
from nto3d.trials.transformed.run import read_options, try_changes  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Try what is asked for, and print the table."""
    options, overrides = read_options(argv)
    command = shlex.join(["python", "scripts/dev/transform_trials.py", *argv])
    found = try_changes(options, overrides, command, say=partial(print, flush=True))
    return int(not all(outcome.holds for some in found.values() for outcome in some))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
