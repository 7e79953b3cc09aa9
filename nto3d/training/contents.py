"""What a checkpoint holds: a description for each stage, with which it is compared before anything of it is used.

What depends on the run (the names and shapes of a model's tensors) is compared in `training.restore`, before it is
loaded. Values of other types, tensors of other shapes, NaN: all of it is one line that names the file and the key.

Letters: V training views, G cells along an axis, N points, S views of the scene, h w reduced pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nto3d.parsers.contents import (
    Anything,
    Flag,
    Items,
    Kind,
    Maybe,
    MismatchError,
    Plain,
    Real,
    Record,
    Sizes,
    Table,
    Text,
    Whole,
    check_contents,
    mismatch,
    named,
)
from nto3d.parsers.tensors import check_whole

RECONSTRUCT_STAGE, TRAIN_MCC_STAGE = "reconstruct", "train_mcc"
# There is no target yet: in the midst of the scene stage of a lift, and after it
SCENE_STAGE, LIFT_STAGE = "scene", "lift"
BEFORE_TARGET = (SCENE_STAGE, LIFT_STAGE)
EXTRA = "_extra_state"  # how torch calls what a module keeps besides tensors


@dataclass(frozen=True)
class Array:
    """A tensor of finite numbers.

    Attributes:
        dtype: of it; None: any. shape: lengths of its axes, letters for those that other tensors share, None for any;
            or None: any shape. least, most: of its numbers.
    """

    dtype: torch.dtype | None = None
    shape: tuple[int | str | None, ...] | None = None
    least: float | None = None
    most: float | None = None

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `parsers.contents.Kind`."""
        if not isinstance(value, Tensor) or (self.dtype is not None and value.dtype != self.dtype):
            raise mismatch(key, self._words(sizes), value)
        if self.shape is not None:
            if value.ndim != len(self.shape):
                raise mismatch(key, self._words(sizes), value)
            for expected, length in zip(self.shape, value.shape, strict=True):
                wanted = sizes.setdefault(expected, length) if isinstance(expected, str) else expected
                if wanted is not None and wanted != length:
                    raise mismatch(key, self._words(sizes), value)
        check_numbers(value, key, self.least, self.most)

    def _words(self, sizes: Sizes) -> str:
        kind = "a tensor" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        if self.shape is None:
            return kind
        sides = [sizes.get(side, side) if isinstance(side, str) else side for side in self.shape]
        return f"{kind} [{', '.join('any' if side is None else str(side) for side in sides)}]"


def check_numbers(value: Tensor, key: str, least: float | None = None, most: float | None = None) -> None:
    """Whether all numbers of a tensor are finite, and in a range.

    Raises:
        MismatchError: they are not.
    """
    try:
        check_whole(value)
    except ValueError as error:
        raise MismatchError(f"{key}: expected a tensor of its own numbers, got {error}") from error
    if not value.numel():
        return
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        first = value.flatten()[~torch.isfinite(value.flatten())][0]
        raise mismatch(key, "finite numbers", first.item())
    if (least is not None and float(value.min()) < least) or (most is not None and float(value.max()) > most):
        ends = f"{'' if least is None else f' from {least:g}'}{'' if most is None else f' to {most:g}'}"
        raise MismatchError(f"{key}: expected numbers{ends}, got {float(value.min()):g} to {float(value.max()):g}")


@dataclass(frozen=True)
class Module:
    """A state dict: tensors by name, and what modules keep besides.

    Attributes:
        special: names whose values are described more closely. needed: names that have to be there.
        together: names of which all are there, or none.
    """

    special: Mapping[str, Kind]
    needed: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()

    def check(self, value: object, key: str, sizes: Sizes) -> None:
        """See `parsers.contents.Kind`."""
        items = named(value, key)
        for names in (self.needed, *(group for group in self.together if set(group) & set(items))):
            for name in names:
                if name not in items:
                    raise MismatchError(f"{key}: expected {', '.join(names)}; {name} is missing")
        for name, item in items.items():
            kind = self.special.get(name) or (Table(Real()) if name.endswith(EXTRA) else Array())
            kind.check(item, f"{key}.{name}", sizes)


_SIGHT = Record(  # export.visibility
    {
        "intrinsics": Array(torch.float64, ("V", 3, 3)),
        "cam_to_world": Array(torch.float64, ("V", 3, 4)),
        "size": Items(Whole(1, 1 << 15), 2, 2),
    },
    {"shown": Array(torch.uint8, (None,))},
)
_OBJECTS = Record(  # stages.objects
    {
        "labels": Maybe(Record({"count": Whole(1, 255), "nearest": Array(torch.uint8, (None,))})),
        "sights": Table(_SIGHT),
    }
)
_POINTS: dict[str, Kind] = {name: Array(torch.float32, ("N", 3)) for name in ("positions", "normals", "towards")}
_STEREO = Record(  # stages.reconstruct.stereo_points
    {
        **_POINTS,
        "confidence": Array(torch.float32, ("N",), 0.0, 1.0),
        "weight": Real(0.0),
        "steps": Whole(),
        "seed": Whole(),
    }
)
_OBJECTIVE = Record(  # stages.reconstruct.objective; a ray counts as one sample at least
    {
        "samples_per_ray": Real(1.0, 1e7),
        "crisp": Flag(),
        "start": Maybe(Array(torch.float32, ("start", "start", "start"))),
    },
    {"stereo": Maybe(_STEREO)},
)
_SCALE: dict[str, Kind] = {  # torch.amp.GradScaler, empty where there is none
    "scale": Real(0.0),
    "growth_factor": Real(1.0),
    "backoff_factor": Real(0.0, 1.0),
    "growth_interval": Whole(1),
    "_growth_tracker": Whole(),
}
_SURFACE = Module(  # stages.model; the sharpness of a guide is that of a field, times 0.6, or 0 before the first
    {
        "grid.hull": Array(torch.uint8, ("G", "G", "G"), 0, 1),
        "grid.cells": Array(torch.uint8, ("G", "G", "G"), 0, 1),
        f"grid.{EXTRA}": Record({"sharpness": Real(0.6, 1e5, besides=(0.0,))}),
        "viewpoints": Array(torch.float32, ("V", 3)),
        "features.out.bias": Array(torch.float32, ("C",)),
        "features.out.weight": Array(torch.float32, ("C", None)),
        "exposure.start_gain": Array(torch.float32, ("S", 3), 1e-6),
        "exposure.start_offset": Array(torch.float32, ("S", 3)),
        "exposure.train_views": Array(torch.bool, ("S",)),
    },
    needed=("grid.hull", "viewpoints"),
    together=(
        ("features.out.bias", "features.out.weight"),
        ("exposure.start_gain", "exposure.start_offset", "exposure.train_views"),
    ),
)
_RANDOM = Record(
    {
        "torch": Array(torch.uint8, tuple(torch.get_rng_state().shape)),
        "cuda": Items(Array(torch.uint8, (None,)), most=64),
        "named": Table(Anything()),  # compared with the generators that there are
    }
)
_OPTIMIZER = Record({"state": Anything(), "param_groups": Items(Anything(), 1, 64)})  # see `training.restore`
_COMMON: dict[str, Kind] = {"step": Whole(), "random": _RANDOM, "config": Table(Plain())}
_TRAINED: dict[str, Kind] = {"seconds": Real(0.0), "optimizer": _OPTIMIZER}
_MAPS: dict[str, Kind] = {  # stages.lift.scene
    "views": Array(torch.int64, ("S",), 0),
    "depth": Array(torch.float32, ("S", "h", "w"), 0.0),
    "opacity": Array(torch.float32, ("S", "h", "w"), 0.0, 1.01),
    "differs": Array(torch.bool, ("S", "h", "w")),
}
_FOR_EXPORT: dict[str, Kind] = {
    "sight": _SIGHT,
    "world_from_normalized": Array(torch.float64, (4, 4)),
    "objects": _OBJECTS,
}
_SCALER = Record({}, _SCALE)
# What a run that goes on needs; more may be there
RESUMED: dict[str, Record] = {
    SCENE_STAGE: Record({**_COMMON, **_TRAINED, "model": _SURFACE, "objective": _OBJECTIVE}),
    LIFT_STAGE: Record({**_COMMON, **_TRAINED, "model": _SURFACE, **_MAPS}),
    RECONSTRUCT_STAGE: Record(
        {**_COMMON, **_TRAINED, "model": _SURFACE, "objective": _OBJECTIVE, "scaler": _SCALER}, _FOR_EXPORT
    ),
    TRAIN_MCC_STAGE: Record(
        {**_COMMON, "seconds": Real(0.0), "optimizer": Record({"parts": Items(_OPTIMIZER, 2, 2)}), "model": Module({})}
    ),
}
# What is needed of a model that is exported, evaluated or asked
OPENED: dict[str, Record] = {
    SCENE_STAGE: Record({"config": Table(Plain())}),
    LIFT_STAGE: Record({"config": Table(Plain())}),
    RECONSTRUCT_STAGE: Record({"config": Table(Plain()), "model": _SURFACE}, _FOR_EXPORT),
}


def check_state(state: Mapping[str, Any], path: Path, kinds: Mapping[str, Record], stages: tuple[str, ...]) -> None:
    """Compare a checkpoint with the description of its stage.

    Args:
        kinds: `RESUMED` or `OPENED`. stages: those that will do.

    Raises:
        InputError: it is of another stage, or the first value that differs.
    """
    check_contents(Record({"stage": Text(stages)}), state, path)
    check_contents(kinds[state["stage"]], state, path)
