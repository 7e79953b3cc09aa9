"""`python -m nto3d`, the same as `python train.py`."""

import sys

from nto3d.cli import main

if __name__ == "__main__":
    sys.exit(main())
