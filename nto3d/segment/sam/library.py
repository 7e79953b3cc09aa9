"""The one place where the `segment-anything` package is imported, in a way that works beside any build of torch.

`import segment_anything` does not work everywhere: the package's `__init__` also imports its automatic mask generator
and its predictor, which need torchvision. The default wheel of torchvision is a CUDA build; beside a CPU build of torch
its import ends with `operator torchvision::nms does not exist`. And installing torchvision for SAM alone would spread
that error, because torchmetrics imports torchvision wherever it is installed.

The network itself, the sub-package `segment_anything.modeling`, needs torch and numpy only, and imports nothing from
its parent. So that sub-package is loaded from the installed package under a name of its own, and the parent's
`__init__` does not run. What the predictor would do (resize, pad, map coordinates) is done in `sam.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from nto3d.errors import InputError

INSTALL = "pip install segment-anything==1.0"
_NAME = "nto3d_segment_anything_modeling"


def sam_modeling() -> Any:
    """The module `segment_anything.modeling`: Sam, ImageEncoderViT, PromptEncoder, MaskDecoder, TwoWayTransformer.

    Raises:
        InputError: the package is not installed, or is not the one expected.
    """
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = importlib.util.find_spec("segment_anything")  # of a package at the top, this imports nothing
    if package is None or not package.submodule_search_locations:
        raise InputError(f"segmenter=sam needs the package segment-anything, which is not installed: {INSTALL}")
    folder = Path(package.submodule_search_locations[0]) / "modeling"
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module  # before it runs: its own relative imports look it up
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        for name in [name for name in sys.modules if name.split(".")[0] == _NAME]:
            del sys.modules[name]
        raise InputError(f"segmenter=sam: cannot load {folder} ({error}); install it with: {INSTALL}") from error
    return module
