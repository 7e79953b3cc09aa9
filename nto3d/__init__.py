"""From posed pictures and one click to a mesh of the clicked object.

    scene = nto3d.load_scene("datasets/sample")
    fit = nto3d.fit_scene(scene)
    masks = nto3d.lift(scene, fit, nto3d.click(0, (158, 133)))
    model = nto3d.reconstruct(scene, masks, progress=print)
    model.mesh(resolution=256).save("object.glb")

What each does: `nto3d.api`. Everything is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nto3d.api import (
        Callback,
        Click,
        Config,
        Masks,
        Model,
        ObjectMesh,
        Progress,
        Prompts,
        RenderedView,
        Scene,
        SceneFit,
        click,
        complete,
        configure,
        fit_scene,
        lift,
        load_scene,
        reconstruct,
    )
    from nto3d.errors import CancelledError, InputError

__version__ = "0.1.0"
__all__ = [
    "Callback",
    "CancelledError",
    "Click",
    "Config",
    "InputError",
    "Masks",
    "Model",
    "ObjectMesh",
    "Progress",
    "Prompts",
    "RenderedView",
    "Scene",
    "SceneFit",
    "click",
    "complete",
    "configure",
    "fit_scene",
    "lift",
    "load_scene",
    "reconstruct",
]


if not TYPE_CHECKING:  # a name that does not exist is found by type checkers

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module("nto3d.errors" if name.endswith("Error") else "nto3d.api")
        return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
