"""Train, export and evaluate: `python train.py scene=dtu scene.path=FOLDER`; `--help` shows every group and key."""

import sys

from nto3d.cli import main

if __name__ == "__main__":
    sys.exit(main())
