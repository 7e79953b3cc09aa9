"""The library transformers, imported on first use and in a way that works beside any build of torch."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nto3d.errors import InputError
from nto3d.parsers.contents import MismatchError, mismatch

INSTALL = "pip install transformers==5.23.0"
MOST_LAYERS, MOST_SIZE, MOST_DEPTH = 1024, 1 << 24, 32  # in the configuration of a network
_COUNTS_LAYERS = re.compile(r"^(?!max_|min_).*(layers|depths?|blocks\w*)$")


def import_transformers(who: str) -> Any:
    """The library.

    Args:
        who: what needs it, the start of an error's line.

    Raises:
        InputError: it is not installed, or cannot be imported.
    """
    hide_broken_torchvision()
    try:
        return importlib.import_module("transformers")
    except (ImportError, OSError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "transformers"
        what = "which is not installed" if missing else f"which cannot be imported ({reason(error)})"
        raise InputError(f"{who} need the package transformers, {what}: {INSTALL}") from error


def hide_broken_torchvision() -> None:
    """Makes a torchvision that is installed but cannot be imported count as not installed, in this process.

    Its default wheel is built for CUDA; beside a CPU build of torch its import ends with `operator torchvision::nms
    does not exist`, and transformers, which only asks whether it is installed, fails with it. Nothing here needs it.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name == "torchvision":
            return
        _hide_torchvision()
    except (ImportError, OSError, RuntimeError):
        _hide_torchvision()


def _hide_torchvision() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # to Python: there is no such module


@contextmanager
def quiet(logging: Any, bars: bool) -> Iterator[None]:
    """No warnings of transformers meanwhile, and no progress bars unless `bars` (a download shows them).

    Args:
        logging: `transformers.utils.logging`.
    """
    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def check_sizes(config: object, key: str = "config") -> None:
    """Whether a network's configuration asks for no more layers than any network has, and for no huge sizes.

    Args:
        config: what config.json holds.

    Raises:
        MismatchError: it does, or it is nested deeper than a configuration.
    """
    if key.count(".") > MOST_DEPTH:
        raise MismatchError(f"{key[:40]}...: expected a configuration nested at most {MOST_DEPTH} deep, got more")
    if isinstance(config, Mapping):
        for name, value in config.items():
            check_sizes(value, f"{key}.{str(name)[:40]}")
    elif isinstance(config, list | tuple):
        for value in config:
            check_sizes(value, f"{key}." if isinstance(value, list | tuple | Mapping) else key)
    elif isinstance(config, int) and not isinstance(config, bool):
        most = MOST_LAYERS if _COUNTS_LAYERS.search(key.rpartition(".")[2]) else MOST_SIZE
        if abs(config) > most:
            raise mismatch(key, f"at most {most}", config)


def reason(error: BaseException) -> str:
    """The first line of an error, short."""
    line = (str(error).strip().splitlines() or [""])[0]
    return line[:160] or type(error).__name__
