"""Copy a scene with another exposure in every picture: python scripts/dev/make_exposure.py --out datasets/exposure.

Each picture gets a gain and an offset: value * gain + offset * 255, rounded and clipped to 0..255.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.trials.exposure import copy_scene  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the copy; 0 when it is written, 2 with one line on stderr when the input is bad."""
    parser = argparse.ArgumentParser(description="Copy a scene with a random gain and offset in every picture.")
    parser.add_argument(
        "--scene", type=Path, default=Path("datasets/sample"), help="folder to copy (default: datasets/sample)"
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other exposures (default: 0)")
    given = parser.parse_args(arguments)
    if given.seed < 0:
        parser.error(f"--seed: expected 0 or more, got {given.seed}")
    try:
        copy_scene(given.scene, given.out, given.seed)
    except (OSError, InputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
