"""The exception that means "the user can fix this" (a single line, exit code 2), and those that stop the work."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Bad input: a file, a config value or a device that cannot be used as given.

    The message is one line that names the file or key, what was expected and what came.
    `nto3d.cli` prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; a checkpoint was saved in `run_dir`, from which it can go on.

    A KeyboardInterrupt, not an Exception, so that nothing between the loop and `nto3d.cli` swallows it
    (a sweep would go on with its next job).
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(f"interrupted; a checkpoint is in {run_dir}")
        self.run_dir = run_dir


class CancelledError(Exception):
    """A callback asked the work to stop; nothing of it is left."""
