"""Fetch a published checkpoint of Segment Anything to where `segmenter.checkpoint` looks for it.

    python scripts/fetch_weights.py sam_vit_b_01ec64 [folder=FOLDER] [mirror=URL]

Names: sam_vit_b_01ec64 (375 MB), sam_vit_l_0b3195 (1.2 GB), sam_vit_h_4b8939 (2.6 GB), or short vit_b, vit_l, vit_h.
The file goes to `weights/` beside train.py. An interrupted download goes on with the next call; the file gets its name
only when it is whole and the beginning of its SHA-256, which is part of the name, is right. Without network, put the
file there by hand: it needs nothing else. `mirror=URL` fetches URL/NAME.pth instead of Meta's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.segment.sam import published as sam_weights  # noqa: E402
from nto3d.segment.sam.fetch import fetch  # noqa: E402


def main(argv: Sequence[str]) -> None:
    """Fetch the named checkpoint."""
    values = {"folder": str(sam_weights.WEIGHTS_FOLDER), "mirror": sam_weights.MIRROR}
    rest = list(argv)
    for key in values:
        if any(argument.startswith(f"{key}=") for argument in rest):
            values[key], rest = pop_argument(rest, key)
    known = ", ".join(sam_weights.PUBLISHED)
    if len(rest) != 1:
        raise InputError(f"expected one of {known}, got {' '.join(rest) or 'nothing'}")
    name = sam_weights.published_name(rest[0])
    if name is None:
        raise InputError(f"{rest[0]}: unknown, expected one of {known}")
    if not re.match(r"https?://", values["mirror"]):
        raise InputError(f"mirror: expected http://... or https://..., got {values['mirror']}")
    folder, mirror = Path(values["folder"]).expanduser(), values["mirror"].rstrip("/")
    fetch(name, folder, mirror, say=print, warn=partial(print, file=sys.stderr))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
