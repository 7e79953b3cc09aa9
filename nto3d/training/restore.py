"""Models, optimizers and gradient scalers go on with what a checkpoint holds, once all of it was found to fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nto3d.errors import some_of
from nto3d.parsers.contents import MismatchError, Real, Whole, mismatch, named
from nto3d.training.contents import check_numbers

STEP = "step"
# What optimizers keep of a parameter: how often it was trained, and tensors of its shape with their least number
_ADAM: dict[str, float | None] = {STEP: 1.0, "exp_avg": None, "exp_avg_sq": 0.0}
_MUON: dict[str, float | None] = {"momentum_buffer": None}
_KEPT = {torch.optim.Adam: _ADAM, torch.optim.AdamW: _ADAM, torch.optim.Muon: _MUON}


def check_step(step: int, last: int) -> None:
    """Whether a training can go on after so many steps.

    Raises:
        MismatchError: it has fewer steps.
    """
    Whole(0, last).check(step, "step", {})


def load_module(module: nn.Module, state: object, key: str = "model") -> None:
    """Load a state dict that has this module's names, shapes and types.

    Args:
        key: of the checkpoint.

    Raises:
        MismatchError: it has others, or numbers that are not finite; the module is as it was.
    """
    own, given = module.state_dict(), named(state, key)
    _compare_names(own, given, key)
    for name, value in own.items():
        if not isinstance(value, Tensor):
            for part, item in named(given[name], f"{key}.{name}").items():
                Real().check(item, f"{key}.{name}.{part}", {})
            continue
        _compare(given[name], value, f"{key}.{name}")
    module.load_state_dict(given)


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    state: object,
    step: int,
    idle: Sequence[Tensor] = (),
    key: str = "optimizer",
    settings: bool = True,
) -> None:
    """Load what an optimizer has gathered in `step` steps over the same parameters.

    Args:
        idle: parameters that may not have been trained yet. key: of the checkpoint.
        settings: whether its settings have to be this optimizer's; else they are taken over.

    Raises:
        MismatchError: it is of other parameters or settings; the optimizer is as it was.
    """
    parts, own = named(state, key), optimizer.state_dict()
    groups = _checked_groups(parts.get("param_groups"), own["param_groups"], f"{key}.param_groups", settings)
    kept = parts.get("state")
    if not isinstance(kept, dict):
        raise mismatch(f"{key}.state", "a dict", kept)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, entry in kept.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(parameters):
            raise mismatch(f"{key}.state", f"a dict of the parameters 0 to {len(parameters) - 1}", number)
        _check_entry(entry, parameters[number], _KEPT[type(optimizer)], step, f"{key}.state.{number}")
    waiting = {id(parameter) for parameter in idle}
    missing = [number for number, one in enumerate(parameters) if number not in kept and id(one) not in waiting]
    if step and missing:
        raise MismatchError(f"{key}.state: expected all {len(parameters)} parameters, {missing[0]} is missing")
    optimizer.load_state_dict({"state": kept, "param_groups": groups})


def load_scaler(scaler: torch.amp.GradScaler, state: object, key: str = "scaler") -> None:
    """Load the state of a gradient scaler; one that was off stays as it is made.

    Raises:
        MismatchError: something is missing.
    """
    given = named(state, key)
    if not given or not scaler.is_enabled():
        return
    for name in scaler.state_dict():
        if name not in given:
            raise MismatchError(f"{key}: expected {', '.join(scaler.state_dict())}; {name} is missing")
    scaler.load_state_dict(given)


def _compare_names(own: Mapping[str, Any], given: Mapping[str, Any], key: str) -> None:
    for what, names in (("missing", own.keys() - given.keys()), ("too many", given.keys() - own.keys())):
        if names:
            raise MismatchError(f"{key}: expected the tensors of this model, {what}: {some_of(sorted(names))}")


def _compare(given: object, own: Tensor, key: str, least: float | None = None) -> None:
    if not isinstance(given, Tensor) or given.shape != own.shape or given.dtype != own.dtype:
        raise mismatch(key, f"{str(own.dtype).removeprefix('torch.')} {list(own.shape)}", given)
    check_numbers(given, key, least)


def _checked_groups(given: object, own: list[dict[str, Any]], key: str, settings: bool) -> list[dict[str, Any]]:
    """The groups to load: the optimizer's own, with the settings of those given where they may differ."""
    if not isinstance(given, list) or len(given) != len(own):
        raise mismatch(key, f"a list of {len(own)}", given)
    groups = []
    for number, (group, mine) in enumerate(zip(given, own, strict=True)):
        where = f"{key}[{number}]"
        for name, value in named(group, where).items():
            # The rate is set anew in every step; what another version of torch calls a setting is not looked at
            if name == "lr":
                Real(0.0).check(value, f"{where}.lr", {})
            elif name in mine and (settings or name == "params") and _plain(value) != _plain(mine[name]):
                raise mismatch(f"{where}.{name}", repr(mine[name])[:60], value)
        groups.append(dict(mine) if settings else {**mine, **group})
    return groups


def _plain(value: object) -> object:
    """A setting, such that equal ones compare equal: lists for tuples, True is not 1, a tensor is like nothing."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return str(value), None
    return value if isinstance(value, int | float | str) else object()


def _check_entry(entry: object, parameter: Tensor, kept: Mapping[str, float | None], step: int, key: str) -> None:
    """Whether an optimizer can have gathered this of a parameter in `step` steps."""
    parts = named(entry, key)
    if parts.keys() != kept.keys():
        raise MismatchError(f"{key}: expected the keys {', '.join(kept)}, got {', '.join(parts)[:60] or 'none'}")
    for name, value in parts.items():
        if name != STEP:
            _compare(value, parameter, f"{key}.{name}", kept[name])
            continue
        count = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        if isinstance(count, bool) or not isinstance(count, int | float) or count not in range(1, step + 1):
            raise mismatch(f"{key}.{name}", f"a whole number, 1 to {step}", count)
