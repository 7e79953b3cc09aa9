"""The configuration outside Hydra's composition: schema, resolvers, a run's own config.yaml, errors in one line.

Imports no torch. Overrides follow Hydra's grammar everywhere, in `train.py` and in the scripts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from nto3d.config.bundled import find_scene
from nto3d.config.check import validate
from nto3d.config.paths import as_it_stands, folder_name, to_type
from nto3d.config.renamed import RENAMED
from nto3d.config.schema import Config, Reader
from nto3d.config.usage import program
from nto3d.errors import InputError

Options = TypeVar("Options")
CONFIG_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError)


def register() -> None:
    """Makes the schema and the resolvers known to Hydra and OmegaConf; may be called again."""
    ConfigStore.instance().store(name="schema", node=Config, provider="nto3d")
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("program", program, replace=True)


def _run_folder(scene: str) -> str:
    """A fresh folder below runs/; in a sweep the job's own."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        folder, here = Path(HydraConfig.get().runtime.output_dir), Path.cwd()
        return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
    folder = Path("runs") / scene / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    count = 1
    while folder.exists():  # two runs within one second
        folder, count = folder.with_name(f"{folder.name.split('+')[0]}+{count}"), count + 1
    return str(folder)


def to_config(composed: DictConfig) -> Config:
    """Resolves a composed configuration and checks its values; the bundled sample gets the path where it lies.

    Raises:
        InputError: a value is missing or impossible.
    """
    # Looked for before interpolations are resolved: those that need the value would be named instead of it
    tree = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(tree, dict)
    for key, value in flatten({str(name): value for name, value in tree.items()}).items():
        if value == MISSING:
            raise InputError(f"{key} is missing: give it as {key}=VALUE")
    try:
        config = OmegaConf.to_object(composed)
    except CONFIG_ERRORS as error:
        raise InputError(explain(error)) from error
    assert isinstance(config, Config)
    if config.scene.reader is not Reader.synthetic:  # that one is made where it is missing
        config.scene.path = find_scene(config.scene.path)
    validate(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain dicts, lists, strings and numbers (enums by name)."""
    container = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def parse_options(kind: type[Options], argv: Sequence[str]) -> Options:
    """A script's own options, a dataclass, from its `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type, or something that is missing.
    """
    tree, hints = OmegaConf.structured(kind), get_type_hints(kind)
    try:
        for argument in argv:
            key, equals, raw = argument.partition("=")
            hint = hints.get(key)
            if hint in (str, str | None) and equals and raw != "null" and raw[:1] not in ("'", '"'):
                # Text as it stands: a name such as 2_0 is no number, and Hydra's grammar knows few letters
                OmegaConf.update(tree, key, raw)
                continue
            (override,) = parse_overrides([argument])
            if hint is None:
                raise InputError(f"unknown key {override.key_or_group}, expected one of {', '.join(hints)}")
            value = override.value()
            if any(get_origin(some) is list for some in (hint, *get_args(hint))) and not isinstance(value, list | None):
                value = [value]  # one of a list, without its brackets
            OmegaConf.update(tree, key, value)
        options = OmegaConf.to_object(tree)
    except CONFIG_ERRORS as error:
        raise InputError(explain(error)) from error
    assert isinstance(options, kind)
    return options


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parses `key=value` arguments by Hydra's grammar; paths are taken as they stand.

    Raises:
        InputError: an argument is not `key=value`, or it is a sweep.
    """
    parsed = read_overrides(overrides)
    for override in parsed:
        if override.is_sweep_override() or override.is_add() or override.is_delete():
            raise InputError(f"{override.input_line}: expected key=value with a single value")
    return parsed


def read_overrides(overrides: Sequence[str]) -> list[Override]:
    """Arguments by Hydra's grammar, sweeps too; paths are taken as they stand.

    Raises:
        InputError: one of them does not follow it.
    """
    try:
        parsed: list[Override] = OverridesParser.create().parse_overrides([as_it_stands(given) for given in overrides])
        for override in parsed:
            if not override.is_sweep_override():
                override.value()
    except HydraException as error:
        raise InputError(explain(error)) from error
    except Exception as error:  # of numbers of thousands of digits, of brackets nested deep
        given = " ".join(overrides)
        raise InputError(f"{given}: expected key=value ({type(error).__name__}: {error})") from error
    return parsed


def explain(error: BaseException) -> str:
    """One line for an error of Hydra, OmegaConf or YAML: the key, what was expected and what came."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, InputError):
            return str(cause)
    for cause in chain:
        if isinstance(cause, MissingConfigException):
            group, _, option = (cause.missing_cfg_file or "").rpartition("/")
            if cause.options and group:
                return f"{group}={option}: no such option, expected one of {', '.join(cause.options)}"
        if isinstance(cause, OverrideParseException):
            reason = cause.message.splitlines()[0]
            given = cause.override or ""
            quoted = "=" in given and given.partition("=")[2][:1] not in ("[", "{")
            hint = f"in quotes: {to_type(given)}" if quoted else "put special characters in '\"quotes\"'"
            return f"{given}: expected key=value ({reason}); {hint}"
    for cause in reversed(chain):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return _explain_key(cause, str(cause.full_key))
    for cause in chain:
        if isinstance(cause, HydraException) and str(cause).startswith("Could not override '"):
            return _unknown_key(str(cause).split("'")[1])
        if isinstance(cause, HydraException) and str(cause).startswith("Ambiguous value for argument '"):
            given = str(cause).split("'")[1]
            return f"{given}: expected one value; a sweep over several needs -m, a list needs [brackets]"
    text = " ".join(str(error).split())
    return f"configuration: {text}" if isinstance(error, yaml.YAMLError) else text or type(error).__name__


def _explain_key(error: OmegaConfBaseException, key: str) -> str:
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(key)
    if isinstance(error, MissingMandatoryValue):
        return f"{key} is missing: give it as {key}=VALUE"
    text = (error.msg or str(error)).splitlines()[0]
    return f"{key}: {text}"


def _unknown_key(key: str) -> str:
    if key in RENAMED:
        return f"unknown key {key}: it is called {RENAMED[key]} now"
    schema = to_dict(Config())
    known = [*flatten(schema), *schema]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"unknown key {key}" + (f": did you mean {near[0]}?" if near else f" ({program()} --help lists all keys)")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
